"""The base of all pages: lists and one page for each thing, which change nothing."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from audit.admin.keyset import KeysetChangeList


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list along a keyset and a page for each row, from the template “<app>/<model>.html”. Nothing can be added, changed or deleted.

    Only the lookups in `lookups` may stand in a list's address: each needs an index. `search_fields` shows the search box, and
    `get_search_results` says what it does.
    """

    keyset: ClassVar[tuple[str, ...]] = ("-id",)
    lookups: ClassVar[frozenset[str]] = frozenset()
    actions = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    date_hierarchy = None

    def get_keyset(self, request: HttpRequest) -> tuple[str, ...]:
        """Fields, in the order of an index, along which the list that `request` asks for is read."""
        return self.keyset

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Fetch for all rows of a page together what showing each of them needs."""

    def page_context(self, request: HttpRequest, subject: Any) -> dict[str, Any]:
        """What the page of `subject` shows beside `subject` itself."""
        return {}

    def own_urls(self) -> list[URLPattern]:
        """Addresses of pages and actions that this model has beside its list and its page."""
        return []

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(require_safe(self.changelist_view)), name=f"{name}_changelist"),
            path("<int:pk>/", wrap(require_safe(self.page_view)), name=f"{name}_change"),
            *self.own_urls(),
        ]

    def page_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The page of one row."""
        subject = self.subject(request, pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(subject),
            "subject": subject,
            "is_popup": False,
            **self.page_context(request, subject),
        }
        return TemplateResponse(request, f"{self.opts.app_label}/{self.opts.model_name}.html", context)

    def subject(self, request: HttpRequest, pk: int) -> Any:
        """The row that a page is about. Raises `PermissionDenied` or `Http404`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_queryset(request).filter(pk=pk).first() if pk < 2**63 else None
        if found is None:
            raise Http404(
                _("There is no %(thing)s %(number)s.") % {"thing": self.opts.verbose_name, "number": pk}
            )
        return found

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = str(self.opts.verbose_name_plural)
        return super().changelist_view(
            request, {"title": title[:1].upper() + title[1:], **(extra_context or {})}
        )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        own = (getattr(each, "parameter_name", None) for each in self.get_list_filter(request))
        return lookup in self.lookups or lookup in own

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
