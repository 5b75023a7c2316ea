"""Two plans of a case side by side: what each would change, why, who asked and decided, and the rows that differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from remediation.admin.badge import PLAN_TONES
from remediation.admin.plan_summary import Sum, cause_rows, money_rows, totals
from remediation.beside import (
    COUNTED_AT_ONCE,
    Difference,
    DifferingRows,
    difference_of,
    differing_rows,
    proposed_by,
)
from remediation.exclusions import Exclusions
from remediation.models import Plan
from transactions.models import Transaction
from transactions.selection import Selection
from transactions.templatetags.money import count

if TYPE_CHECKING:
    from remediation.admin.case import CaseAdmin
    from remediation.admin.plan import PlanAdmin

ROWS_PER_PAGE = 50


@dataclass(frozen=True)
class Line:
    """Something said of both plans, as text; `differs` where it is not the same of both."""

    label: str
    one: str
    other: str

    @property
    def differs(self) -> bool:
        return self.one != self.other


@dataclass(frozen=True)
class Money:
    """A currency's totals in both plans: what they change by, and the largest single change; None where a plan has none of it."""

    currency: str
    scale: int
    one: int | None
    other: int | None
    one_largest: int | None
    other_largest: int | None


@dataclass(frozen=True)
class CauseBeside:
    """A cause in both plans: how many rows, and what their totals change by; None and [] where a plan does not have it."""

    cause: str
    one: int | None
    other: int | None
    one_delta: list[Sum]
    other_delta: list[Sum]

    @property
    def differs(self) -> bool:
        return (self.one, self.one_delta) != (self.other, self.other_delta)


@dataclass(frozen=True)
class ShownRow:
    """A row that differs, with its transaction."""

    transaction: Transaction
    total: int
    other_total: int | None


def beside_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """The page “plan N beside plan M”."""

    @require_safe
    def view(request: HttpRequest, pk: int, other: int) -> HttpResponse:
        one, second = _both(model_admin, request, pk, other)
        bounded = proposed_by(one) + proposed_by(second) <= COUNTED_AT_ONCE
        counted: Difference | None = None
        if bounded or request.GET.get("count") == "all":
            counted = difference_of(one, second)
        context = model_admin.admin_site.each_context(request) | {
            "opts": model_admin.opts,
            "title": _("%(one)s beside %(other)s") % {"one": one, "other": second},
            "one": one,
            "other": second,
            "tones": [PLAN_TONES[Plan.Status(plan.status)] for plan in (one, second)],
            "lines": _lines(one, second),
            "money": _money(one, second),
            "causes": _causes(one, second),
            "difference": counted,
            "rows_to_count": proposed_by(one) + proposed_by(second),
        }
        return TemplateResponse(request, "remediation/beside.html", context)

    return view


def beside_rows_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """The rows of one plan that the other does not have, or has otherwise."""

    @require_safe
    def view(request: HttpRequest, pk: int, other: int) -> HttpResponse:
        one, second = _both(model_admin, request, pk, other)
        page = differing_rows(
            one,
            second,
            chunk=_number(request, "chunk"),
            after=_number(request, "after"),
            size=ROWS_PER_PAGE,
        )
        context = model_admin.admin_site.each_context(request) | {
            "opts": model_admin.opts,
            "title": _("Rows of %(one)s that %(other)s has not, or has otherwise")
            % {"one": one, "other": second},
            "one": one,
            "other": second,
            "page": page,
            "rows": _shown(page),
            "at_the_beginning": not request.GET,
        }
        return TemplateResponse(request, "remediation/beside_rows.html", context)

    return view


def choose_view(model_admin: "CaseAdmin") -> Callable[..., HttpResponse]:
    """Leads from the two plans that a form names to their page."""

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        case = model_admin.subject(request, pk)
        named = [_number(request, "one"), _number(request, "other")]
        if named[0] == named[1] or case.plans.filter(pk__in=named).count() != 2:
            raise Http404(f"{case} has no two such plans.")
        return HttpResponseRedirect(reverse("admin:remediation_plan_beside", args=named))

    return view


