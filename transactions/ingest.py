"""What services report, taken in: facts and calculations, landed once and set-wise.

Records are first staged (a temporary table, by COPY), then landed in one transaction: either all that can land does, or
nothing. What was known already changes nothing; what contradicts it is rejected, and never overwrites it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import structlog
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from audit.permission import demand
from audit.trail import record
from transactions.canonical import amounts_json, canonical_json, facts_hash, microseconds
from transactions.events import IMPORTED, TransactionsImported
from transactions.ingest_sql import (
    ANALYZE_RESOLVED,
    ANALYZE_STAGED,
    CLASSIFY,
    CREATE_STAGING,
    INSERT_CALCULATIONS,
    INSERT_PERSONAL,
    INSERT_RELEASES,
    INSERT_STORES,
    INSERT_TRANSACTIONS,
    NEXT_SLICE,
    REJECTIONS,
    RESOLVE,
    ROOM_TO_SORT,
)
from transactions.leaves import LANDED, store_leaves
from transactions.models import IngestBatch
from transactions.rollups import fold_counts

logger = structlog.get_logger(__name__)

POINTED_AT_A_TIME = 20_000
COPIED_AT_A_TIME = 500
REJECTED_AT_A_TIME = 2_000
MANY = 10_000
"""Transactions of one landing that change the tables enough for their statistics to be taken anew at once."""
TRIES = 3
TRY_AGAIN = ("40001", "40P01")
"""Serialization failure and deadlock."""


class ReportedTransaction(NamedTuple):
    """What a service reports of one transaction: its facts, and one calculation of them.

    `position` is the caller's own number for it, given back where it is rejected. Times have offsets; `amounts` are whole smallest
    units at `scale` and have a total; `inputs` are JSON values without floats. `personal` goes to the erasable table.
    """

    position: int
    reference: str
    store: str
    currency: str
    scale: int
    occurred_at: datetime
    inputs: dict[str, Any]
    service: str
    calculator: str
    version: str
    calculated_at: datetime
    amounts: dict[str, int]
    personal: dict[str, Any] | None = None
    store_name: str = ""
    store_country: str = ""


class Rejection(NamedTuple):
    """A reported transaction that contradicts what is known: its position, the field, and the reason for people.

    `record` is what was staged with it, for whoever has to tell where it came from.
    """

    position: int
    column: str
    reason: str
    record: str = ""


@dataclass(frozen=True)
class IngestResult:
    """What became of the reported transactions. imported + unchanged + rejected is how many there were.

    `recalculated` of the imported are later calculations of known transactions; `superseding_corrections` of these superseded a
    correction of ours. `batch_id` is None where nothing was new.
    """

    imported: int = 0
    unchanged: int = 0
    rejected: int = 0
    recalculated: int = 0
    superseding_corrections: int = 0
    batch_id: int | None = None
    rejections: list[Rejection] = field(default_factory=list)


def ingest(
    records: Iterable[ReportedTransaction], *, source: str, origin: str, acting_user: User
) -> IngestResult:
    """Take in what `source` reports. Safe to repeat: the same again is unchanged. Raises `NotPermitted`.

    `origin` says for people where it came from. `transactions.canonical.NotCanonical` is raised for inputs that cannot be stored
    exactly, and then nothing has landed.
    """
    rejections: list[Rejection] = []
    with Staging(source) as staging:
        staging.add((each, "") for each in records)
        result = staging.land(origin=origin, acting_user=acting_user, reject=rejections.append)
    return replace(result, rejections=rejections)


class Staging:
    """Reported transactions on their way in: outside of every table that anybody reads, and gone with the session."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __enter__(self) -> Self:
        with connection.cursor() as cursor:
            cursor.execute(CREATE_STAGING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS pg_temp.staged, pg_temp.resolved, pg_temp.landed")

    def add(self, records: Iterable[tuple[ReportedTransaction, str]]) -> None:
        """COPY reported transactions in, as they come, each with the record that a rejection of it is to give back.

        Their positions are all different. Raises `transactions.canonical.NotCanonical`.
        """
        with connection.cursor() as cursor, cursor.copy("COPY pg_temp.staged FROM STDIN") as copy:
            lines: list[str] = []
            for each, record in records:
                lines.append(self._line(each, record))
                if len(lines) == COPIED_AT_A_TIME:
                    copy.write("".join(lines))
                    lines.clear()
            copy.write("".join(lines))

    def land(self, *, origin: str, acting_user: User, reject: Callable[[Rejection], None]) -> IngestResult:
        """Land all that was added, in one transaction; tried again where it met a deadlock. Raises `NotPermitted`.

        `reject` is given what contradicts the known, by position, inside that transaction and after all that might be tried again: where
        it raises, nothing has landed.
        """
        demand(acting_user, "transactions.import_transactions")
        with connection.cursor() as cursor:
            cursor.execute(ANALYZE_STAGED)
        for attempt in range(1, TRIES + 1):
            try:
                with transaction.atomic():
                    result = self._land(origin, acting_user, reject)
                    if result.imported == 0:
                        # Nothing new came, so that no batch, store or release is to tell of it.
                        transaction.set_rollback(True)
                if result.imported >= MANY:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT amends_refresh_statistics()")
                    fold_counts()
                return result
            except OperationalError as error:
                state = getattr(error.__cause__, "sqlstate", "")
                if state not in TRY_AGAIN or attempt == TRIES or connection.in_atomic_block:
                    raise
                logger.warning("ingest.tried_again", state=state, attempt=attempt)
        raise AssertionError("unreachable")

    def _line(self, each: ReportedTransaction, record: str) -> str:
        """The line of COPY's text format."""
        occurred_at, calculated_at = each.occurred_at, each.calculated_at
        inputs = canonical_json(each.inputs)
        facts = facts_hash(
            source=self._source,
            reference=each.reference,
            store=each.store,
            currency=each.currency,
            scale=each.scale,
            occurred_at_us=microseconds(occurred_at),
            inputs_text=inputs,
        )
        texts = [
            each.reference,
            each.store,
            each.store_name,
            each.store_country,
            each.currency,
            inputs,
            each.service,
            each.calculator,
            each.version,
            "" if each.personal is None else canonical_json(each.personal),
            record,
        ]
        line = "\t".join(texts)
        amounts = amounts_json(each.amounts)
        if "\\" in amounts:  # the only one of COPY's special characters that JSON does not escape itself
            amounts = amounts.translate(_ESCAPES)
        # One look at the whole line: hardly any needs an escape.
        if _NEEDS_ESCAPE(line) or line.count("\t") >= len(texts):
            line = "\t".join([text.translate(_ESCAPES) for text in texts])
        return (
            f"{each.position}\t{each.scale}\t{_utc(occurred_at)}\t{_utc(calculated_at)}\t{amounts}\t"
            f"{each.amounts['total']}\t\\\\x{facts.hex()}\t{line}\n"
        )

    def _land(self, origin: str, acting_user: User, reject: Callable[[Rejection], None]) -> IngestResult:
        batch = IngestBatch.objects.create(source=self._source, origin=origin)
        parameters: dict[str, str | int] = {"source": self._source, "batch": batch.pk}
        with connection.cursor() as cursor:
            cursor.execute(ROOM_TO_SORT)
            for statement in (INSERT_STORES, INSERT_RELEASES, INSERT_TRANSACTIONS):
                cursor.execute(statement, parameters)
            new = cursor.rowcount
            # New statements see what concurrent imports committed while the ones above waited for them.
            cursor.execute(RESOLVE, parameters)
            staged = cursor.rowcount
            cursor.execute(ANALYZE_RESOLVED)
            cursor.execute(INSERT_CALCULATIONS, parameters)
            landed = cursor.rowcount
            cursor.execute("ANALYZE pg_temp.landed")
            cursor.execute(INSERT_PERSONAL)
            if new == landed == staged:  # the usual case, which needs no look at every row
                imported, unchanged, recalculated, rejected = landed, 0, 0, 0
            else:
                cursor.execute(CLASSIFY)
                imported, unchanged, recalculated, rejected = cursor.fetchone()
        superseding = _point_at_landed()
        if imported:
            calculations, root = store_leaves(batch.pk, LANDED)
            record(
                IMPORTED,
                batch,
                TransactionsImported(
                    source=self._source,
                    origin=origin,
                    imported=imported,
                    unchanged=unchanged,
                    recalculated=recalculated,
                    superseding_corrections=superseding,
                    contradicting=rejected,
                    calculations=calculations,
                    root=root.hex(),
                ),
                actor=acting_user,
            )
        if rejected:
            with connection.chunked_cursor() as cursor:
                cursor.execute(REJECTIONS)
                while found := cursor.fetchmany(REJECTED_AT_A_TIME):
                    for each in found:
                        reject(Rejection(*each))
        return IngestResult(
            imported, unchanged, rejected, recalculated, superseding, batch.pk if imported else None
        )


_NEEDS_ESCAPE = re.compile(r"[\\\n\r]").search
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _utc(moment: datetime) -> str:
    return moment.isoformat() if moment.tzinfo is UTC else moment.astimezone(UTC).isoformat()


def _point_at_landed() -> int:
    """Move pointers to what has landed where that is newer, in transaction-id order. How many corrections were superseded."""
    after = (0, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM transactions_supersession")
        newest_before = cursor.fetchone()[0]
        while True:
            cursor.execute(NEXT_SLICE, {"transaction": after[0], "id": after[1], "limit": POINTED_AT_A_TIME})
            ids, transaction_id, calculation_id = cursor.fetchone()
            if not ids:
                break
            cursor.execute("SELECT * FROM amends_point_at_reported(%s)", [ids])
            after = (transaction_id, calculation_id)
        cursor.execute(
            "SELECT count(*) FROM transactions_supersession s JOIN pg_temp.landed ON landed.id = s.superseded_by_id"
            " WHERE s.id > %s AND s.of_correction",
            [newest_before],
        )
        return int(cursor.fetchone()[0])
