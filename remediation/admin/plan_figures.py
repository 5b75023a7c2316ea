"""How a plan's changes are spread: over- and undercharge, the histogram, outliers, stores, and what cannot be corrected."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from django.db.models import Count, Min, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from remediation.admin.actions import newest_entry
from remediation.admin.plan_summary import Sum, totals
from remediation.causes import Change
from remediation.figures import (
    EDGES,
    Bin,
    Side,
    Spread,
    StoreSum,
    StoreSums,
    agrees,
    empty_bin,
    merge_spreads,
    merge_stores,
    share_of,
)
from remediation.garbage import rows_not_searched_for_garbage
from remediation.models import Job, Outcome, Plan, PlanChunkFigures
from transactions.models import Store, Transaction
from transactions.templatetags.money import change_text, count

if TYPE_CHECKING:
    from remediation.admin.plan import PlanAdmin

TALLEST = 100
MOST_STORES = 10
MOST_REASONS = 20
MOST_CUTS = 3


@dataclass(frozen=True)
class Bar:
    """A bin of the histogram: `x` of 0, 1, 2, …, `height` of `TALLEST`, the address of its rows, and its range in words."""

    x: int
    height: int
    way: str
    bin: Bin
    rows_page: str
    range: str

    @property
    def words(self) -> str:
        """The range and how many lie in it."""
        return _("%(range)s: %(rows)s") % {"range": self.range, "rows": count(self.bin.rows)}

    @property
    def y(self) -> int:
        """Where it begins, from the top."""
        return TALLEST - self.height


@dataclass(frozen=True)
class Outlier:
    """A row whose total changes very much; `percent` of its total before, None where that was nothing."""

    transaction: Transaction | None
    before: int
    delta: int
    percent: str

    @property
    def after(self) -> int:
        """Its total after, in smallest units."""
        return self.before + self.delta


@dataclass(frozen=True)
class Cut:
    """Changes of more than `limit` smallest units, which could be left out: their rows, and what their totals change by."""

    limit: int
    value: str
    rows_page: str
    rows: int
    delta: list[Sum]


@dataclass(frozen=True)
class TopStore:
    """A store, its sums in one currency and the address of those rows; `rows` and `delta` are of all currencies together, as what is left
    out is.
    """

    store: Store | None
    sums: StoreSum
    rows_page: str
    rows: int
    delta: list[Sum]


@dataclass(frozen=True)
class CurrencyFigures:
    """All that is told of one currency and scale."""

    spread: Spread
    bars: list[Bar]
    largest: list[Outlier]
    relative: list[Outlier]
    cuts: list[Cut]
    stores: StoreSums | None
    by_money: list[TopStore]
    by_rows: list[TopStore]

    @property
    def highest(self) -> int:
        """Rows of the fullest bin."""
        return max((bar.bin.rows for bar in self.bars), default=0)


@dataclass(frozen=True)
class Charged:
    """What customers of one currency were charged too much and too little: rows, what correcting them adds, and the address of the rows."""

    currency: str
    scale: int
    too_much: Side
    too_much_page: str
    too_little: Side
    too_little_page: str

    @property
    def owed(self) -> int:
        """What is owed back, in smallest units."""
        return -self.too_much.added


@dataclass(frozen=True)
class FailedReason:
    """Rows that cannot be corrected for one reason, and one of them."""

    reason: str
    rows: int
    example: Transaction | None
    page: str


def spreads_of(plan: Plan) -> list[Spread]:
    """How the plan's changes are spread, by currency; [] where that was not kept of all that has been scanned."""
    kept = list(PlanChunkFigures.objects.filter(plan_chunk__plan=plan).values_list("spread", flat=True))
    return merge_spreads(kept) if len(kept) == _scanned_chunks(plan) else []


def _scanned_chunks(plan: Plan) -> int:
    return plan.chunks.filter(scanned_at__isnull=False).count()


def charged(plan: Plan, spreads: list[Spread]) -> list[Charged]:
    """Who paid too much and who too little, by currency."""
    return [
        Charged(
            each.currency,
            each.scale,
            each.down,
            rows_page(plan, way="down", currency=f"{each.currency}:{each.scale}"),
            each.up,
            rows_page(plan, way="up", currency=f"{each.currency}:{each.scale}"),
        )
        for each in spreads
        if each.down.rows or each.up.rows
    ]


def rows_page(plan: Plan, **wanted: Any) -> str:
    """The address of some of the plan's rows."""
    return f"{reverse('admin:remediation_plan_rows', args=[plan.pk])}?{urlencode(wanted)}"


def figures_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """The page of a plan's figures; asked for by htmx, the part of it that stands on the plan's page."""

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        plan = model_admin.subject(request, pk)
        part = bool(request.headers.get("HX-Request"))
        context = {"subject": plan, "newest_entry": newest_entry(), **figures(plan)}
        if not part:
            title = _("Figures of %(plan)s") % {"plan": plan}
            context |= model_admin.admin_site.each_context(request) | {
                "opts": model_admin.opts,
                "title": title,
            }
        template = "remediation/plan_figures_part.html" if part else "remediation/plan_figures.html"
        return TemplateResponse(request, template, context)

    return view


def _merged(plan: Plan) -> tuple[list[Spread], dict[tuple[str, int], StoreSums], int]:
    """How the changes are spread, the largest stores by (currency, scale), and of how many chunks that was kept."""
    # As text: there may be two megabytes of stores, and orjson reads them in a third of the time.
    stored = PlanChunkFigures.objects.filter(plan_chunk__plan=plan).annotate(text=Cast("stores", TextField()))
    rows = list(stored.values_list("spread", "text"))
    with rows_not_searched_for_garbage():
        merged = merge_stores((orjson.loads(text) for _spread, text in rows), MOST_STORES)
    spreads = merge_spreads(spread for spread, _text in rows)
    return spreads, {(each.currency, each.scale): each for each in merged}, len(rows)


