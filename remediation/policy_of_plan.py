"""What the policy that a plan was previewed under asks of it, from all that was found."""

from dataclasses import dataclass

from remediation.figures import merge_spreads
from remediation.models import Plan, PlanChunkFigures
from remediation.policy import Policy


@dataclass(frozen=True)
class Asked:
    """Approvals that a plan needs, the limits that it passes (a sentence each), and whether their number is typed with it."""

    policy: Policy
    approvals: int
    why_large: list[str]
    must_type: bool


def asked_of(plan: Plan) -> Asked:
    """What its own policy asks of a plan that has a manifest."""
    assert plan.manifest is not None
    policy = Policy(**plan.policy)
    moved = money_moved(plan)
    why_large = policy.why_large(plan.manifest, moved)
    return Asked(
        policy,
        policy.required_approvals(plan.manifest, moved),
        why_large,
        bool(why_large) or policy.must_type(plan.manifest["proposed"]),
    )


def money_moved(plan: Plan) -> dict[str, int]:
    """What goes up and what goes down in a plan's totals, added, as far as figures were kept: {"USD:2": 1200} in smallest units.

    Of a plan that takes another back, which has no figures, it is what that one moved: it takes back no more.
    """
    moved: dict[str, int] = {}
    source: Plan | None = plan
    while source is not None:
        kept = PlanChunkFigures.objects.filter(plan_chunk__plan=source).values_list("spread", flat=True)
        for spread in merge_spreads(kept):
            key = f"{spread.currency}:{spread.scale}"
            moved[key] = max(moved.get(key, 0), spread.up.added - spread.down.added)
        source = source.source_plan
    return moved