def _number(request: HttpRequest, name: str) -> int:
    given = request.GET.get(name, "0")
    if not given.isdecimal() or len(given) > 18:
        raise Http404(f"“{given}” is no number.")
    return int(given)


def _both(model_admin: "PlanAdmin", request: HttpRequest, pk: int, other: int) -> tuple[Plan, Plan]:
    """Both plans; of one case, and sealed. Raises `Http404`."""
    one, second = model_admin.subject(request, pk), model_admin.subject(request, other)
    if one.pk == second.pk or one.case_id != second.case_id:
        raise Http404("Two plans of one case can be looked at side by side.")
    for plan in (one, second):
        if plan.manifest is None:
            raise Http404(f"The preview of {plan} has not come to an end.")
    prefetch_related_objects([one, second], "approvals__decided_by")
    return one, second


def _lines(one: Plan, other: Plan) -> list[Line]:
    found = [totals(plan) for plan in (one, other)]
    said: list[tuple[str, Callable[[Plan], Any]]] = [
        (_("Looks at"), lambda plan: Selection.from_criteria(plan.revision.criteria)),
        (_("Leaves out"), lambda plan: Exclusions.from_json(plan.revision.exclusions)),
        (_("Corrects to"), lambda plan: _("version %s") % plan.revision.target_version),
        (_("Kind"), lambda plan: plan.get_kind_display()),
        (_("Edit of the case"), lambda plan: _("revision %s") % plan.revision.number),
    ]
    lines = [Line(label, str(say(one)), str(say(other))) for label, say in said]
    counts = [
        (_("Looked at"), "scanned"),
        (_("To correct"), "proposed"),
        (_("Right as they are"), "unchanged"),
        (_("Cannot be corrected"), "failed"),
        (_("Left out"), "left_out"),
        (_("Stand elsewhere by now"), "moved_since"),
    ]
    lines += [
        Line(label, *(str(count(getattr(each, name))) for each in found))
        for label, name in counts
        if any(getattr(each, name) for each in found)
    ]
    asked: list[tuple[str, Callable[[Plan], str]]] = [
        (_("Asked for by"), lambda plan: str(plan.requested_by)),
        (_("Decided"), _decided),
        (_("Digest"), lambda plan: bytes(plan.digest or b"").hex()),
    ]
    return lines + [Line(label, say(one), say(other)) for label, say in asked]


def _decided(plan: Plan) -> str:
    said = [f"{each.decided_by} {each.get_decision_display()}" for each in plan.approvals.all()]
    return ", ".join(said) or _("by nobody")


def _money(one: Plan, other: Plan) -> list[Money]:
    sides = [{(row.currency, row.scale): row for row in money_rows(totals(plan))} for plan in (one, other)]
    return [
        Money(
            *key,
            *(side[key].delta if key in side else None for side in sides),
            *(side[key].largest if key in side else None for side in sides),
        )
        for key in sorted(sides[0].keys() | sides[1].keys())
    ]


def _causes(one: Plan, other: Plan) -> list[CauseBeside]:
    sides = [{row.cause: row for row in cause_rows(plan)} for plan in (one, other)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    return [
        CauseBeside(
            name,
            one=sides[0][name].count if name in sides[0] else None,
            other=sides[1][name].count if name in sides[1] else None,
            one_delta=sides[0][name].delta if name in sides[0] else [],
            other_delta=sides[1][name].delta if name in sides[1] else [],
        )
        for name in names
    ]


def _shown(page: DifferingRows) -> list[ShownRow]:
    known = Transaction.objects.select_related("store").in_bulk([row.transaction_id for row in page.rows])
    return [ShownRow(known[row.transaction_id], row.total, row.other_total) for row in page.rows]
