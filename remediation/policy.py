"""How many people must approve a plan, what they type, and how long it stays fresh.

The rules come from the setting AMENDS_APPROVAL_POLICY; each plan keeps a snapshot, and its digest covers it, so that a change of rules
changes no plan under way.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from transactions.templatetags.money import money_text

NO_MONEY: Mapping[str, int] = MappingProxyType({})
MOST = {
    "approvals": 100,
    "approvals_for_large": 100,
    "large_count": 10**12,
    "typed_above": 10**12,
    "fresh_hours": 24 * 366,
}
"""The most that each number of a policy may be."""
_CURRENCY = re.compile("[A-Z]{3}")
_AMOUNT = re.compile(r"[0-9]{1,30}(\.[0-9]{1,10})?")


@dataclass(frozen=True)
class Policy:
    """`approvals` people for a usual plan, `approvals_for_large` for a large one. Fresh for `fresh_hours`.

    A plan is large above `large_count` corrections, where totals of a currency change by more than `large_money` of it, or where a single
    one changes by more than `largest_single`: {"USD": "100000.00"}, in units of the currency. What goes up and what goes down is added
    for that, so that a plan which takes as much as it gives is not small. Where some currencies have a limit, one that has none has the
    limit 0: nobody said how much of it is little, and sums of several currencies are never added up, so that no limit fits all of them.
    Above `typed_above` corrections the number of them is typed by whoever approves or applies, and so it is for every large plan.
    """

    approvals: int = 1
    approvals_for_large: int = 1
    large_count: int = 1_000_000
    large_money: Mapping[str, str] = field(default_factory=dict)
    largest_single: Mapping[str, str] = field(default_factory=dict)
    typed_above: int = 1_000
    fresh_hours: int = 24

    def __post_init__(self) -> None:
        for name in ("approvals", "approvals_for_large", "large_count", "typed_above", "fresh_hours"):
            number = getattr(self, name)
            if type(number) is not int or not 0 <= number <= MOST[name]:
                raise ValueError(
                    f"{name} is {number!r}, and must be a whole number from 0 to {MOST[name]:,}."
                )
        if self.approvals < 1 or self.approvals_for_large < self.approvals:
            raise ValueError("A plan needs at least one approval, and a large one no fewer than a usual one.")
        for name in ("large_money", "largest_single"):
            limits = getattr(self, name)
            if not isinstance(limits, Mapping):
                raise ValueError(
                    f'{name} is {limits!r}, and must say it by currency: {{"USD": "100000.00"}}.'
                )
            for currency, limit in limits.items():
                _limit(currency, limit)

    def required_approvals(self, manifest: Mapping[str, Any], moved: Mapping[str, int] = NO_MONEY) -> int:
        """How many people must approve the plan of that manifest. `moved`: see `why_large`.

        The database holds a plan to it when it is sealed: `amends_required_approvals`, which a test holds against this.
        """
        return self.approvals_for_large if self.why_large(manifest, moved) else self.approvals

    def why_large(self, manifest: Mapping[str, Any], moved: Mapping[str, int] = NO_MONEY) -> list[str]:
        """The limits that the plan of that manifest passes, a sentence each; none where it is a usual one.

        `moved` is what goes up and what goes down in its totals, added, where that is known: {"USD:2": 1200} in smallest units.
        """
        reasons = []
        if manifest["proposed"] > self.large_count:
            reasons.append(
                _("It corrects more than %(limit)s transactions.") % {"limit": f"{self.large_count:,}"}
            )
        for key, sums in sorted(manifest["money"].items()):
            currency, _sep, scale = key.partition(":")
            for limits, units, words in (
                (
                    self.large_money,
                    max(abs(sums["delta"]), moved.get(key, 0)),
                    _("What goes up and what goes down is more than %(limit)s together."),
                ),
                (self.largest_single, sums["largest"], _("A single total changes by more than %(limit)s.")),
            ):
                limit = int(_limit(currency, limits.get(currency, "0")).scaleb(int(scale)))
                if limits and units > limit:
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


def _limit(currency: str, limit: object) -> Decimal:
    """The limit as the database reads it too: digits, and a point at most."""
    if (
        not isinstance(limit, str | int)
        or not _CURRENCY.fullmatch(currency)
        or not _AMOUNT.fullmatch(str(limit))
    ):
        raise ValueError(f'“{currency}: {limit}” is no limit: write it as in "USD": "100000.00".')
    return Decimal(str(limit))
