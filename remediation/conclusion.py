"""How a job ends: by its last chunk, or by giving up. Safe to ask for at any time and any number of times."""

from django.db import connection, transaction

from audit.trail import record
from remediation.digest import digest_of, manifest_of, totals_of
from remediation.events import (
    JOB_FAILED,
    JOB_FINISHED,
    PLAN_EXECUTED,
    PLAN_FAILED,
    PLAN_SEALED,
    PLAN_STOPPED,
    VERIFY_FINISHED,
    Failed,
    JobFinished,
    PlanSealed,
    VerifyFinished,
)
from remediation.lease import DatabaseClock
from remediation.locks import seize_job
from remediation.models import Job, JobChunk, Plan
from remediation.policy_of_plan import asked_of
from remediation.verification import conclude_verification

UNFINISHED = (JobChunk.Status.WAITING, JobChunk.Status.LEASED)


def conclude_job(job_id: int) -> bool:
    """End the job if nothing of it is left to do; whether it has ended, now or before."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if job.status != Job.Status.RUNNING:
            return job.ended
        refused = job.chunks.filter(status=JobChunk.Status.REFUSED).order_by("position").first()
        if refused is None and job.chunks.filter(status__in=UNFINISHED).exists():
            return False
        if refused is None:
            _finish(job)
            return True
    fail_job(job, refused.failure)
    return True


def _finish(job: Job) -> None:
    plan = job.plan
    if job.kind == Job.Kind.PREVIEW:
        assert plan is not None
        _seal(plan)
    elif job.kind == Job.Kind.APPLY:
        assert plan is not None
        plan.status = Plan.Status.EXECUTED
        plan.save(update_fields=["status"])
        record(
            PLAN_EXECUTED, plan, JobFinished(plan=plan.pk, chunks=job.chunks.count()), actor=job.requested_by
        )
    else:
        job.result = conclude_verification(job)
        found = VerifyFinished(
            differing=job.result["differing"],
            reconciled=job.result["reconciled"],
            excluded=job.result["excluded"],
            job=job.pk,
        )
        record(VERIFY_FINISHED, job.case, found, actor=job.requested_by)
    job.status = Job.Status.FINISHED
    job.finished_at = DatabaseClock()
    job.save(update_fields=["status", "finished_at", "result"])
    record(
        JOB_FINISHED, job, JobFinished(plan=job.plan_id, chunks=job.chunks.count()), actor=job.requested_by
    )


def _seal(plan: Plan) -> None:
    """Freeze a scanned plan under its digest, or give up on it where rows moved from chunk to chunk while it was scanned."""
    twice = _proposed_twice(plan)
    if twice:
        _fail_plan(
            plan,
            f"{twice} transactions were recalculated while the preview ran, so that it holds them twice. Preview again.",
        )
        return
    chunks = list(plan.chunks.order_by("position"))
    plan.manifest = manifest_of(plan, chunks)
    plan.digest = digest_of(plan.manifest)
    asked = asked_of(plan)
    plan.required_approvals = asked.approvals
    plan.fresh_until = plan.requested_at + asked.policy.fresh_for
    plan.status = Plan.Status.READY
    plan.save(update_fields=["manifest", "digest", "required_approvals", "fresh_until", "status"])
    totals = totals_of(chunks)
    record(
        PLAN_SEALED,
        plan,
        PlanSealed(
            digest=plan.digest.hex(),
            scanned=totals.scanned,
            unchanged=totals.unchanged,
            proposed=totals.proposed,
            failed=totals.failed,
            money=totals.money,
            left_out=totals.left_out,
            left_out_money=totals.left_out_money,
            required_approvals=asked.approvals,
        ),
        actor=None,
        reason=plan.reason,
    )


def _proposed_twice(plan: Plan) -> int:
    """Transactions in two chunks of one plan: their pointer moved from one part of the keyset to another meanwhile."""
    if plan.kind != Plan.Kind.APPLY:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT chunk.id, lowest.transaction_id, highest.transaction_id
            FROM remediation_planchunk chunk,
                LATERAL (SELECT transaction_id FROM transactions_calculation WHERE plan_chunk_id = chunk.id
                         ORDER BY transaction_id LIMIT 1) AS lowest,
                LATERAL (SELECT transaction_id FROM transactions_calculation WHERE plan_chunk_id = chunk.id
                         ORDER BY transaction_id DESC LIMIT 1) AS highest
            WHERE chunk.plan_id = %s
            """,
            [plan.pk],
        )
        shared = _shared_ranges(cursor.fetchall())
        twice = 0
        for chunks, low, high in shared:
            cursor.execute(
                """
                SELECT count(*) FROM (
                    SELECT transaction_id FROM transactions_calculation
                    WHERE plan_chunk_id = ANY(%s) AND transaction_id BETWEEN %s AND %s
                    GROUP BY transaction_id HAVING count(*) > 1
                ) AS twice
                """,
                [chunks, low, high],
            )
            twice += int(cursor.fetchone()[0])
    return twice