def figures(plan: Plan) -> dict[str, Any]:
    """Everything about how the plan's changes are spread."""
    spreads, stores, kept = _merged(plan)
    whole = kept == _scanned_chunks(plan)
    outlying = {change[2] for each in spreads for change in (*each.largest, *each.relative)}
    transactions = Transaction.objects.select_related("store").in_bulk(outlying)
    named = Store.objects.in_bulk(
        {top.store for each in stores.values() for top in (*each.by_money, *each.by_rows)}
    )
    found = totals(plan)
    return {
        "currencies": [
            _of_currency(plan, spread, stores.get((spread.currency, spread.scale)), transactions, named)
            for spread in sorted(spreads, key=lambda spread: -spread.rows)
        ],
        "kept": bool(kept),
        "whole": whole or not kept,
        "agrees": not (kept and whole) or agrees(spreads, found.money, found.proposed),
        "failed_reasons": failed_reasons(plan),
    }


def _of_currency(
    plan: Plan,
    spread: Spread,
    stores: StoreSums | None,
    transactions: dict[int, Transaction],
    named: dict[int, Store],
) -> CurrencyFigures:
    return CurrencyFigures(
        spread,
        list(_bars(plan, spread)),
        [_outlier(change, transactions) for change in spread.largest],
        [_outlier(change, transactions) for change in spread.relative],
        _cuts(plan, spread),
        stores,
        [_top(plan, each, stores, named) for each in stores.by_money] if stores else [],
        [_top(plan, each, stores, named) for each in stores.by_rows] if stores else [],
    )


def _bars(plan: Plan, spread: Spread) -> list[Bar]:
    """Every bin between the outermost two, the empty ones too: a hole is something to see."""
    there = {each.low: each for each in spread.bins}
    all_edges = sorted({-edge for edge in EDGES} | set(EDGES))
    # Both sides as wide where there are both, so that nothing stands in the middle.
    widest = max(map(abs, there))
    lowest = -widest if min(there) < 0 < max(there) else min(there)
    highest_edge = widest if min(there) < 0 < max(there) else max(there)
    edges = [edge for edge in all_edges if lowest <= edge <= highest_edge]
    highest = max(each.rows for each in spread.bins)
    bars = []
    for x, edge in enumerate(edges):
        part = there.get(edge) or empty_bin(edge)
        height = max(part.rows * TALLEST // highest, 1) if part.rows else 0
        way = "down" if edge < 0 else "up" if edge > 0 else "same"
        page = rows_page(plan, currency=f"{spread.currency}:{spread.scale}", edge=edge)
        bars.append(Bar(x, height, way, part, page, range_text(part, spread.scale)))
    return bars


def range_text(part: Bin, scale: int) -> str:
    """The changes that a bin holds, both ends in it: "+0.50 to +0.99"."""
    last = part.high + 1 if part.low < 0 else part.high - 1
    if last == part.low:
        return change_text(part.low, scale)
    return _("%(from)s to %(to)s") % {"from": change_text(part.low, scale), "to": change_text(last, scale)}


def _outlier(change: Change, transactions: dict[int, Transaction]) -> Outlier:
    added, before, transaction, _store = change
    percent = ""
    if before:
        tenths = share_of(change) // 1_000
        percent = f"{count(tenths // 10)}.{tenths % 10} %"
    return Outlier(transactions.get(transaction), before, added, percent)


def _cuts(plan: Plan, spread: Spread) -> list[Cut]:
    """Where outliers could be cut off: at the edges above which the largest changes lie, a hundredth of the rows at most."""
    cuts: list[Cut] = []
    rows = added = 0
    for edge in sorted({abs(each.low) for each in spread.bins}, reverse=True):
        beyond = [each for each in spread.bins if abs(each.low) == edge]
        rows += sum(each.rows for each in beyond)
        added += sum(each.added for each in beyond)
        if edge == 0 or rows * 100 > spread.rows or len(cuts) == MOST_CUTS:
            break
        key = f"{spread.currency}:{spread.scale}"
        page = rows_page(plan, currency=key, larger_than=edge - 1)
        delta = [Sum(spread.currency, spread.scale, added)]
        cuts.append(Cut(edge - 1, f"{key}={edge - 1}", page, rows, delta))
    return cuts


def _top(plan: Plan, each: StoreSum, stores: StoreSums, named: dict[int, Store]) -> TopStore:
    page = rows_page(plan, store=each.store, currency=f"{each.currency}:{each.scale}")
    everywhere = stores.everywhere[each.store]
    delta = [Sum(part.currency, part.scale, part.added) for part in everywhere]
    return TopStore(named.get(each.store), each, page, sum(part.rows for part in everywhere), delta)


def failed_reasons(plan: Plan) -> list[FailedReason]:
    """Why rows cannot be corrected, the most frequent reason first."""
    preview = plan.jobs.filter(kind=Job.Kind.PREVIEW).first()
    if preview is None:
        return []
    found = list(
        Outcome.objects.filter(job=preview, kind=Outcome.Kind.FAILED)
        .values("reason")
        .annotate(rows=Count("id"), example=Min("transaction_id"))
        .order_by("-rows", "reason")[:MOST_REASONS]
    )
    examples = Transaction.objects.in_bulk([each["example"] for each in found])
    outcomes = reverse("admin:remediation_outcome_changelist")
    return [
        FailedReason(
            each["reason"],
            each["rows"],
            examples.get(each["example"]),
            f"{outcomes}?{urlencode({'job': preview.pk, 'kind__exact': 'failed', 'reason__exact': each['reason']})}",
        )
        for each in found
    ]
