"""Two plans side by side: which rows only one of them would change, or both otherwise."""

from dataclasses import dataclass

from django.db import connection

from remediation.models import Plan

COUNTED_AT_ONCE = 20_000
"""Proposed rows of both plans up to which their difference is counted without being asked for."""
CHUNKS_AT_ONCE = 2
"""How many chunks of a plan are looked through for one page of rows; each has at most AMENDS_PLAN_CHUNK_ROWS."""


@dataclass(frozen=True)
class Difference:
    """Transactions that only the one plan would change, only the other, and both to other amounts; each is exact."""

    only_one: int
    only_other: int
    otherwise: int


@dataclass(frozen=True)
class DifferingRow:
    """A transaction that `plan` would bring to `total` and the other plan to `other_total`, or (None) not at all; smallest units."""

    transaction_id: int
    total: int
    other_total: int | None


@dataclass(frozen=True)
class DifferingRows:
    """Rows in the order of chunk and transaction. `chunk` and `after` say where to go on; `chunk` is None at the end."""

    rows: list[DifferingRow]
    looked_at: int
    chunk: int | None
    after: int


def proposed_by(plan: Plan) -> int:
    """How many rows a sealed plan proposes."""
    return int((plan.manifest or {}).get("proposed", 0))


def difference_of(one: Plan, other: Plan) -> Difference:
    """How the rows of two sealed plans differ, all of them counted: a second or two where there are hundreds of thousands."""
    chunks = {"one": _chunks(one), "other": _chunks(other)}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, chunks)
        in_one, in_both, otherwise = cursor.fetchone()
    return Difference(in_one - in_both, proposed_by(other) - in_both, otherwise)


def differing_rows(one: Plan, other: Plan, *, chunk: int, after: int, size: int) -> DifferingRows:
    """At most `size` rows of `one` that `other` does not propose, or otherwise; from the chunk at that position on, and in it behind
    transaction `after`.

    Looks through no more than a few chunks: a page can be empty, and further ones hold rows.
    """
    with_rows = one.chunks.filter(proposed__gt=0, position__gte=chunk).order_by("position")
    ahead = list(with_rows.values_list("pk", "position", "proposed")[: CHUNKS_AT_ONCE + 1])
    others = _chunks(other)
    rows: list[DifferingRow] = []
    looked_at = 0
    for pk, position, proposed in ahead[:CHUNKS_AT_ONCE]:
        behind = after if position == chunk else 0
        found = _differing(pk, others, behind, size + 1 - len(rows))
        rows += found
        if len(rows) > size:
            return DifferingRows(rows[:size], looked_at, position, _last(rows[:size], found, behind))
        looked_at += proposed or 0
    following = ahead[CHUNKS_AT_ONCE:]
    return DifferingRows(rows, looked_at, following[0][1] if following else None, 0)


def _last(rows: list[DifferingRow], of_chunk: list[DifferingRow], behind: int) -> int:
    """The last shown transaction of the chunk that a page ends in; `behind` where it shows none of it."""
    shown = {row.transaction_id for row in rows}
    return max((row.transaction_id for row in of_chunk if row.transaction_id in shown), default=behind)


def _differing(chunk: int, others: list[int], after: int, limit: int) -> list[DifferingRow]:
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERING, {"chunk": chunk, "other": others, "after": after, "limit": limit})
        return [DifferingRow(*row) for row in cursor.fetchall()]


def _chunks(plan: Plan) -> list[int]:
    return list(plan.chunks.filter(proposed__gt=0).order_by("pk").values_list("pk", flat=True))


def _rows(chunks: str, transaction: str = "") -> str:
    """The rows of some chunks: proposals, and members of what takes back; where `transaction` is given, that one's alone."""
    of_calculation = f"c.transaction_id = {transaction} AND c.batch_id IS NULL AND " if transaction else ""
    of_member = f"m.transaction_id = {transaction} AND " if transaction else ""
    return f"""
        SELECT c.transaction_id, c.amounts, c.total FROM transactions_calculation c
        WHERE {of_calculation}c.plan_chunk_id = ANY({chunks})
        UNION ALL
        SELECT m.transaction_id, c.amounts, c.total FROM remediation_planmember m
        JOIN transactions_calculation c ON c.id = m.calculation_id
        WHERE {of_member}m.plan_chunk_id = ANY({chunks})
    """


_COUNT = f"""
    SELECT count(*), count(theirs.transaction_id), count(*) FILTER (WHERE theirs.amounts <> mine.amounts)
    FROM ({_rows("%(one)s")}) AS mine
    LEFT JOIN ({_rows("%(other)s")}) AS theirs ON theirs.transaction_id = mine.transaction_id
"""
_DIFFERING = f"""
    SELECT mine.transaction_id, mine.total, theirs.total
    FROM ({_rows("ARRAY[%(chunk)s]::bigint[]")}) AS mine
    LEFT JOIN LATERAL ({_rows("%(other)s", "mine.transaction_id")} LIMIT 1) AS theirs ON TRUE
    WHERE mine.transaction_id > %(after)s AND theirs.amounts IS DISTINCT FROM mine.amounts
    ORDER BY mine.transaction_id LIMIT %(limit)s
"""
