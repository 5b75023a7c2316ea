"""A store's orders added up, and the answer for support in sentences: which were wrong, by how much, fixed when, and what remains."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.templatetags.reading import grouped, spoken
from remediation.dealings import name_of
from remediation.models import Approval, Case, Plan
from remediation.store_rows import REMAINING, STATED, Period, Standing, StoreRow, Walked
from transactions.models import Store
from transactions.templatetags.money import money_text


@dataclass
class Money:
    """Orders of one currency and scale: how many were charged too much and too little, and how much that is; smallest units."""

    too_much: int = 0
    too_much_by: int = 0
    too_little: int = 0
    too_little_by: int = 0

    def add(self, change: int) -> None:
        if change < 0:
            self.too_much += 1
            self.too_much_by -= change
        elif change > 0:
            self.too_little += 1
            self.too_little_by += change

    @property
    def change(self) -> int:
        """What correcting adds to the totals."""
        return self.too_little_by - self.too_much_by


@dataclass
class Group:
    """Orders that became the same, by the same plan; `first` and `last` are when the plan moved the first and the last of them."""

    standing: Standing
    plan: int | None
    case: int
    orders: int = 0
    money: dict[tuple[str, int], Money] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, row: StoreRow) -> None:
        self.orders += 1
        if row.right is not None:
            self.money.setdefault((row.currency, row.scale), Money()).add(row.change)
        if row.at is not None:
            self.first = min(self.first or row.at, row.at)
            self.last = max(self.last or row.at, row.at)


@dataclass
class StoreAnswer:
    """What is known of a store's orders of a period: how many there are, how many of them were or are wrong, and what became of those."""

    store: Store
    period: Period
    orders: int = 0
    wrong: int = 0
    groups: dict[tuple[Standing, int | None, int], Group] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)
    cases: dict[int, Case] = field(default_factory=dict)
    approvals: dict[int, list[Approval]] = field(default_factory=dict)

    def add(self, walked: Walked) -> None:
        """Count what a walk through the store's orders met."""
        self.orders += walked.orders
        self.wrong += len({row.order for row in walked.rows if row.standing not in _NOT_KNOWN_WRONG})
        for row in walked.rows:
            key = (row.standing, row.plan, row.case)
            self.groups.setdefault(key, Group(*key)).add(row)

    def learn_names(self) -> None:
        """Fetch the plans, the cases and the approvals that the groups name."""
        named = {each.plan for each in self.groups.values() if each.plan is not None}
        self.plans, self.approvals = plans_with_approvals(named)
        self.cases = Case.objects.in_bulk({each.case for each in self.groups.values()})

    @property
    def in_order(self) -> list[Group]:
        """What was corrected first, then what remains, and what is no correction last; by plan."""
        order = list(Standing)
        return sorted(
            self.groups.values(), key=lambda each: (order.index(each.standing), each.plan or 0, each.case)
        )

    @property
    def remaining(self) -> int:
        """Rows that are not right yet, or of which nobody can say."""
        return sum(each.orders for each in self.groups.values() if each.standing in REMAINING)

    @property
    def corrected(self) -> dict[tuple[str, int], Money]:
        """Money of all that was corrected and not taken back, by currency and scale."""
        summed: dict[tuple[str, int], Money] = {}
        for group in self.groups.values():
            if group.standing in STATED:
                for key, money in group.money.items():
                    into = summed.setdefault(key, Money())
                    into.too_much += money.too_much
                    into.too_much_by += money.too_much_by
                    into.too_little += money.too_little
                    into.too_little_by += money.too_little_by
        return dict(sorted(summed.items()))

    def who_approved(self, plan: int) -> str:
        """Names of those who approved: "Ben and Cleo"."""
        return get_text_list([name_of(each.decided_by) for each in self.approvals.get(plan, [])], _("and"))

    def sentences(self) -> list[str]:
        """The answer, to be read aloud or pasted: paragraphs of whole sentences."""
        return [
            self._headline(),
            *(self._told(group) for group in self.in_order),
            *self._rest(),
        ]

    def _headline(self) -> str:
        told = {
            "orders": grouped(self.orders),
            "wrong": grouped(self.wrong),
            "store": self.store,
            "period": period_in_words(self.period),
        }
        always = self.period == Period()
        if not self.orders:
            return (
                _("%(store)s has no orders.") % told
                if always
                else _("%(store)s has no orders %(period)s.") % told
            )
        if not self.wrong and always:
            return (
                _("None of all %(orders)s orders of %(store)s is known to have been charged a wrong amount.")
                % told
            )
        if not self.wrong:
            return (
                _(
                    "None of the %(orders)s orders of %(store)s %(period)s is known to have been charged a wrong amount."
                )
                % told
            )
        if always:
            text = ngettext(
                "Of all %(orders)s orders of %(store)s, %(wrong)s was charged a wrong amount.",
                "Of all %(orders)s orders of %(store)s, %(wrong)s were charged a wrong amount.",
                self.wrong,
            )
        else:
            text = ngettext(
                "Of the %(orders)s orders of %(store)s %(period)s, %(wrong)s was charged a wrong amount.",
                "Of the %(orders)s orders of %(store)s %(period)s, %(wrong)s were charged a wrong amount.",
                self.wrong,
            )
        return text % told

    def _rest(self) -> list[str]:
        if self.wrong and not self.remaining:
            return [_("Nothing of that remains to be corrected.")]
        return []

    def _told(self, group: Group) -> str:
        case = self.cases[group.case]
        told = {
            "count": grouped(group.orders),
            "plan": group.plan or "",
            "case": group.case,
            "incident": case.incident,
            "people": self.who_approved(group.plan or 0),
            "when": _when(group),
        }
        return " ".join([_sentence_of(group) % told, *_money_in_words(group)])


