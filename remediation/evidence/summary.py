"""What a person reads of an evidence pack first: what happened, for how much money, and who approved it."""

from dataclasses import dataclass
from typing import Any

from remediation.models import Approval, Case, Job, Plan
from remediation.money import add_money, as_amounts


@dataclass(frozen=True)
class PlanTold:
    """A plan with what it proposed and what was done of it: rows, conflicts, and money by currency and scale."""

    plan: Plan
    approvals: list[Approval]
    job: Job | None
    proposed: int
    applied: int
    conflicts: int
    money: list[dict[str, str | int]]


def summary_of(case: Case) -> dict[str, Any]:
    """The summary's context: `plans`, oldest first, and `verification`, the last one."""
    plans = case.plans.select_related("requested_by").order_by("pk")
    verification = case.jobs.filter(kind=Job.Kind.VERIFY, status=Job.Status.FINISHED).first()
    return {"plans": [_told(plan) for plan in plans], "verification": verification}


def _told(plan: Plan) -> PlanTold:
    job = plan.jobs.filter(kind=Job.Kind.APPLY).select_related("requested_by").first()
    results = (
        [] if job is None else [result for result in job.chunks.values_list("result", flat=True) if result]
    )
    return PlanTold(
        plan=plan,
        approvals=list(plan.approvals.select_related("decided_by").order_by("pk")),
        job=job,
        proposed=(plan.manifest or {}).get("proposed", 0),
        applied=sum(result["applied"] for result in results),
        conflicts=sum(result["conflicts"] for result in results),
        money=as_amounts(add_money(result["money"] for result in results)),
    )
