"""Scanning one chunk of an apply plan: what the target calculator makes of each row, and the leaves of what would change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from struct import unpack
from typing import Any, Protocol

import orjson
import psycopg
from django.db import connection, transaction

from audit.errors import Refused
from audit.merkle import merkle_root, split_leaves
from remediation.causes import Causes
from remediation.exclusions import Exclusions, LeftOut
from remediation.figures import most_stores, spread_of, stores_of
from remediation.garbage import free_cycles_of_slice
from remediation.models import JobChunk, Plan, PlanChunk, PlanChunkFigures
from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure, RegisteredCalculator
from transactions.calculators.protocol import Batch, Result
from transactions.canonical import LEAF_FORMAT, amounts_json, leaf_maker, microseconds
from transactions.selection import Selection

SLICE = 500
"""Rows that are calculated between two looks at the lease."""

ROW_BY_ROW = (
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
    " SET LOCAL max_parallel_workers_per_gather = 0"
)
"""A chunk's rows are looked up one by one, along primary keys. Left to itself the planner reads whole tables for every chunk as long as
they hold but a million rows, and takes the other workers' processors for it.
"""


class OtherCalculatorCode(Refused):
    """This worker runs other code for the target than the plan was previewed with."""


Row = tuple[int, int, bytes, str, str, int, str, bytes, int]
"""A transaction on the calculation that it stands on, as a scan reads it: calculation id, transaction id, calculated_at (as
`transactions.canonical.postgres_time`), the amounts' text, the inputs' text, scale, currency, facts' hash, store. Not a class: there are
millions.
"""
_ROW = (
    "c.id, c.transaction_id, timestamptz_send(c.calculated_at), c.amounts::text, t.inputs::text, t.scale, t.currency,"
    " t.facts_hash, t.store_id"
)
"""A `Row` in SQL, of calculation `c` and transaction `t`."""
Proposal = tuple[Row, dict[str, int], str]
"""A row that would change, the target's amounts for it, and their text."""


@dataclass
class ScannedChunk:
    """What a scan found. `failures` are (transaction id, reason); proposals are in transaction-id order. `left_out` is None where the case
    leaves nothing out.
    """

    scanned: int = 0
    moved_since: int = 0
    unchanged: int = 0
    proposals: list[Proposal] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    causes: Causes = field(default_factory=Causes)
    left_out: LeftOut | None = None


def target_calculator(plan: Plan) -> RegisteredCalculator:
    """The calculator that makes the plan's corrections. Raises `OtherCalculatorCode` where this process runs other code."""
    selection = Selection.from_criteria(plan.revision.criteria)
    calculator = calculator_for(selection.calculator, plan.revision.target_version)
    if calculator.code_digest != plan.calculator_digest:
        raise OtherCalculatorCode(
            f"The code of {calculator} is not the one that {plan} was previewed with. Preview again, or deploy the same code."
        )
    return calculator


class Asking(Protocol):
    """How a calculator is asked: in this process, or locked away (`transactions.isolation`)."""

    def first(self, calculator: RegisteredCalculator, batch: Batch) -> list[Result]:
        """Its checked answers, one a row."""
        ...

    def again(self, calculator: RegisteredCalculator, batch: Batch, before: Sequence[Result]) -> list[bool]:
        """Whether it answers each row as it did `before`, from fresh inputs and in reverse."""
        ...


