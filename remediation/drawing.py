"""Which of a job's corrections a seed draws: anybody can draw them again. docs/audit-sample.md says the same for other languages.

The applied corrections of a job have positions from 0: by their plan chunk's position and then by their leaf, the conflicts left out.
That order was frozen by the preview and what was applied of it by the job, so that it never changes once the job has ended.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, count
from typing import NamedTuple

from django.db import connection

from audit.netstrings import netstrings
from remediation.apply import Tampered
from remediation.models import Job, JobChunk

_NUMBERS = 2**64


def draw_positions(*, seed: str, job: int, plan_digest: bytes, population: int, size: int) -> list[int]:
    """`size` different positions below `population`, in the order of drawing, each with the same chance. Format `sample/1`.

    The i-th number, from 0, is the first 8 octets, highest first, of SHA-256(N("sample/1", seed, job, hex(plan_digest), i)). Numbers
    at or above the largest multiple of `population` that 2^64 holds are left out, so that each position is met by as many numbers;
    the rest of its division by `population` is the position, left out where it was drawn before. A smaller sample with the same seed
    is a larger one's beginning.
    """
    opening = netstrings(("sample/1", seed, str(job), plan_digest.hex()))
    beyond = _NUMBERS - _NUMBERS % population
    drawn: dict[int, None] = {}
    for index in count():
        if len(drawn) == size:
            break
        number = int.from_bytes(sha256(opening + netstrings((str(index),))).digest()[:8], "big")
        if number < beyond:
            drawn.setdefault(number % population)
    return list(drawn)


@dataclass(frozen=True)
class Drawn:
    """An applied correction at a position: its leaf, and the move that the leaf stands for."""

    position: int
    job_chunk: int
    leaf_number: int
    leaf: bytes
    transaction: int
    calculation: int
    replaces: int


class _Done(NamedTuple):
    """A finished chunk of a job, and how many corrections it says it applied."""

    id: int
    plan_chunk: int
    first_leaf: int
    leaf_count: int
    applied: int


class AppliedCorrections:
    """All corrections that a job applied, by position. Reads the job's chunks, and rows of those chunks alone that are asked for."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._chunks = [
            _Done(chunk, plan_chunk or 0, first or 0, leaves or 0, applied)
            for chunk, plan_chunk, first, leaves, applied in job.chunks.filter(
                status=JobChunk.Status.DONE, leaf_count__gt=0
            )
            .order_by("plan_chunk__position", "first_leaf")
            .values_list("id", "plan_chunk_id", "first_leaf", "leaf_count", "result__applied")
        ]
        self._ends = list(accumulate(chunk.applied for chunk in self._chunks))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, positions: Iterable[int]) -> dict[int, Drawn]:
        """The corrections at `positions`. Raises `Tampered` where a chunk's rows are not as many as it applied."""
        by_chunk: dict[int, list[int]] = {}
        for position in positions:
            by_chunk.setdefault(bisect_right(self._ends, position), []).append(position)
        return {
            drawn.position: drawn
            for index, wanted in sorted(by_chunk.items())
            for drawn in self._in_chunk(self._chunks[index], self._ends[index], wanted)
        }

    def _in_chunk(self, chunk: _Done, end: int, positions: list[int]) -> Iterable[Drawn]:
        begin = end - chunk.applied
        with connection.cursor() as cursor:
            # A chunk's plan is its own: how many conflicts it has decides how they are best left out.
            cursor.execute(
                _IN_CHUNK,
                {
                    "job": self._job.pk,
                    "plan_chunk": chunk.plan_chunk,
                    "first_leaf": chunk.first_leaf,
                    "leaf_count": chunk.leaf_count,
                    "ranks": [position - begin for position in positions],
                },
            )
            rows = cursor.fetchall()
        if len(rows) != len(positions) or any(applied != chunk.applied for *_, applied in rows):
            raise Tampered(
                f"Chunk {chunk.id} of {self._job} says that it applied {chunk.applied:,} corrections, and its rows say otherwise. "
                "No sample was drawn; verify the trail."
            )
        for rank, leaf_number, leaf, transaction, calculation, replaces, _ in rows:
            yield Drawn(begin + rank, chunk.id, leaf_number, bytes(leaf), transaction, calculation, replaces)


def items_digest(drawn: Iterable[Drawn]) -> str:
    """SHA-256 (hex) over the joined N(number, position, transaction, calculation, replaced calculation, hex(leaf)) of all, in order
    of drawing."""
    whole = sha256()
    for number, each in enumerate(drawn, 1):
        fields = (number, each.position, each.transaction, each.calculation, each.replaces, each.leaf.hex())
        whole.update(netstrings(map(str, fields)))
    return whole.hexdigest()


_IN_CHUNK = """
    WITH leaf AS (
        SELECT transaction_id, row_number() OVER (ORDER BY transaction_id) - 1 + %(first_leaf)s::bigint AS leaf_number
        FROM amends_chunk_transactions(%(plan_chunk)s, %(first_leaf)s, %(leaf_count)s)
    ), applied AS (
        SELECT leaf.*, row_number() OVER (ORDER BY transaction_id) - 1 AS rank, count(*) OVER () AS applied
        FROM leaf
        WHERE transaction_id NOT IN (
            SELECT outcome.transaction_id FROM remediation_outcome outcome
            WHERE outcome.plan_chunk_id = %(plan_chunk)s AND outcome.kind = 'conflict' AND outcome.job_id = %(job)s)
    )
    SELECT applied.rank, applied.leaf_number, substring(stored.leaves FROM applied.leaf_number::int * 32 + 1 FOR 32),
           move.transaction_id, move.calculation_id, move.replaces_id, applied.applied
    FROM applied
    JOIN remediation_planchunkleaves stored ON stored.plan_chunk_id = %(plan_chunk)s
    CROSS JOIN LATERAL (
        SELECT proposal.transaction_id, proposal.id AS calculation_id, proposal.replaces_id FROM transactions_calculation proposal
        WHERE proposal.plan_chunk_id = %(plan_chunk)s AND proposal.transaction_id = applied.transaction_id
        UNION ALL
        SELECT member.transaction_id, member.calculation_id, member.replaces_id FROM remediation_planmember member
        WHERE member.plan_chunk_id = %(plan_chunk)s AND member.transaction_id = applied.transaction_id
    ) AS move
    WHERE applied.rank = ANY(%(ranks)s)
"""
