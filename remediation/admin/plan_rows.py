"""Every row of a plan, page by page along its chunks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from audit.admin import KeysetPage, keyset_page
from audit.admin.keyset import PlaceUnreadable
from remediation.admin.plan_figures import range_text
from remediation.causes import cause_in_words
from remediation.figures import empty_bin
from remediation.models import Plan, PlanChunk, PlanMember
from remediation.plan_rows import FilterUnreadable, RowFilter, in_order, rows_of
from transactions.models import Calculation, Store, Transaction
from transactions.templatetags.money import money_text

if TYPE_CHECKING:
    from remediation.admin.plan import PlanAdmin

ROWS_PER_PAGE = 50
_WAYS = {
    "down": gettext_lazy("charged too much"),
    "up": gettext_lazy("charged too little"),
    "same": gettext_lazy("total stays"),
}


@dataclass(frozen=True)
class PlanRow:
    """One correction: the transaction, the calculation it stands on for this, and the one it is to stand on. Amounts in smallest units."""

    transaction: Transaction
    before: Calculation
    after: Calculation

    @property
    def delta(self) -> int:
        """By how much its total changes."""
        return self.after.total - self.before.total

    @property
    def changed(self) -> str:
        """The components that change, but the total."""
        names = dict.fromkeys([*self.before.amounts, *self.after.amounts])
        return ", ".join(
            name
            for name in names
            if name != "total" and self.before.amounts.get(name) != self.after.amounts.get(name)
        )


def plan_rows_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """The page “every row of plan N”; narrowed by `cause`, `way`, `currency`, `edge`, `larger_than` and `store` in its address."""

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        plan = model_admin.subject(request, pk)
        try:
            wanted = _wanted(request)
            if wanted and plan.kind != Plan.Kind.APPLY:
                raise FilterUnreadable(
                    _("The rows of a plan that takes another back are those of that plan: look there.")
                )
            shown = _some_rows(request, plan, wanted) if wanted else _all_rows(request, plan)
        except (PlaceUnreadable, FilterUnreadable) as error:
            raise Http404(str(error)) from error
        context = model_admin.admin_site.each_context(request) | {
            "opts": model_admin.opts,
            "title": (_("Some rows of %(plan)s") if wanted else _("Every row of %(plan)s")) % {"plan": plan},
            "plan": plan,
            "filters": _in_words(wanted),
            **shown,
        }
        return TemplateResponse(request, "remediation/plan_rows.html", context)

    return view


def _wanted(request: HttpRequest) -> RowFilter:
    given = request.GET
    return RowFilter(
        cause=given.get("cause", ""),
        way=given.get("way", ""),
        currency=given.get("currency", ""),
        edge=_number(given.get("edge", "")),
        larger_than=_number(given.get("larger_than", "")),
        store=_number(given.get("store", "")),
    )


def _number(text: str) -> int | None:
    if not text:
        return None
    if not text.removeprefix("-").isdecimal() or len(text) > 20 or not -(2**63) < int(text) < 2**63:
        raise FilterUnreadable(_("“%(text)s” is no whole number.") % {"text": text})
    return int(text)


def _in_words(wanted: RowFilter) -> list[str]:
    """What the page is narrowed to, each in words."""
    words: list[str] = []
    currency, _colon, scale = wanted.currency.partition(":")
    if wanted.cause:
        words.append(cause_in_words(wanted.cause))
    if wanted.way:
        words.append(str(_WAYS[wanted.way]))
    if wanted.edge is not None and wanted.currency:
        words.append(
            _("total changes by %(range)s") % {"range": range_text(empty_bin(wanted.edge), int(scale))}
        )
    if wanted.larger_than is not None and wanted.currency:
        limit = money_text(wanted.larger_than, currency, int(scale))
        words.append(_("total changes by more than %(limit)s") % {"limit": limit})
    elif wanted.currency:
        words.append(currency)
    if wanted.store is not None:
        store = Store.objects.filter(pk=wanted.store).first()
        words.append(_("store %(store)s") % {"store": store or wanted.store})
    return words


def _some_rows(request: HttpRequest, plan: Plan, wanted: RowFilter) -> dict[str, Any]:
    found = rows_of(plan, wanted, after=request.GET.get("after", ""), most=ROWS_PER_PAGE)
    fetched = Calculation.objects.filter(pk__in=found.ids).select_related("transaction__store", "replaces")
    further = request.GET.copy()
    further["after"] = found.after
    first = request.GET.copy()
    behind = first.pop("after", None)
    return {
        "rows": [_row(row) for row in in_order(found.ids, fetched)],
        "older": f"?{further.urlencode()}" if found.after else "",
        "first": f"?{first.urlencode()}" if behind else "",
    }


def _all_rows(request: HttpRequest, plan: Plan) -> dict[str, Any]:
    chunk = _chunk(plan, request.GET.get("chunk", "0"))
    page = _page(plan, chunk, after=request.GET.get("after", ""), before=request.GET.get("before", ""))
    return {
        "chunk": chunk,
        "chunks": plan.chunks.count(),
        "rows": [_row(row) for row in page.rows],
        "older": _following(plan, chunk, page),
        "newer": _preceding(plan, chunk, page),
    }


def _chunk(plan: Plan, position: str) -> PlanChunk | None:
    """The first chunk with rows at or behind `position`; None where there is none. Raises `Http404` for no number."""
    if not position.isdigit() or len(position) > 9:
        raise Http404(_("“%(position)s” is no chunk of %(plan)s.") % {"position": position, "plan": plan})
    return _with_rows(plan).filter(position__gte=int(position)).order_by("position").first()


def _with_rows(plan: Plan) -> QuerySet[PlanChunk]:
    return plan.chunks.filter(proposed__gt=0).defer("causes", "money")


def _page(plan: Plan, chunk: PlanChunk | None, *, after: str, before: str) -> KeysetPage:
    if chunk is None:
        return KeysetPage([])
    rows = (
        Calculation.objects.filter(plan_chunk_id=chunk.pk).select_related("transaction__store", "replaces")
        if plan.kind == Plan.Kind.APPLY
        else PlanMember.objects.filter(plan_chunk=chunk).select_related(
            "transaction__store", "calculation", "replaces"
        )
    )
    return keyset_page(rows, ("transaction_id",), ROWS_PER_PAGE, after=after, before=before)


def _row(row: Calculation | PlanMember) -> PlanRow:
    assert row.replaces is not None
    return PlanRow(row.transaction, row.replaces, row.calculation if isinstance(row, PlanMember) else row)


def _following(plan: Plan, chunk: PlanChunk | None, page: KeysetPage) -> str:
    if chunk is None:
        return ""
    if page.after:
        return f"?chunk={chunk.position}&after={page.after}"
    following = _with_rows(plan).filter(position__gt=chunk.position).order_by("position").first()
    return f"?chunk={following.position}" if following else ""


def _preceding(plan: Plan, chunk: PlanChunk | None, page: KeysetPage) -> str:
    if chunk is None:
        return ""
    if page.before:
        return f"?chunk={chunk.position}&before={page.before}"
    preceding = _with_rows(plan).filter(position__lt=chunk.position).order_by("-position").first()
    return f"?chunk={preceding.position}" if preceding else ""
