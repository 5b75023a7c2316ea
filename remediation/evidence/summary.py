"""What a person reads of an evidence pack first: what happened, for how much money, and who approved it."""

from dataclasses import dataclass
from typing import Any

from remediation.exclusions import Exclusions
from remediation.models import Approval, Case, Job, Plan
from remediation.money import as_amounts
from remediation.progress import Applied, applied_by


@dataclass(frozen=True)
class PlanTold:
    """A plan with its decisions, the job that applied it and what that did; both None where none did."""

    plan: Plan
    approvals: list[Approval]
    job: Job | None
    done: Applied | None

    @property
    def money(self) -> list[dict[str, str | int]]:
        """By how much totals were changed, by currency and scale."""
        return [] if self.done is None else as_amounts(self.done.money)

    @property
    def left_out(self) -> str:
        """What the plan's case leaves out, in words."""
        return str(Exclusions.from_json(self.plan.revision.exclusions))


def summary_of(case: Case) -> dict[str, Any]:
    """The summary's context: `plans`, oldest first, and `verification`, the last one."""
    plans = case.plans.select_related("requested_by", "revision").order_by("pk")
    verification = case.jobs.filter(kind=Job.Kind.VERIFY, status=Job.Status.FINISHED).first()
    return {"plans": [_told(plan) for plan in plans], "verification": verification}


def _told(plan: Plan) -> PlanTold:
    job = plan.jobs.filter(kind=Job.Kind.APPLY).select_related("requested_by").first()
    return PlanTold(
        plan=plan,
        approvals=list(plan.approvals.select_related("decided_by").order_by("pk")),
        job=job,
        done=None if job is None else applied_by(job),
    )