_NOT_KNOWN_WRONG = (Standing.TAKEN_BACK, Standing.REJECTED, Standing.FAILED)


def _sentence_of(group: Group) -> str:
    n = group.orders
    match group.standing:
        case Standing.CORRECTED:
            return ngettext(
                "%(count)s was corrected %(when)s by plan %(plan)s, which %(people)s approved (case %(case)s: %(incident)s).",
                "%(count)s were corrected %(when)s by plan %(plan)s, which %(people)s approved (case %(case)s: %(incident)s).",
                n,
            )
        case Standing.ANEW:
            return ngettext(
                "%(count)s was corrected %(when)s by plan %(plan)s, and its service has calculated it anew since.",
                "%(count)s were corrected %(when)s by plan %(plan)s, and their service has calculated them anew since.",
                n,
            )
        case Standing.WAITING:
            return ngettext(
                "%(count)s is still wrong: plan %(plan)s of case %(case)s would correct it, and waits for approval.",
                "%(count)s are still wrong: plan %(plan)s of case %(case)s would correct them, and waits for approval.",
                n,
            )
        case Standing.APPROVED:
            return ngettext(
                "%(count)s is still wrong: plan %(plan)s, which %(people)s approved, will correct it; it is not applied to it yet.",
                "%(count)s are still wrong: plan %(plan)s, which %(people)s approved, will correct them; it is not applied to them yet.",
                n,
            )
        case Standing.LEFT:
            return ngettext(
                "%(count)s is still wrong: plan %(plan)s of case %(case)s was to correct it, and ended before that.",
                "%(count)s are still wrong: plan %(plan)s of case %(case)s was to correct them, and ended before that.",
                n,
            )
        case Standing.DIFFERS:
            return ngettext(
                "%(count)s is still wrong, as the verification of case %(case)s found, and no plan corrects it yet.",
                "%(count)s are still wrong, as the verification of case %(case)s found, and no plan corrects them yet.",
                n,
            )
        case Standing.EXCLUDED:
            return ngettext(
                "%(count)s differs from what case %(case)s takes for right, and the case leaves it out.",
                "%(count)s differ from what case %(case)s takes for right, and the case leaves them out.",
                n,
            )
        case Standing.FAILED:
            return ngettext(
                "%(count)s could not be calculated by case %(case)s, so that nobody can say yet whether it is right.",
                "%(count)s could not be calculated by case %(case)s, so that nobody can say yet whether they are right.",
                n,
            )
        case Standing.TAKEN_BACK:
            return ngettext(
                "%(count)s was corrected, and that was taken back %(when)s by plan %(plan)s, which %(people)s approved.",
                "%(count)s were corrected, and that was taken back %(when)s by plan %(plan)s, which %(people)s approved.",
                n,
            )
        case _other:
            return ngettext(
                "For %(count)s, plan %(plan)s of case %(case)s proposed another amount, and was rejected.",
                "For %(count)s, plan %(plan)s of case %(case)s proposed other amounts, and was rejected.",
                n,
            )


def _when(group: Group) -> str:
    if group.first is None or group.last is None:
        return ""
    first, last = spoken(group.first), spoken(group.last)
    if first == last:
        return _("on %(when)s") % {"when": first}
    return _("between %(first)s and %(last)s") % {"first": first, "last": last}


def _money_in_words(group: Group) -> Iterable[str]:
    """By currency, how many had been charged too much and too little and how much that is together."""
    if group.standing in (Standing.TAKEN_BACK, Standing.REJECTED):
        return
    for (currency, scale), money in sorted(group.money.items()):
        told = {
            "more": grouped(money.too_much),
            "more_by": money_text(money.too_much_by, currency, scale),
            "less": grouped(money.too_little),
            "less_by": money_text(money.too_little_by, currency, scale),
        }
        if money.too_much and money.too_little:
            yield (
                _(
                    "Charged too much: %(more)s, %(more_by)s together; charged too little: %(less)s, %(less_by)s together."
                )
                % told
            )
        elif money.too_much:
            yield _("Charged too much: %(more)s, %(more_by)s together.") % told
        elif money.too_little:
            yield _("Charged too little: %(less)s, %(less_by)s together.") % told


def period_in_words(period: Period) -> str:
    """ "from March 1, 2026, 00:00 UTC and before April 1, 2026, 00:00 UTC"; "of all time"."""
    told = {
        "begin": spoken(period.begin) if period.begin else "",
        "end": spoken(period.end) if period.end else "",
    }
    if period.begin and period.end:
        return _("from %(begin)s and before %(end)s") % told
    if period.begin:
        return _("from %(begin)s on") % told
    if period.end:
        return _("before %(end)s") % told
    return _("of all time")


def plans_with_approvals(numbers: Iterable[int]) -> tuple[dict[int, Plan], dict[int, list[Approval]]]:
    """Plans by number with their cases, and who approved each. Two queries."""
    plans = Plan.objects.select_related("case").defer("manifest", "policy", "targets").in_bulk(set(numbers))
    approvals: dict[int, list[Approval]] = {}
    found = Approval.objects.filter(plan__in=list(plans), decision=Approval.Decision.APPROVE)
    for each in found.select_related("decided_by").order_by("id"):
        approvals.setdefault(each.plan_id, []).append(each)
    return plans, approvals


def answer_for(store: Store, period: Period, walked: Iterable[Walked]) -> StoreAnswer:
    """All that `walked` met of the store's orders of the period, added up; memory is that of the groups alone."""
    answer = StoreAnswer(store, period)
    for some in walked:
        answer.add(some)
    answer.learn_names()
    return answer