def scan(plan: Plan, chunk: PlanChunk, *, asking: Asking, renew: Callable[[], None]) -> ScannedChunk:
    """Calculate every row of `chunk` anew, outside of any transaction; `renew` is called after every slice of rows."""
    calculator = target_calculator(plan)
    elsewhere = 0
    if chunk.source_chunk_id is None:
        rows = read_rows(
            release_id=int(chunk.release_id or 0),
            after=(chunk.after_at, chunk.after_id),
            through=(chunk.through_at, chunk.through_id),
            selection=Selection.from_criteria(plan.revision.criteria),
            high_water=plan.high_water,
        )
    else:
        rows = read_rows_to_retry(chunk, high_water=plan.high_water)
        elsewhere = count_elsewhere(chunk)
    scanned = ScannedChunk(scanned=len(rows) + elsewhere, moved_since=elsewhere)
    if exclusions := Exclusions.from_json(plan.revision.exclusions):
        scanned.left_out = LeftOut(exclusions, [row[1] for row in rows])
    for start in range(0, len(rows), SLICE):
        _calculate(calculator, rows[start : start + SLICE], asking, scanned)
        free_cycles_of_slice()
        renew()
    return scanned


def read_rows(
    *,
    release_id: int,
    after: tuple[Any, Any],
    through: tuple[Any, Any],
    selection: Selection,
    high_water: int,
) -> list[Row]:
    """The selected transactions that stand on a calculation of that part of the keyset, in transaction-id order."""
    condition = selection.condition()
    return _looked_up(
        f"""
        SELECT {_ROW}
        FROM transactions_calculation c
        JOIN transactions_currentcalculation current
          ON current.transaction_id = c.transaction_id AND current.calculation_id = c.id
        JOIN transactions_transaction t ON t.id = c.transaction_id
        WHERE c.release_id = %(release)s AND c.id <= %(high_water)s
          AND (c.calculated_at, c.id) > (%(after_at)s, %(after_id)s)
          AND (c.calculated_at, c.id) <= (%(through_at)s, %(through_id)s)
          AND {condition.sql}
        ORDER BY c.transaction_id
        """,
        condition.params
        | {
            "release": release_id,
            "high_water": high_water,
            "after_at": after[0],
            "after_id": after[1],
            "through_at": through[0],
            "through_id": through[1],
        },
    )


def read_rows_to_retry(chunk: PlanChunk, *, high_water: int) -> list[Row]:
    """The rows of the chunk's source that failed or were conflicts and stand on a calculation of its release, in transaction-id order."""
    return _looked_up(
        f"""
        SELECT {_ROW}
        FROM (
            SELECT DISTINCT outcome.transaction_id
            FROM remediation_planchunk source
            JOIN remediation_outcome outcome ON outcome.plan_chunk_id = source.id AND outcome.kind IN ('failed', 'conflict')
            JOIN remediation_job job ON job.id = outcome.job_id AND job.plan_id = source.plan_id
            WHERE source.id = %(source)s
        ) AS troubled
        JOIN transactions_currentcalculation current ON current.transaction_id = troubled.transaction_id
        JOIN transactions_calculation c ON c.id = current.calculation_id
        JOIN transactions_transaction t ON t.id = c.transaction_id
        WHERE c.release_id = %(release)s AND c.id <= %(high_water)s
        ORDER BY c.transaction_id
        """,
        {"source": chunk.source_chunk_id, "release": chunk.release_id, "high_water": high_water},
    )


def count_elsewhere(chunk: PlanChunk) -> int:
    """Rows of a retry's chunk that stand on a release that none of the plan's chunks looks at.

    They are counted by the chunk of the source's own release, so that each is counted once.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ELSEWHERE, {"chunk": chunk.pk})
        return int(cursor.fetchone()[0])


def _looked_up(sql: str, params: dict[str, Any]) -> list[Row]:
    """The rows of a query, looked up one by one, and in binary: a fifth cheaper to read than texts."""
    with transaction.atomic(), connection.cursor() as settings, _in_binary() as cursor:
        settings.execute(ROW_BY_ROW)
        # A plan of its own for every chunk: they differ in what they hold.
        cursor.execute(sql, params, prepare=False)
        return cursor.fetchall()


def _in_binary() -> "psycopg.Cursor[Any]":
    """A cursor on Django's connection whose rows come in binary."""
    connection.ensure_connection()
    return psycopg.Cursor(connection.connection)


