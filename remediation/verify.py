"""Asking for a verification: is anything left, and does everything add up?"""

from django.contrib.auth.models import User
from django.db import transaction

from audit.permission import demand
from audit.trail import record
from remediation.doorbell import ring_after_commit
from remediation.events import VERIFY_STARTED, VerifyStarted
from remediation.keyset import chunk_bounds, newest_calculation
from remediation.lifecycle import APPLIED_PLAN
from remediation.models import Case, Job, JobChunk, Plan, PlanChunk
from remediation.preview import PlanUnderWay
from transactions.selection import Selection


def start_verify(case: Case, *, acting_user: User) -> Job:
    """The job that verifies `case`, over every row in its scope and every row of its applied plans; while one runs, the same.

    Raises `NotPermitted`, `PlanUnderWay` while a plan of the case is being applied, `InvalidSelection`.
    """
    demand(acting_user, "remediation.verify_case")
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=case.pk)
        standing = case.jobs.filter(kind=Job.Kind.VERIFY).exclude(status__in=Job.ENDED).first()
        if standing is not None:
            return standing
        executing = Plan.objects.filter(case=case, status=Plan.Status.EXECUTING).first()
        if executing is not None:
            raise PlanUnderWay(f"{executing} is being applied. Verify when it has ended.")
        job = Job.objects.create(case=case, kind=Job.Kind.VERIFY, requested_by_id=acting_user.pk)
        chunks = [*_plan_chunks(case), *_scope_chunks(case)]
        for position, chunk in enumerate(chunks):
            chunk.job, chunk.position = job, position
        JobChunk.objects.bulk_create(chunks, batch_size=1000)
        record(
            VERIFY_STARTED,
            job,
            VerifyStarted(case=case.pk, chunks=len(chunks)),
            actor=acting_user,
            reason=case.reason,
        )
        ring_after_commit(job)
    return job


def _plan_chunks(case: Case) -> list[JobChunk]:
    """A job chunk for each chunk of the case's applied plans, to hold its rows and pointers against what was approved."""
    chunks = PlanChunk.objects.filter(plan__case=case, plan__status__in=APPLIED_PLAN).order_by(
        "plan", "position"
    )
    return [JobChunk(plan_chunk=chunk) for chunk in chunks]


def _scope_chunks(case: Case) -> list[JobChunk]:
    """Job chunks over the whole selection as it is now, what arrived since the preview included."""
    selection = Selection.from_criteria(case.revisions.latest("number").criteria)
    newest = newest_calculation()
    return [
        JobChunk(
            bounds={
                "release": release.pk,
                "after_at": after[0].isoformat(),
                "after_id": after[1],
                "through_at": through[0].isoformat(),
                "through_id": through[1],
                "high_water": newest,
            }
        )
        for release in selection.releases()
        for after, through in chunk_bounds(release.pk, selection, newest)
    ]
