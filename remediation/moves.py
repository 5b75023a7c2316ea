"""The moves that applied plans made of transactions' pointers: rows of finished chunks, without their conflicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection

from remediation.models import Plan
from transactions.models import Transaction
from transactions.pointer_moves import PointerMove, tells_moves


@dataclass(frozen=True)
class AppliedMove(PointerMove):
    """A move by a job's chunk, for a plan of that kind; `by` is the name of who started the job."""

    plan: int
    case: int
    kind: Plan.Kind
    job: int
    job_chunk: int
    by: str


# Proposals are found along the index on those of a transaction, members along theirs, and a chunk's range along that of the finished ones.
_APPLIED = """
    SELECT move.transaction_id, done.finished_at, move.calculation_id, move.replaces_id,
           plan.id, plan.case_id, plan.kind, job.id, done.id, starter.username
    FROM (
        SELECT transaction_id, id AS calculation_id, replaces_id, plan_chunk_id FROM transactions_calculation
        WHERE transaction_id = ANY(%(transactions)s) AND batch_id IS NULL
        UNION ALL
        SELECT transaction_id, calculation_id, replaces_id, plan_chunk_id FROM remediation_planmember
        WHERE transaction_id = ANY(%(transactions)s)
    ) AS move
    JOIN LATERAL (
        SELECT id, job_id, finished_at FROM remediation_jobchunk
        WHERE plan_chunk_id = move.plan_chunk_id AND status = 'done'
          AND last_transaction >= move.transaction_id AND first_transaction <= move.transaction_id OFFSET 0
    ) AS done ON true
    JOIN remediation_job job ON job.id = done.job_id AND job.kind = 'apply'
    JOIN remediation_plan plan ON plan.id = job.plan_id
    JOIN auth_user starter ON starter.id = job.requested_by_id
    WHERE NOT EXISTS (
        SELECT FROM remediation_outcome outcome
        WHERE outcome.job_id = done.job_id AND outcome.transaction_id = move.transaction_id AND outcome.kind = 'conflict')
    ORDER BY done.finished_at, done.id
"""


def applied_moves(transactions: Sequence[int]) -> dict[int, list[AppliedMove]]:
    """What plans moved of these transactions, by transaction, the earliest first. One query."""
    found: dict[int, list[AppliedMove]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_APPLIED, {"transactions": list(transactions)})
        for transaction, at, to, replaced, plan, case, kind, job, chunk, by in cursor.fetchall():
            move = AppliedMove(at, to, replaced, plan, case, Plan.Kind(kind), job, chunk, by)
            found.setdefault(transaction, []).append(move)
    return found


@tells_moves
def applied(transaction: Transaction) -> Iterable[AppliedMove]:
    """What plans moved of one transaction."""
    return applied_moves([transaction.pk]).get(transaction.pk, [])
