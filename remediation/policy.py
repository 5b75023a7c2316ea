"""How many people must approve a plan, and how long it stays fresh.

The rules come from the setting AMENDS_APPROVAL_POLICY; each plan keeps a snapshot, and its digest covers it, so that a change of rules
changes no plan under way.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class Policy:
    """`approvals` people for a usual plan, `approvals_for_large` above `large_count` corrections. Fresh for `fresh_hours`."""

    approvals: int = 1
    approvals_for_large: int = 1
    large_count: int = 1_000_000
    fresh_hours: int = 24

    def __post_init__(self) -> None:
        if self.approvals < 1 or self.approvals_for_large < self.approvals:
            raise ValueError("A plan needs at least one approval, and a large one no fewer than a usual one.")

    def required_approvals(self, *, proposed: int) -> int:
        """How many people must approve a plan that proposes so many corrections."""
        return self.approvals_for_large if proposed > self.large_count else self.approvals

    @property
    def fresh_for(self) -> timedelta:
        """How long after its preview a plan may be applied."""
        return timedelta(hours=self.fresh_hours)

    def snapshot(self) -> dict[str, Any]:
        """The rules as JSON, as a plan keeps them."""
        return asdict(self)


def policy_in_force() -> Policy:
    """The rules for plans previewed now."""
    return Policy(**getattr(settings, "AMENDS_APPROVAL_POLICY", {}))
