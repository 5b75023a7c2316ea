"""A transaction's pages: its facts, and every calculation ever made of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.admin import ReadOnlyAdmin
from audit.admin.zoned_time import Unreadable, for_field, time_given, zone_named
from audit.templatetags.reading import moment
from transactions.admin.explained import explanation_view
from transactions.admin.parts import parts_context
from transactions.admin.personal import personal_context, reveal_view
from transactions.history import Happening, history_of, tells_history
from transactions.models import Calculation, CurrentCalculation, Store, Supersession, Transaction
from transactions.pointer_moves import MovesUnclear, moves_of, stood_on
from transactions.prefix import begins_with
from transactions.templatetags.money import money_text

MOST_CALCULATIONS = 100
"""Calculations shown of one transaction, the newest; each preview adds one."""


@dataclass(frozen=True)
class Cell:
    """One component of one calculation: its amount, and by how much that differs from what the calculation is compared with."""

    amount: int | None
    difference: int | None


@dataclass(frozen=True)
class CalculationRow:
    """A calculation as the page shows it: `cells` in the order of the page's components."""

    calculation: Calculation
    is_current: bool
    stood: bool
    compared_with: Calculation | None
    cells: list[Cell]
    status: str
    link: str


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    lookups: ClassVar = frozenset({"store", "store__id__exact"})
    list_display = ("reference", "store_page", "current_total", "current_release", "occurred", "calculated")
    list_select_related = ("store", "current__calculation__release")
    search_fields = ("reference",)
    search_help_text = gettext_lazy(
        "A transaction's reference, or how it begins; or the reference of a store."
    )

    def get_keyset(self, request: HttpRequest) -> tuple[str, ...]:
        # Along the index that answers: by store and time, by reference, or the newest rows.
        # A search that the form refuses, as one with a NUL, is none.
        given = request.GET.get("q", "").strip()
        term = "" if "\0" in given else given
        if any(name in request.GET for name in self.lookups) or (term and _store_named(request, term)):
            return ("-occurred_at", "-id")
        return ("reference", "id") if term else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        store = _store_named(request, term)
        return queryset.filter(store=store) if store else queryset.filter(
            begins_with("reference", term)
        ), False

    @admin.display(description=gettext_lazy("store"))
    def store_page(self, transaction: Transaction) -> str:
        page = reverse("admin:transactions_store_change", args=[transaction.store_id])
        return format_html('<a href="{}">{}</a>', page, transaction.store)

    @admin.display(description=gettext_lazy("current total"))
    def current_total(self, transaction: Transaction) -> str:
        current = current_calculation(transaction)
        if current is None:
            return _("none")
        return format_html(
            '<span class="money">{}</span>',
            money_text(current.total, transaction.currency, transaction.scale),
        )

    @admin.display(description=gettext_lazy("by release"))
    def current_release(self, transaction: Transaction) -> str:
        current = current_calculation(transaction)
        return str(current.release) if current else ""

    @admin.display(description=gettext_lazy("occurred"))
    def occurred(self, transaction: Transaction) -> str:
        return moment(transaction.occurred_at)

    @admin.display(description=gettext_lazy("calculated"))
    def calculated(self, transaction: Transaction) -> str:
        current = current_calculation(transaction)
        return moment(current.calculated_at) if current else ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("store", "current__calculation__release", "batch")

    def own_urls(self) -> list[URLPattern]:
        reveal = self.admin_site.admin_view(reveal_view(self))
        explanation = self.admin_site.admin_view(explanation_view(self))
        return [
            path("<int:pk>/reveal/", reveal, name="transactions_transaction_reveal"),
            path("<int:pk>/explanation/", explanation, name="transactions_transaction_explanation"),
        ]

    def page_context(self, request: HttpRequest, subject: Transaction) -> dict[str, Any]:
        calculations, more = _calculations(subject)
        current = current_calculation(subject)
        if current is not None and current.pk not in {each.pk for each in calculations}:
            calculations.insert(0, current)
        looked_back = _looked_back(request, subject)
        history = history_of(subject, calculations)
        components = _components(calculations)
        return {
            "title": _("Transaction %(reference)s") % {"reference": subject.reference},
            "current": current,
            "components": components,
            "rows": list(_rows(calculations, current, components, history, looked_back.get("stood"))),
            "history": history,
            "more_calculations": more,
            **looked_back,
            **personal_context(request, subject),
            **parts_context(request, subject),
        }