def _calculate(
    calculator: RegisteredCalculator, rows: list[Row], asking: Asking, scanned: ScannedChunk
) -> None:
    changed: list[Proposal] = []
    for row, result in zip(rows, asking.first(calculator, _questions(rows)), strict=True):
        if isinstance(result, CalculationFailure):
            scanned.failures.append((row[1], result.reason))
            continue
        text = amounts_json(result)
        if text == row[3]:
            scanned.unchanged += 1
        else:
            changed.append((row, result, text))
    _propose(_answered_alike(calculator, changed, asking, scanned), scanned)


def _questions(rows: list[Row]) -> Batch:
    """Fresh inputs of each row, with its scale: whatever a calculator did to the last ones is gone."""
    return [(orjson.loads(inputs_text), scale) for _, _, _, _, inputs_text, scale, _, _, _ in rows]


def _answered_alike(
    calculator: RegisteredCalculator, proposals: list[Proposal], asking: Asking, scanned: ScannedChunk
) -> list[Proposal]:
    """The proposals that the calculator, asked again, makes again; the others have failed."""
    rows = [row for row, _, _ in proposals]
    alike = asking.again(calculator, _questions(rows), [amounts for _, amounts, _ in proposals])
    if all(alike):
        return proposals
    reason = "The calculator answers differently when asked twice."
    scanned.failures += [(row[1], reason) for row, again in zip(rows, alike, strict=True) if not again]
    return [proposal for proposal, again in zip(proposals, alike, strict=True) if again]


def _propose(proposals: list[Proposal], scanned: ScannedChunk) -> None:
    if scanned.left_out is not None:
        proposals = _not_left_out(proposals, scanned.left_out)
    scanned.proposals += proposals
    count = scanned.causes.add
    for (_, transaction_id, _, amounts_text, _, scale, currency, _, store_id), amounts, _ in proposals:
        count(orjson.loads(amounts_text), amounts, transaction_id, currency, scale, store_id)


def _not_left_out(proposals: list[Proposal], left_out: LeftOut) -> list[Proposal]:
    return [
        (row, amounts, text)
        for row, amounts, text in proposals
        if not left_out.takes(row[1], orjson.loads(row[3]), amounts, row[6], row[5])
    ]


def store(plan: Plan, job_chunk: JobChunk, scanned: ScannedChunk) -> None:
    """Write what a scan found, inside the caller's transaction: proposals, leaves, failures and the frozen chunk."""
    chunk = job_chunk.plan_chunk
    assert chunk is not None
    target_release = plan.targets[str(chunk.release_id)]
    leaves = _copy_proposals(plan, chunk, target_release, scanned.proposals)
    if scanned.failures:
        _copy_failures(job_chunk, scanned.failures)
    freeze(
        chunk,
        leaves,
        scanned=scanned.scanned,
        unchanged=scanned.unchanged,
        proposed=len(scanned.proposals),
        failed=len(scanned.failures),
        moved_since=scanned.moved_since,
        left_out=scanned.left_out.rows if scanned.left_out else 0,
        left_out_sums=scanned.left_out.sums() if scanned.left_out else {},
        money=scanned.causes.money(),
        causes=scanned.causes.as_json(),
    )
    changes = scanned.causes.changes()
    PlanChunkFigures.objects.create(
        plan_chunk=chunk,
        spread=spread_of(changes),
        stores=stores_of(changes, most_stores(plan.chunks.count())),
    )


