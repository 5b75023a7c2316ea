"""Where a case stands: derived from its plans and jobs, and stored nowhere."""

from collections.abc import Sequence

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from remediation.lifecycle import APPLIED_PLAN, OPEN_PLAN
from remediation.models import Case, Job, Plan


class Stage(TextChoices):
    OPENED = "opened", _("opened, not previewed yet")
    PREVIEWING = "previewing", _("being previewed")
    READY = "ready", _("waiting for approval")
    APPROVED = "approved", _("approved, not applied yet")
    APPLYING = "applying", _("being applied")
    APPLIED = "applied", _("applied, not verified yet")
    STOPPED = "stopped", _("stopped part of the way")
    NOTHING_PROPOSED = "nothing_proposed", _("previewed: nothing to correct")
    VERIFIED = "verified", _("verified: nothing is left")
    LEFT_OVER = "left_over", _("verified: something is left")
    UNRECONCILED = "unreconciled", _("verified: it does not add up")
    REVERTED = "reverted", _("taken back")
    REJECTED = "rejected", _("rejected")
    FAILED = "failed", _("the preview failed")


_OPEN = {
    Plan.Status.PREVIEWING: Stage.PREVIEWING,
    Plan.Status.READY: Stage.READY,
    Plan.Status.APPROVED: Stage.APPROVED,
    Plan.Status.EXECUTING: Stage.APPLYING,
}
_ENDED = {Plan.Status.REJECTED: Stage.REJECTED, Plan.Status.FAILED: Stage.FAILED}


def stage_of(case: Case) -> Stage:
    """Where `case` stands now, in two queries."""
    return derive_stage(list(case.plans.all()), list(case.jobs.all()))


def derive_stage(plans: Sequence[Plan], jobs: Sequence[Job]) -> Stage:
    """Where a case with those plans and jobs stands: by its open plan, else by what was applied last, else by its newest plan."""
    newest_first = sorted(plans, key=lambda plan: -plan.pk)
    for plan in newest_first:
        if plan.status in OPEN_PLAN and not plan.proposes_nothing:
            return _OPEN[Plan.Status(plan.status)]
    for plan in newest_first:
        if plan.status in APPLIED_PLAN:
            return _after(plan, jobs)
    if not newest_first:
        return Stage.OPENED
    if newest_first[0].status == Plan.Status.READY:
        return Stage.NOTHING_PROPOSED
    return _ENDED.get(Plan.Status(newest_first[0].status), Stage.OPENED)


def _after(plan: Plan, jobs: Sequence[Job]) -> Stage:
    """Where a case stands whose last applied plan is `plan`; only a verification asked for after it says anything about it."""
    if plan.status == Plan.Status.STOPPED:
        return Stage.STOPPED
    applied = max(
        (job.pk for job in jobs if job.plan_id == plan.pk and job.kind == Job.Kind.APPLY), default=0
    )
    verified = [job for job in jobs if job.kind == Job.Kind.VERIFY and job.pk > applied and job.result]
    result = max(verified, key=lambda job: job.pk).result if verified else None
    if result is not None and not result["reconciled"]:
        return Stage.UNRECONCILED
    if plan.kind == Plan.Kind.REVERT:
        return Stage.REVERTED
    if result is None:
        return Stage.APPLIED
    # What the target cannot calculate stands on its old amounts, though nobody can say whether they differ.
    failed = result.get("classes", {}).get("failed", {}).get("rows", 0)
    return Stage.LEFT_OVER if result["differing"] or failed else Stage.VERIFIED
