"""Asking for a preview: a case's selection, frozen as a plan of bounded chunks."""

from django.contrib.auth.models import User
from django.db import transaction

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.conclusion import fail_job
from remediation.doorbell import ring_after_commit
from remediation.events import PLAN_SUPERSEDED, PREVIEW_REQUESTED, PlanSuperseded, PreviewRequested
from remediation.keyset import chunk_bounds, newest_calculation
from remediation.lifecycle import OPEN_PLAN
from remediation.models import Case, CaseRevision, Job, JobChunk, Plan, PlanChunk
from remediation.policy import policy_in_force
from transactions.calculating import calculator_for
from transactions.models import Release
from transactions.selection import Selection


class NothingSelected(Refused):
    """The selection's releases have no calculation in its window."""


class PlanUnderWay(Refused):
    """The case's plan is being applied: it cannot be previewed again before that has ended."""


class RevertOpen(Refused):
    """A plan that takes something back is open: what the case's correction would be shows only once that is decided."""


class RetryOpen(Refused):
    """A plan that tries single rows again is open: it would give way to a preview of the whole case."""


def request_preview(case: Case, *, acting_user: User, again: bool = False) -> Plan:
    """The plan of what correcting `case` would do; its job scans the chunks.

    Asked twice it is the same plan, as long as one is open. With `again` an open one that is not being applied gives way to a new one.
    A revert or reapply that is open does not, unless there is nothing in it to decide. Raises `NotPermitted`, `NothingSelected`,
    `PlanUnderWay`, `RevertOpen`, `RetryOpen`,
    `InvalidSelection`, or what `calculator_for` raises where there is no code for the target version.
    """
    demand(acting_user, "remediation.preview_plan")
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=case.pk)
        standing = Plan.objects.filter(case=case, status__in=OPEN_PLAN).first()
        if standing is not None and standing.kind == Plan.Kind.APPLY and not again:
            if standing.retries_id is None:
                return standing
            if not standing.proposes_nothing:
                raise RetryOpen(f"{standing} is open: it has to be decided first, or give way (--again).")
        if standing is not None:
            if standing.kind != Plan.Kind.APPLY and not standing.proposes_nothing:
                raise RevertOpen(
                    f"{standing} is open: it has to be decided or replaced before the case is previewed again."
                )
            supersede(standing, acting_user=acting_user)
        revision = case.revisions.latest("number")
        plan = _new_plan(case, revision, acting_user)
        chunks = _bound_chunks(plan, Selection.from_criteria(revision.criteria))
        if not chunks:
            raise NothingSelected(f"There is no calculation of {Selection.from_criteria(revision.criteria)}.")
        start_preview_job(plan, chunks, acting_user=acting_user)
    plan.refresh_from_db()
    return plan


def supersede(plan: Plan, *, acting_user: User) -> None:
    """Take an open plan out of the way of a new one; nobody can approve or apply it any more. Raises `PlanUnderWay`.

    Whoever calls holds the case's lock. A worker that seals the plan at this moment does not, so the plan is read anew under its own.
    """
    was = plan.status
    for job in plan.jobs.filter(kind=Job.Kind.PREVIEW).exclude(status__in=Job.ENDED):
        fail_job(job, "Previewed again before it was done.", plan_status=Plan.Status.SUPERSEDED)
    plan = Plan.objects.select_for_update().get(pk=plan.pk)
    if plan.status == Plan.Status.EXECUTING:
        raise PlanUnderWay(f"{plan} is being applied. Wait until it has ended.")
    if plan.status in OPEN_PLAN:
        was = plan.status
        plan.status = Plan.Status.SUPERSEDED
        plan.save(update_fields=["status"])
    elif plan.status != Plan.Status.SUPERSEDED:
        return
    digest = bytes(plan.digest).hex() if plan.digest else ""
    record(PLAN_SUPERSEDED, plan, PlanSuperseded(digest=digest, was=was), actor=acting_user)


def start_preview_job(plan: Plan, chunks: list[PlanChunk], *, acting_user: User) -> Job:
    """Give the plan its chunks and the job that scans them, inside the caller's transaction."""
    PlanChunk.objects.bulk_create(chunks, batch_size=1000)
    job = Job.objects.create(
        case_id=plan.case_id, plan=plan, kind=Job.Kind.PREVIEW, requested_by=plan.requested_by
    )
    JobChunk.objects.bulk_create(
        (JobChunk(job=job, position=chunk.position, plan_chunk=chunk) for chunk in chunks), batch_size=1000
    )
    record(
        PREVIEW_REQUESTED,
        plan,
        PreviewRequested(
            case=plan.case_id,
            kind=plan.kind,
            source_plan=plan.source_plan_id,
            chunks=len(chunks),
            job=job.pk,
            retries=plan.retries_id,
        ),
        actor=acting_user,
        reason=plan.reason,
    )
    ring_after_commit(job)
    return job


def _new_plan(case: Case, revision: CaseRevision, acting_user: User) -> Plan:
    selection = Selection.from_criteria(revision.criteria)
    calculator = calculator_for(selection.calculator, revision.target_version)
    targets = {}
    for release in selection.releases():
        target, _ = Release.objects.get_or_create(
            service=release.service, calculator=release.calculator, version=revision.target_version
        )
        targets[str(release.pk)] = target.pk
    return Plan.objects.create(
        case=case,
        revision=revision,
        kind=Plan.Kind.APPLY,
        reason=case.reason,
        targets=targets,
        calculator_digest=calculator.code_digest,
        high_water=newest_calculation(),
        policy=policy_in_force().snapshot(),
        requested_by=acting_user,
    )


def _bound_chunks(plan: Plan, selection: Selection) -> list[PlanChunk]:
    """The plan's chunks: every AMENDS_PLAN_CHUNK_ROWS rows of each release's keyset, each bounded by its own rows.

    The keyset index alone answers; what the other criteria leave out, the scan leaves out.
    """
    chunks: list[PlanChunk] = []
    for release_id in plan.targets:
        for after, through in chunk_bounds(int(release_id), selection, plan.high_water):
            chunks.append(
                PlanChunk(
                    plan=plan,
                    position=len(chunks),
                    release_id=int(release_id),
                    after_at=after[0],
                    after_id=after[1],
                    through_at=through[0],
                    through_id=through[1],
                )
            )
    return chunks