def _looked_back(request: HttpRequest, transaction: Transaction) -> dict[str, Any]:
    """What the page shows of the time that its address asks for, as `as_of`: ISO 8601, in the reader's zone unless it says its own."""
    zone = zone_named(get_current_timezone_name())
    shown: dict[str, Any] = {"zone": zone.key}
    given = request.GET.get("as_of", "").strip()
    if not given:
        return shown
    try:
        at = time_given(given, zone, ends=True)
        stood = stood_on(moves_of(transaction), at)
    except Unreadable as error:
        return shown | {"as_of_problem": str(error)}
    except MovesUnclear as error:
        return shown | {"as_of_problem": str(error), "as_of_field": for_field(at, zone)}
    calculation = Calculation.objects.select_related("release").filter(pk=stood).first() if stood else None
    return shown | {"as_of": at, "as_of_field": for_field(at, zone), "stood": calculation}


def _calculations(transaction: Transaction) -> tuple[list[Calculation], bool]:
    """The newest calculations of a transaction, the earliest first, and whether there are more.

    Reported and proposed ones are read apart: each kind has an index of its own, and no index holds both.
    """
    newest = (
        Calculation.objects.filter(transaction=transaction).select_related("release", "batch").order_by("-id")
    )
    found = [
        *newest.filter(plan_chunk_id__isnull=True)[: MOST_CALCULATIONS + 1],
        *newest.filter(batch__isnull=True)[: MOST_CALCULATIONS + 1],
    ]
    found.sort(key=lambda each: each.pk)
    return found[-MOST_CALCULATIONS:], len(found) > MOST_CALCULATIONS


def _store_named(request: HttpRequest, term: str) -> Store | None:
    """The store of that reference; asked once a request."""
    asked: dict[str, Store | None] = request.__dict__.setdefault("amends_store_named", {})
    if term not in asked:
        asked[term] = Store.objects.filter(reference=term).first()
    return asked[term]


def current_calculation(transaction: Transaction) -> Calculation | None:
    """The calculation that a transaction stands on, as it was read with it; None where it has none."""
    try:
        return transaction.current.calculation
    except CurrentCalculation.DoesNotExist:
        return None


def _components(calculations: Sequence[Calculation]) -> list[str]:
    """The names of all amounts, in the order that the calculations list them, the total last."""
    names = dict.fromkeys(name for each in calculations for name in each.amounts)
    return [name for name in names if name != "total"] + ["total"]


def _rows(
    calculations: Sequence[Calculation],
    current: Calculation | None,
    components: list[str],
    history: list[Happening],
    stood: Calculation | None,
) -> Iterable[CalculationRow]:
    by_id = {each.pk: each for each in calculations}
    told = {each.calculation_id: each for each in history if each.calculation_id and each.status}
    previous: Calculation | None = None
    for each in calculations:
        compared = by_id.get(each.replaces_id) if each.replaces_id else previous
        if not each.is_proposal:
            previous = each
        last_told = told.get(each.pk)
        yield CalculationRow(
            calculation=each,
            is_current=current is not None and each.pk == current.pk,
            stood=stood is not None and each.pk == stood.pk,
            compared_with=compared,
            cells=[_cell(name, each, compared) for name in components],
            status=last_told.status if last_told else "",
            link=last_told.link if last_told else "",
        )


def _cell(name: str, calculation: Calculation, compared: Calculation | None) -> Cell:
    amount = calculation.amounts.get(name)
    if compared is None:
        return Cell(amount, None)
    return Cell(amount, (amount or 0) - (compared.amounts.get(name) or 0))


@tells_history
def reported(transaction: Transaction, calculations: Sequence[Calculation]) -> Iterable[Happening]:
    """What services reported of a transaction, and which of that superseded what it stood on."""
    for each in calculations:
        if not each.is_proposal:
            total = money_text(each.total, transaction.currency, transaction.scale)
            release = each.release
            yield Happening(
                each.calculated_at,
                _("%(service)s calculated %(total)s with %(calculator)s %(version)s.")
                % {
                    "service": release.service,
                    "total": total,
                    "calculator": release.calculator,
                    "version": release.version,
                },
                each.pk,
                _("reported by its service"),
            )
    services = {each.pk: each.release.service for each in calculations}
    for move in Supersession.objects.filter(transaction=transaction).order_by("id"):
        told = (
            _("%(service)s reported a newer calculation, which superseded our correction.")
            if move.of_correction
            else _("%(service)s reported a newer calculation, which superseded its earlier calculation.")
        )
        yield Happening(
            move.recorded_at,
            told % {"service": services.get(move.superseded_by_id) or _("Its service")},
            move.superseded_id,
            _("superseded by its service"),
        )
