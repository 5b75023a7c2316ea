"""Every row of a plan, page by page along its chunks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from audit.admin import KeysetPage, keyset_page
from audit.admin.keyset import PlaceUnreadable
from remediation.models import Plan, PlanChunk, PlanMember
from transactions.models import Calculation, Transaction

if TYPE_CHECKING:
    from remediation.admin.plan import PlanAdmin

ROWS_PER_PAGE = 50


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
    """The page “every row of plan N”."""

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        plan = model_admin.subject(request, pk)
        chunk = _chunk(plan, request.GET.get("chunk", "0"))
        try:
            page = _page(
                plan, chunk, after=request.GET.get("after", ""), before=request.GET.get("before", "")
            )
        except PlaceUnreadable as error:
            raise Http404(str(error)) from error
        context = model_admin.admin_site.each_context(request) | {
            "opts": model_admin.opts,
            "title": f"Every row of {plan}",
            "plan": plan,
            "chunk": chunk,
            "chunks": plan.chunks.count(),
            "rows": [_row(row) for row in page.rows],
            "older": _following(plan, chunk, page),
            "newer": _preceding(plan, chunk, page),
        }
        return TemplateResponse(request, "remediation/plan_rows.html", context)

    return view


def _chunk(plan: Plan, position: str) -> PlanChunk | None:
    """The first chunk with rows at or behind `position`; None where there is none. Raises `Http404` for no number."""
    if not position.isdigit() or len(position) > 9:
        raise Http404(f"“{position}” is no chunk of {plan}.")
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
