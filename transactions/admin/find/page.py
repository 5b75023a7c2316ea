"""The page Find: the form, how many match and when, the next transactions, and what can be asked of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast

from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from audit.admin.keyset import AFTER, PlaceUnreadable, read_place, write_place
from audit.admin.zoned_time import ZONES
from transactions.admin.find.answers import estimate_page, onset_page
from transactions.admin.find.form import WINDOWS, FindForm, Problem, chosen_preset, read_find
from transactions.admin.find.histogram import Histogram, histogram
from transactions.admin.find.saved import forget_view, save_view, searches_of
from transactions.finder import Counts, FoundPage, Place, count, page_within
from transactions.models import Release

View = Callable[..., HttpResponse]
ROWS = 50
PERMISSION = "transactions.view_transaction"
CASE_OPENING = "admin:remediation_case_open"
"""The page above that opens a case of a search; a link to it is shown where there is one."""


@dataclass(frozen=True)
class ReleaseLine:
    """How many match of a release, and the address that asks for those alone."""

    release: Release
    transactions: int
    address: str
    series: int


def find_urls(site: AdminSite) -> list[URLPattern]:
    """Addresses of Find and of what can be asked from it."""

    def find(request: HttpRequest) -> HttpResponse:
        if (query := chosen_preset(request.GET)) is not None:
            return HttpResponseRedirect(f"{reverse('admin:find')}?{read_find(query).address}")
        return find_page(site, request)

    def guarded(view: View) -> View:
        def page(request: HttpRequest, **named: Any) -> HttpResponse:
            demand_find(request)
            return view(request, **named)

        return site.admin_view(page)

    return [
        path("find/", guarded(require_safe(find)), name="find"),
        path("find/estimate/", guarded(require_safe(partial(estimate_page, site))), name="find_estimate"),
        path("find/onset/", guarded(require_safe(partial(onset_page, site))), name="find_onset"),
        path("find/save/", guarded(save_view), name="find_save"),
        path("find/forget/<int:pk>/", guarded(forget_view), name="find_forget"),
    ]


def demand_find(request: HttpRequest) -> None:
    """Raise `PermissionDenied` unless the reader may look at transactions."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def find_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """What the address asks for. 400 where it asks for what cannot be asked."""
    asked = request.GET.copy()
    places = asked.pop(AFTER, [""])
    form = read_find(asked)
    after = _place(form, places[-1])
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": _("Find"),
        "is_popup": False,
        "form": form,
        "windows": WINDOWS,
        "zones": ZONES,
        "searches": searches_of(cast("User", request.user)),
    }
    if form.selection is not None and not form.problems:
        context |= _found(form, after)
    response = TemplateResponse(
        request, "transactions/find.html", context, status=400 if form.problems else 200
    )
    if request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"):
        # The address to go back to and to share: what was given, and none of the form's empty fields.
        response["HX-Push-Url"] = f"{reverse('admin:find')}?{form.address}"
    return response


def _place(form: FindForm, given: str) -> Place | None:
    if not given:
        return None
    try:
        release_id, calculated_at, calculation_id = read_place(given, 3)
        return Place(int(release_id), datetime.fromisoformat(calculated_at), int(calculation_id))
    except (PlaceUnreadable, ValueError, TypeError):
        form.problems.append(
            Problem(
                "",
                _("“%(given)s” is no place in this list: begin at its first page.") % {"given": given[:60]},
            )
        )
        return None


def _found(form: FindForm, after: Place | None) -> dict[str, Any]:
    assert form.selection is not None
    counts = count(form.selection, quickly=True)
    page = page_within(form.selection, after=after, limit=ROWS + 1)
    chart = histogram(counts.cells, [release for release, _rows in counts.by_release])
    return {
        "counts": counts,
        "release_lines": _release_lines(form, counts, chart),
        "chart": chart,
        "edges": chart.edges(form.zone) if chart else [],
        "rows": _with_releases(page.rows[:ROWS], form),
        "looked_to": page.looked_to,
        "next_page": _next_page(form, page),
        "first_page": f"?{form.address}" if after is not None else "",
        "open_case": _open_case(form),
    }


def _release_lines(form: FindForm, counts: Counts, chart: Histogram | None) -> list[ReleaseLine]:
    lines = []
    for release, transactions in counts.by_release:
        query = QueryDict(form.address, mutable=True)
        query["service"], query["version"] = release.service, release.version
        lines.append(
            ReleaseLine(release, transactions, query.urlencode(), chart.series_of(release) if chart else 0)
        )
    return lines


def _with_releases(rows: list[Any], form: FindForm) -> list[tuple[Any, Release]]:
    releases = {release.pk: release for release in form.releases}
    return [(row, releases[row.release_id]) for row in rows]


def _next_page(form: FindForm, page: FoundPage) -> str:
    """The address of the rows behind this page's, or of where looking for them stopped; "" where there are none."""
    place = page.rows[ROWS - 1].place if len(page.rows) > ROWS else page.looked_to
    if place is None:
        return ""
    query = QueryDict(form.fixed_address, mutable=True)
    query[AFTER] = write_place([place.release_id, place.calculated_at, place.calculation_id])
    return f"?{query.urlencode()}"


def _open_case(form: FindForm) -> str:
    try:
        return f"{reverse(CASE_OPENING)}?{form.fixed_address}"
    except NoReverseMatch:
        return ""