def _shared_ranges(spans: list[tuple[int, int, int]]) -> list[tuple[list[int], int, int]]:
    """Where spans of transaction ids, (chunk, lowest, highest), overlap: (chunks, low, high), each range apart from the next.

    Only there can a transaction be in two chunks; as a rule ids and times of calculation grow together, and there is next to nothing.
    """
    shared: list[tuple[list[int], int, int]] = []
    reach: tuple[int, int] | None = None
    for chunk, low, high in sorted(spans, key=lambda span: span[1:]):
        if reach is None or low > reach[1]:
            reach = chunk, high
            continue
        overlap = min(high, reach[1])
        if shared and low <= shared[-1][2]:
            chunks, from_id, through_id = shared.pop()
            shared.append(([*chunks, reach[0], chunk], from_id, max(through_id, overlap)))
        else:
            shared.append(([reach[0], chunk], low, overlap))
        if high > reach[1]:
            reach = chunk, high
    return shared


def fail_job(job: Job, failure: str, *, plan_status: str | None = None) -> None:
    """Give up on a running job: no chunk of it commits once this has returned.

    Its plan fails where it was being previewed (or becomes `plan_status`), and is stopped where it was being applied: what was
    applied stands and can be reverted.
    """
    with transaction.atomic():
        seize_job(job.pk)
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.status not in (Job.Status.RUNNING, Job.Status.PAUSING, Job.Status.PAUSED):
            return
        job.status, job.failure, job.finished_at = Job.Status.FAILED, failure, DatabaseClock()
        job.save(update_fields=["status", "failure", "finished_at"])
        record(JOB_FAILED, job, Failed(failure=failure), actor=None)
        end_plan(job, failure, status=plan_status)


def end_plan(job: Job, failure: str, *, status: str | None = None) -> None:
    """What becomes of the plan of a job that ends before it is done, inside the caller's transaction: where it was being previewed it fails
    (or becomes `status`), where it was being applied it is stopped.
    """
    plan = job.plan
    if plan is None:
        return
    if job.kind == Job.Kind.PREVIEW and plan.status == Plan.Status.PREVIEWING:
        _fail_plan(plan, failure, status=status or Plan.Status.FAILED)
    elif job.kind == Job.Kind.APPLY and plan.status == Plan.Status.EXECUTING:
        plan.status, plan.failure = Plan.Status.STOPPED, failure
        plan.save(update_fields=["status", "failure"])
        record(PLAN_STOPPED, plan, Failed(failure=failure), actor=None)


def _fail_plan(plan: Plan, failure: str, *, status: str = Plan.Status.FAILED) -> None:
    plan.status, plan.failure = status, failure
    plan.save(update_fields=["status", "failure"])
    record(PLAN_FAILED, plan, Failed(failure=failure), actor=None)
