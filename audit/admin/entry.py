"""The trail's pages: who did what, in sentences, and one entry with all that stands behind it."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from audit.admin.facts import facts_of
from audit.admin.integrity import integrity_urls, sealing_of
from audit.admin.keyset import AFTER, BEFORE, PlaceUnreadable
from audit.admin.read_only import ReadOnlyAdmin
from audit.admin.trail_form import TrailForm, event_choices, read_form
from audit.admin.trail_page import LOOKED_THROUGH, TrailPage, trail_page
from audit.admin.zoned_time import ZONES
from audit.export import CONTENT_TYPES, UnknownFormat, export_trail
from audit.models import AuditEntry
from audit.permission import NotPermitted
from audit.sentence import sentence, split_sentence

# A chunk has no page of its own: its plan or job, named in the entry's data, shows it.
_SHOWN_BY = {"planchunk": "plan", "jobchunk": "job"}


def subject_page(entry: AuditEntry, reader: User | AnonymousUser) -> str:
    """The address of the page that shows what an entry is about; "" where there is none, or none that the reader may see."""
    app, _dot, model = entry.subject_type.partition(".")
    shown_as = _SHOWN_BY.get(model, model)
    pk = entry.subject_id if shown_as == model else entry.data.get(shown_as)
    if not reader.has_perm(f"{app}.view_{shown_as}"):
        return ""
    try:
        return reverse(f"admin:{app}_{shown_as}_change", args=[pk])
    except NoReverseMatch:
        return ""


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_per_page = 50
    search_fields: ClassVar = ()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The trail, or the part of it that the address asks for. 400 where the address asks for what cannot be asked."""
        self.demand_view(request)
        form = read_form(request.GET)
        page = None if form.problems else self._page(request, form)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Trail"),
            "is_popup": False,
            "form": form,
            "zones": ZONES,
            "events": event_choices(),
            "page": page,
            "lines": [
                (entry, split_sentence(entry), subject_page(entry, request.user)) for entry in page.rows
            ]
            if page
            else [],
            "looked_through": LOOKED_THROUGH,
            "may_export": request.user.has_perm("audit.export_trail"),
            **_addresses(request, page),
        }
        return TemplateResponse(request, "audit/trail.html", context, status=400 if form.problems else 200)

    def demand_view(self, request: HttpRequest) -> None:
        """Raise `PermissionDenied` unless the reader may read the trail."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def own_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(require_POST(self.export_view))
        return [
            path("export/", export, name="audit_auditentry_export"),
            *integrity_urls(self.admin_site),
        ]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the address asks for as a file, which is written as it is read."""
        self.demand_view(request)
        assert isinstance(request.user, User)
        form = read_form(request.GET)
        if form.problems:
            return self.changelist_view(request)
        wanted_as = request.POST.get("format", "")
        try:
            blocks = export_trail(form.wanted, wanted_as, acting_user=request.user)
        except NotPermitted as refused:
            raise PermissionDenied(str(refused)) from refused
        except UnknownFormat as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(f"../?{request.GET.urlencode()}")
        name = f"trail-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{wanted_as}"
        return StreamingHttpResponse(
            blocks,
            headers={
                "Content-Type": CONTENT_TYPES[wanted_as],
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
            },
        )

    def _page(self, request: HttpRequest, form: TrailForm) -> TrailPage | None:
        try:
            return trail_page(
                form.wanted,
                self.list_per_page,
                after=request.GET.get(AFTER, ""),
                before=request.GET.get(BEFORE, ""),
            )
        except PlaceUnreadable as error:
            form.problems.append(str(error))
            return None

    def page_context(self, request: HttpRequest, subject: AuditEntry) -> dict[str, Any]:
        return {
            "title": sentence(subject),
            "subject_page": subject_page(subject, request.user),
            "facts": facts_of(subject),
            "sealing": sealing_of(subject),
        }


def _addresses(request: HttpRequest, page: TrailPage | None) -> dict[str, str]:
    """Query strings of the pages around this one, and of what is asked for without a place."""
    asked = request.GET.copy()
    turned = any(asked.pop(name, None) for name in (AFTER, BEFORE))
    found = {"asked_for": asked.urlencode(), "first_page": f"?{asked.urlencode()}" if turned else ""}
    for name, place, label in (
        (AFTER, page and page.older, "older_page"),
        (BEFORE, page and page.newer, "newer_page"),
    ):
        around = asked.copy()
        if place:
            around[name] = place
        found[label] = f"?{around.urlencode()}" if place else ""
    return found
