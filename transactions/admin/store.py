"""The stores' pages."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.admin import ReadOnlyAdmin
from transactions.admin.parts import parts_context
from transactions.models import Store, Transaction
from transactions.prefix import begins_with

LATEST = 10
"""Transactions shown on a store's page; its list shows all."""


@admin.register(Store)
class StoreAdmin(ReadOnlyAdmin):
    keyset: ClassVar = ("reference", "id")
    list_display = ("reference", "name", "country")
    search_fields = ("reference",)
    search_help_text = gettext_lazy("A store's reference, or how it begins.")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(begins_with("reference", term)) if term else queryset), False

    def page_context(self, request: HttpRequest, subject: Store) -> dict[str, Any]:
        latest = (
            Transaction.objects.filter(store=subject)
            .select_related("current__calculation__release")
            .order_by("-occurred_at", "-id")[:LATEST]
        )
        return {
            "title": _("Store %(reference)s") % {"reference": subject.reference},
            "latest": latest,
            **parts_context(request, subject),
        }
