"""Pages of releases, and of the calculations that each made."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.admin import ReadOnlyAdmin
from audit.templatetags.reading import moment
from transactions.calculators import UnknownCalculator, calculator
from transactions.models import Calculation, Release
from transactions.templatetags.money import money_text


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ("calculator", "version", "service", "since")
    list_display_links = ("calculator", "version")

    @admin.display(description=gettext_lazy("known since"))
    def since(self, release: Release) -> str:
        return moment(release.recorded_at)

    def page_context(self, request: HttpRequest, subject: Release) -> dict[str, Any]:
        made = Calculation.objects.filter(release=subject, plan_chunk_id__isnull=True)
        return {
            "first": made.order_by("calculated_at", "id").first(),
            "last": made.order_by("-calculated_at", "-id").first(),
            "has_code": _has_code(subject),
            "found": urlencode(
                {"calculator": subject.calculator, "version": subject.version, "service": subject.service}
            ),
        }


def _has_code(release: Release) -> bool:
    try:
        calculator(release.calculator, release.version)
    except UnknownCalculator:
        return False
    return True


@admin.register(Calculation)
class CalculationAdmin(ReadOnlyAdmin):
    """What one release made, newest first. Each leads to its transaction, which shows it beside all others."""

    keyset: ClassVar = ("-calculated_at", "-id")
    lookups: ClassVar = frozenset({"release", "release__id__exact"})
    list_display = ("when", "transaction_page", "total_in_currency", "origin")
    list_display_links = None
    list_select_related = ("transaction",)

    def get_keyset(self, request: HttpRequest) -> tuple[str, ...]:
        # The index is (release, calculated_at, id): without a release the list follows the primary key.
        return self.keyset if request.GET.get("release") else ("-id",)

    @admin.display(description=gettext_lazy("calculated"))
    def when(self, calculation: Calculation) -> str:
        return moment(calculation.calculated_at)

    @admin.display(description=gettext_lazy("transaction"))
    def transaction_page(self, calculation: Calculation) -> str:
        page = reverse("admin:transactions_transaction_change", args=[calculation.transaction_id])
        return format_html('<a href="{}">{}</a>', page, calculation.transaction)

    @admin.display(description=gettext_lazy("total"))
    def total_in_currency(self, calculation: Calculation) -> str:
        facts = calculation.transaction
        return money_text(calculation.total, facts.currency, facts.scale)

    @admin.display(description=gettext_lazy("from"))
    def origin(self, calculation: Calculation) -> str:
        return _("proposed by a plan") if calculation.is_proposal else _("reported by its service")

    def page_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        calculation = self.subject(request, pk)
        if not isinstance(calculation, Calculation):
            raise Http404
        page = reverse("admin:transactions_transaction_change", args=[calculation.transaction_id])
        return HttpResponseRedirect(f"{page}#calculation-{calculation.pk}")
