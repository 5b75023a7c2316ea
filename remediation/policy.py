"""How many people must approve a plan, what they type, and how long it stays fresh.

The rules come from the setting AMENDS_APPROVAL_POLICY; each plan keeps a snapshot, and its digest covers it, so that a change of rules
changes no plan under way.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from transactions.templatetags.money import money_text


@dataclass(frozen=True)
class Policy:
    """`approvals` people for a usual plan, `approvals_for_large` for a large one. Fresh for `fresh_hours`.

    A plan is large above `large_count` corrections, where totals of a currency change by more than `large_money` of it, or where a single
    one changes by more than `largest_single`: {"USD": "100000.00"}, in units of the currency. A currency without a limit makes no plan
    large by its money: sums of several currencies are never added up, so that a limit for all of them there cannot be.
    Above `typed_above` corrections the number of them is typed by whoever approves or applies.
    """

    approvals: int = 1
    approvals_for_large: int = 1
    large_count: int = 1_000_000
    large_money: Mapping[str, str] = field(default_factory=dict)
    largest_single: Mapping[str, str] = field(default_factory=dict)
    typed_above: int = 1_000
    fresh_hours: int = 24

    def __post_init__(self) -> None:
        if self.approvals < 1 or self.approvals_for_large < self.approvals:
            raise ValueError("A plan needs at least one approval, and a large one no fewer than a usual one.")
        if self.large_count < 0 or self.typed_above < 0 or self.fresh_hours < 0:
            raise ValueError(
                "Limits of a policy, and the hours that a plan is fresh for, are no less than 0."
            )
        for limits in (self.large_money, self.largest_single):
            for currency, limit in limits.items():
                _limit(currency, limit)

    def required_approvals(self, manifest: Mapping[str, Any]) -> int:
        """How many people must approve the plan of that manifest."""
        return self.approvals_for_large if self.why_large(manifest) else self.approvals

    def why_large(self, manifest: Mapping[str, Any]) -> list[str]:
        """The limits that the plan of that manifest passes, a sentence each; none where it is a usual one."""
        reasons = []
        if manifest["proposed"] > self.large_count:
            reasons.append(
                _("It corrects more than %(limit)s transactions.") % {"limit": f"{self.large_count:,}"}
            )
        for key, sums in sorted(manifest["money"].items()):
            currency, _sep, scale = key.partition(":")
            for limits, units, words in (
                (self.large_money, abs(sums["delta"]), _("Totals change by more than %(limit)s.")),
                (self.largest_single, sums["largest"], _("A single total changes by more than %(limit)s.")),
            ):
                if currency in limits:
                    limit = int(_limit(currency, limits[currency]).scaleb(int(scale)))
                    if units > limit:
                        reasons.append(words % {"limit": money_text(limit, currency, int(scale))})
        return reasons

    def must_type(self, proposed: int) -> bool:
        """Whether the number of corrections is typed by whoever approves or applies so many."""
        return proposed > self.typed_above

    @property
    def fresh_for(self) -> timedelta:
        """How long after its preview a plan may be applied."""
        return timedelta(hours=self.fresh_hours)

    def snapshot(self) -> dict[str, Any]:
        """The rules as JSON, as a plan keeps them."""
        return asdict(self)


def policy_in_force() -> Policy:
    """The rules for plans previewed now. Raises `ImproperlyConfigured` where the setting says something else."""
    try:
        return Policy(**getattr(settings, "AMENDS_APPROVAL_POLICY", {}))
    except (TypeError, ValueError) as error:
        known = ", ".join(Policy.__dataclass_fields__)
        raise ImproperlyConfigured(f"AMENDS_APPROVAL_POLICY: {error} It may say: {known}.") from error


def _limit(currency: str, limit: str) -> Decimal:
    try:
        amount = Decimal(str(limit))
    except InvalidOperation:
        amount = Decimal("NaN")
    if len(currency) != 3 or not currency.isupper() or not amount.is_finite() or amount < 0:
        raise ValueError(f"“{currency}: {limit}” is no limit: write it as in USD: 100000.00.")
    return amount
