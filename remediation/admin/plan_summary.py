"""What a plan would change, as people read it: counts, money per currency, causes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from audit.errors import Refused
from remediation.causes import cause_in_words, merge_causes, parts_of
from remediation.digest import PlanTotals, totals_in, totals_of
from remediation.figures import Spread
from remediation.models import Plan
from remediation.scan import target_calculator
from transactions.models import Transaction
from transactions.templatetags.money import change_text


@dataclass(frozen=True)
class Sum:
    """Money of one currency and scale, in smallest units."""

    currency: str
    scale: int
    amount: int


def sums(money: Mapping[str, int]) -> list[Sum]:
    """{"USD:2": 120} as a list, by currency."""
    return [Sum(*_currency(key), amount) for key, amount in sorted(money.items())]


def _currency(key: str) -> tuple[str, int]:
    currency, _, scale = key.partition(":")
    return currency, int(scale)


def change_in_words(money: Mapping[str, int]) -> str:
    """What totals change by, in all: "USD +12.30 and JPY −5"; "no money" where none does."""
    parts = [
        f"{each.currency}\N{NO-BREAK SPACE}{change_text(each.amount, each.scale)}" for each in sums(money)
    ]
    if len(parts) > 1:
        return f"{', '.join(parts[:-1])} and {parts[-1]}"
    return parts[0] if parts else "no money"


def plan_change_in_words(plan: Plan) -> str:
    """What applying a sealed plan changes totals by, in all; "" before it is sealed."""
    if plan.manifest is None:
        return ""
    return change_in_words({key: part["delta"] for key, part in plan.manifest["money"].items()})


def corrections_in_words(plan: Plan) -> str:
    """How much a sealed plan would change: "3 corrections, USD +1.20 in all"."""
    proposed = (plan.manifest or {}).get("proposed", 0)
    return f"{proposed:,} correction{'' if proposed == 1 else 's'}, {plan_change_in_words(plan)} in all"


MOST_SUMS_ON_A_BUTTON = 2


def corrections_in_short(plan: Plan) -> str:
    """The same for a button: of many currencies it says how many there are, and the text beside it says how much."""
    money = (plan.manifest or {}).get("money", {})
    if len(money) <= MOST_SUMS_ON_A_BUTTON:
        return corrections_in_words(plan)
    proposed = (plan.manifest or {}).get("proposed", 0)
    return _("%(corrections)s corrections in %(currencies)s currencies") % {
        "corrections": f"{proposed:,}",
        "currencies": len({key.partition(":")[0] for key in money}),
    }


@dataclass(frozen=True)
class MoneyRow:
    """Totals of one currency and scale before and after, what that changes and the largest single change; smallest units.

    `largest_is` is the id of the transaction that changes most, where figures were kept of it.
    """

    currency: str
    scale: int
    before: int
    after: int
    delta: int
    largest: int
    largest_is: int | None = None


@dataclass(frozen=True)
class CauseRow:
    """Rows that change alike: how many, what their totals change by, the largest single changes, and up to three of them, the one that
    changes most first (none where a plan only moves back).
    """

    cause: str
    count: int
    delta: list[Sum]
    largest: list[Sum]
    examples: list[Transaction]

    @property
    def example(self) -> Transaction | None:
        """The one that changes most."""
        return self.examples[0] if self.examples else None

    @property
    def in_words(self) -> str:
        """The cause for people."""
        return cause_in_words(self.cause)

    @property
    def can_be_explained(self) -> bool:
        """Whether it is a cause that a calculator made, and not that a plan is taken back."""
        return bool(parts_of(self.cause))


def totals(plan: Plan) -> PlanTotals:
    """The plan's sums: as sealed, or of what has been scanned so far."""
    if plan.manifest is None:
        return totals_of(list(plan.chunks.defer("causes").order_by("position")))
    return totals_in(plan.manifest)


def money_rows(found: PlanTotals, spreads: Sequence[Spread] = ()) -> list[MoneyRow]:
    """The money of a plan by currency. `spreads` tell which transaction changes most; a digest covers how much it changes by."""
    most = {f"{each.currency}:{each.scale}": each.largest[0] for each in spreads if each.largest}
    return [
        MoneyRow(
            *_currency(key),
            before=part["before"],
            after=part["after"],
            delta=part["delta"],
            largest=part["largest"],
            largest_is=most[key][2] if key in most and abs(most[key][0]) == part["largest"] else None,
        )
        for key, part in sorted(found.money.items())
    ]


def causes_of(plan: Plan) -> list[dict[str, Any]]:
    """The causes of all chunks of a plan, as `remediation.causes.merge_causes` tells them."""
    stored = plan.chunks.filter(causes__isnull=False).values_list("causes", flat=True)
    return merge_causes([causes for causes in stored if causes is not None])


def cause_rows(plan: Plan, causes: list[dict[str, Any]] | None = None) -> list[CauseRow]:
    """Why the plan's rows differ, the most frequent first; `causes` where they have been read already."""
    merged = causes_of(plan) if causes is None else causes
    wanted = {known for cause in merged for known, _, _ in cause["examples"]}
    examples = Transaction.objects.in_bulk(wanted)
    return [
        CauseRow(
            cause["cause"],
            cause["count"],
            sums(cause["delta"]),
            sums(cause["largest"]),
            [examples[known] for known, _, _ in cause["examples"] if known in examples],
        )
        for cause in merged
    ]


def why_not_fresh(plan: Plan) -> str:
    """Why the preview cannot be relied on any more, in a sentence; "" where it can."""
    if plan.fresh_until is not None and plan.fresh_until < timezone.now():
        return f"It was fresh until {plan.fresh_until:%Y-%m-%d %H:%M} UTC: preview again."
    if plan.kind == Plan.Kind.APPLY:
        try:
            target_calculator(plan)
        except Refused as refused:
            return str(refused)
    return ""
