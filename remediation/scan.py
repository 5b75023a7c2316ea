"""Scanning one chunk of an apply plan: what the target calculator makes of each row, and the leaves of what would change."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction

from audit.errors import Refused
from audit.merkle import merkle_root, split_leaves
from remediation.causes import Causes
from remediation.models import JobChunk, Plan, PlanChunk
from remediation.money import money_key
from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure, RegisteredCalculator, run
from transactions.calculators.protocol import Result
from transactions.canonical import amounts_json, leaf_maker, microseconds
from transactions.selection import Selection

SLICE = 1000
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


class Row(NamedTuple):
    """A transaction on the calculation that it stands on, as a scan reads it."""

    calculation_id: int
    transaction_id: int
    calculated_at_us: int
    amounts_text: str
    total: int
    inputs_text: str
    scale: int
    currency: str
    facts_hash: bytes


class Proposal(NamedTuple):
    """A row that would change, and the target's amounts for it."""

    row: Row
    amounts: dict[str, int]
    amounts_text: str


@dataclass
class ScannedChunk:
    """What a scan found. `failures` are (transaction id, reason); proposals are in transaction-id order."""

    scanned: int = 0
    unchanged: int = 0
    proposals: list[Proposal] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    money: dict[str, dict[str, int]] = field(default_factory=dict)
    causes: Causes = field(default_factory=Causes)


def target_calculator(plan: Plan) -> RegisteredCalculator:
    """The calculator that makes the plan's corrections. Raises `OtherCalculatorCode` where this process runs other code."""
    selection = Selection.from_criteria(plan.revision.criteria)
    calculator = calculator_for(selection.calculator, plan.revision.target_version)
    if calculator.code_digest != plan.calculator_digest:
        raise OtherCalculatorCode(
            f"The code of {calculator} is not the one that {plan} was previewed with. Preview again, or deploy the same code."
        )
    return calculator


def scan(plan: Plan, chunk: PlanChunk, *, renew: Callable[[], None]) -> ScannedChunk:
    """Calculate every row of `chunk` anew, outside of any transaction; `renew` is called after every slice of rows."""
    calculator = target_calculator(plan)
    rows = read_rows(
        release_id=int(chunk.release_id or 0),
        after=(chunk.after_at, chunk.after_id),
        through=(chunk.through_at, chunk.through_id),
        selection=Selection.from_criteria(plan.revision.criteria),
        high_water=plan.high_water,
    )
    scanned = ScannedChunk(scanned=len(rows))
    for start in range(0, len(rows), SLICE):
        with young_garbage_only():
            _calculate(calculator, rows[start : start + SLICE], scanned)
        renew()
    return scanned


@contextmanager
def young_garbage_only() -> Iterator[None]:
    """Collect cyclic garbage once at the end, and only what was made since.

    Python's collector would go through a chunk's rows, which all stay, over and over: a third of a scan's time. What a calculator leaves
    behind in cycles is still freed after every slice.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(1)
        if collecting:
            gc.enable()


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
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROW_BY_ROW)
        cursor.execute(
            f"""
            SELECT c.id, c.transaction_id, (extract(epoch FROM c.calculated_at) * 1000000)::bigint, c.amounts::text, c.total,
                   t.inputs::text, t.scale, t.currency, t.facts_hash
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
        with young_garbage_only():
            return list(map(Row._make, cursor.fetchall()))


def _calculate(calculator: RegisteredCalculator, rows: list[Row], scanned: ScannedChunk) -> None:
    results = run(calculator, [(orjson.loads(row.inputs_text), row.scale) for row in rows])
    changed: list[Proposal] = []
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, CalculationFailure):
            scanned.failures.append((row.transaction_id, result.reason))
            continue
        text = amounts_json(result)
        if text == row.amounts_text:
            scanned.unchanged += 1
        else:
            changed.append(Proposal(row, result, text))
    same: list[Proposal] = []
    for proposal, again in zip(changed, _ask_again(calculator, changed), strict=True):
        if proposal.amounts == again:
            same.append(proposal)
        else:
            reason = "The calculator answers differently when asked twice."
            scanned.failures.append((proposal.row.transaction_id, reason))
    _propose(same, scanned)


def _ask_again(calculator: RegisteredCalculator, proposals: list[Proposal]) -> list[Result]:
    """The calculator's second answers: from fresh inputs, and in reverse, so that what it keeps between rows shows."""
    again = run(
        calculator, [(orjson.loads(each.row.inputs_text), each.row.scale) for each in reversed(proposals)]
    )
    again.reverse()
    return again


def _propose(proposals: list[Proposal], scanned: ScannedChunk) -> None:
    scanned.proposals += proposals
    for row, amounts, _ in proposals:
        key = money_key(row.currency, row.scale)
        before, after = row.total, amounts["total"]
        delta = after - before
        sums = scanned.money.get(key)
        if sums is None:
            sums = scanned.money[key] = {"before": 0, "after": 0, "delta": 0, "largest": 0}
        sums["before"] += before
        sums["after"] += after
        sums["delta"] += delta
        if abs(delta) > sums["largest"]:
            sums["largest"] = abs(delta)
        scanned.causes.add(orjson.loads(row.amounts_text), amounts, row.transaction_id, key)


def store(plan: Plan, job_chunk: JobChunk, scanned: ScannedChunk) -> None:
    """Write what a scan found, inside the caller's transaction: proposals, leaves, failures and the frozen chunk."""
    chunk = job_chunk.plan_chunk
    assert chunk is not None
    target_release = plan.targets[str(chunk.release_id)]
    with young_garbage_only():
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
        moved_since=0,
        money=scanned.money,
        causes=scanned.causes.as_json(),
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
    chunk.save(update_fields=["scanned_at", "root", "leaves_digest", *found])


def _copy_proposals(plan: Plan, chunk: PlanChunk, target_id: int, proposals: list[Proposal]) -> bytes:
    """COPY the proposals in and return their leaves, 32 bytes each, in transaction-id order.

    Numbers and component names hold nothing that COPY's text format would have to escape.
    """
    if not proposals:
        return b""
    proposals.sort(key=lambda proposal: proposal.row.transaction_id)
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
            # OFFSET 0: the sequence's name is looked up once, and not for every row.
            "SELECT nextval(sequence.name) FROM generate_series(1, %s), (SELECT"
            " pg_get_serial_sequence('transactions_calculation', 'id')::regclass AS name OFFSET 0) AS sequence",
            [len(proposals)],
        )
        ids = [proposal_id for (proposal_id,) in cursor.fetchall()]
        for proposal_id, (row, amounts, text) in zip(ids, proposals, strict=True):
            replaced_id, transaction_id, replaced_at_us, replaced_text, _, _, _, _, facts_hash = row
            lines.append(
                f"{proposal_id}\t{transaction_id}\t{target_id}\t{text}\t{amounts['total']}{ending}{replaced_id}\n"
            )
            leaves.append(
                leaf_of(
                    transaction_id, proposal_id, text, replaced_id, replaced_at_us, replaced_text, facts_hash
                )
            )
        with cursor.copy(
            "COPY transactions_calculation"
            " (id, transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id) FROM STDIN"
        ) as copy:
            copy.write("".join(lines))
    return b"".join(leaves)


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