def freeze(chunk: PlanChunk, leaves: bytes, **found: Any) -> None:
    """Store a chunk's leaves and what was found; from here on a trigger refuses every change of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO remediation_planchunkleaves (plan_chunk_id, leaves) VALUES (%s, %s)",
            [chunk.pk, leaves],
        )
        cursor.execute("SELECT statement_timestamp()")
        chunk.scanned_at = cursor.fetchone()[0]
    for name, value in found.items():
        setattr(chunk, name, value)
    chunk.root = merkle_root(split_leaves(leaves))
    chunk.leaves_digest = sha256(leaves).digest()
    chunk.leaf_format = LEAF_FORMAT
    chunk.save(update_fields=["scanned_at", "root", "leaves_digest", "leaf_format", *found])


def _copy_proposals(plan: Plan, chunk: PlanChunk, target_id: int, proposals: list[Proposal]) -> bytes:
    """COPY the proposals in and return their leaves, 32 bytes each, in transaction-id order.

    Numbers and component names hold nothing that COPY's text format would have to escape.
    """
    if not proposals:
        return b""
    proposals.sort(key=_transaction_id)
    ending = f"\t{plan.requested_at.isoformat()}\t{chunk.pk}\t"
    leaf_of = leaf_maker(
        standing_release=target_id,
        standing_at_us=microseconds(plan.requested_at),
        replaced_release=int(chunk.release_id or 0),
    )
    lines: list[str] = []
    leaves: list[bytes] = []
    with connection.cursor() as cursor:
        cursor.execute(
            # OFFSET 0: the sequence's name is looked up once, and not for every row. One value for all: cheaper than as many rows.
            "SELECT string_agg(int8send(nextval(sequence.name)), ''::bytea) FROM generate_series(1, %s), (SELECT"
            " pg_get_serial_sequence('transactions_calculation', 'id')::regclass AS name OFFSET 0) AS sequence",
            [len(proposals)],
        )
        ids = unpack(f">{len(proposals)}q", cursor.fetchone()[0])
        for proposal_id, (row, amounts, text) in zip(ids, proposals, strict=True):
            replaced_id, transaction_id, replaced_at, replaced_text, _, _, _, facts_hash, _ = row
            lines.append(
                f"{proposal_id}\t{transaction_id}\t{target_id}\t{text}\t{amounts['total']}{ending}{replaced_id}\n"
            )
            leaves.append(
                leaf_of(
                    transaction_id, proposal_id, text, replaced_id, replaced_at, replaced_text, facts_hash
                )
            )
        with cursor.copy(
            "COPY transactions_calculation"
            " (id, transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id) FROM STDIN"
        ) as copy:
            copy.write("".join(lines))
    return b"".join(leaves)


def _transaction_id(proposal: Proposal) -> int:
    return proposal[0][1]


def _copy_failures(job_chunk: JobChunk, failures: list[tuple[int, str]]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY remediation_outcome (job_id, plan_chunk_id, transaction_id, kind, reason, detail) FROM STDIN"
        ) as copy,
    ):
        for transaction_id, reason in failures:
            copy.write_row(
                (job_chunk.job_id, job_chunk.plan_chunk_id, transaction_id, "failed", reason, "{}")
            )


_ELSEWHERE = """
    SELECT count(*)
    FROM remediation_planchunk chunk
    JOIN remediation_planchunk source ON source.id = chunk.source_chunk_id AND source.release_id = chunk.release_id
    CROSS JOIN LATERAL (
        SELECT DISTINCT outcome.transaction_id
        FROM remediation_outcome outcome
        JOIN remediation_job job ON job.id = outcome.job_id AND job.plan_id = source.plan_id
        WHERE outcome.plan_chunk_id = source.id AND outcome.kind IN ('failed', 'conflict')
    ) AS troubled
    LEFT JOIN transactions_currentcalculation current ON current.transaction_id = troubled.transaction_id
    LEFT JOIN transactions_calculation standing ON standing.id = current.calculation_id
    WHERE chunk.id = %(chunk)s AND NOT EXISTS (
        SELECT FROM remediation_planchunk sibling
        WHERE sibling.plan_id = chunk.plan_id AND sibling.source_chunk_id = source.id
          AND sibling.release_id = standing.release_id
          AND standing.id <= (SELECT high_water FROM remediation_plan WHERE id = chunk.plan_id))
"""
