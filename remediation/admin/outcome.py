"""What did not go well, a line each: conflicts, failures, and what a verification found to differ."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin import ReadOnlyAdmin
from audit.templatetags.reading import moment
from remediation.admin.badge import link_to
from remediation.models import Outcome


@admin.register(Outcome)
class OutcomeAdmin(ReadOnlyAdmin):
    lookups: ClassVar = frozenset({"job", "job__id__exact", "kind__exact", "reason__exact"})
    list_display = ("transaction_page", "kind", "reason", "job_page", "recorded")
    list_display_links = None
    list_select_related = ("transaction", "job")

    def get_keyset(self, request: HttpRequest) -> tuple[str, ...]:
        # Within a job along the unique index (job, transaction); else the newest rows.
        return (
            ("transaction_id",)
            if any(name in request.GET for name in ("job", "job__id__exact"))
            else ("-id",)
        )

    def get_list_filter(self, request: HttpRequest) -> tuple[str, ...]:
        # Kind alone has no index: it narrows the rows of one job.
        return ("kind",) if any(name in request.GET for name in ("job", "job__id__exact")) else ()

    @admin.display(description=_("transaction"))
    def transaction_page(self, outcome: Outcome) -> str:
        return link_to(outcome.transaction)

    @admin.display(description=_("job"))
    def job_page(self, outcome: Outcome) -> str:
        return link_to(outcome.job)

    @admin.display(description=_("recorded"))
    def recorded(self, outcome: Outcome) -> str:
        return moment(outcome.recorded_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("transaction", "job__case", "plan_chunk")
