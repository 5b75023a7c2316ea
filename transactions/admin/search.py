"""The box in every page's header, and the page of what it finds."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.templatetags.reading import page_of
from transactions.lookup import LONGEST, Found, kinds_for, look_up


def search_urls(site: AdminSite) -> list[URLPattern]:
    """The address that the box leads to."""
    return [path("search/", site.admin_view(never_cache(require_safe(_search_view(site)))), name="search")]


def _search_view(site: AdminSite) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        kinds = kinds_for(request.user)
        if not kinds:
            raise PermissionDenied
        asked = request.GET.get("q", "").strip()
        answer = look_up(asked, acting_user=request.user)
        if answer.only is not None and (page := page_of(answer.only.subject)):
            return HttpResponseRedirect(page)
        context: dict[str, Any] = site.each_context(request) | {
            "title": _("What “%(asked)s” finds") % {"asked": answer.text}
            if answer.found
            else _("Look something up"),
            "asked": asked.replace("\0", ""),
            "too_long": len(answer.text) > LONGEST,
            "longest": LONGEST,
            "groups": [(found, _all_of(found, answer.text)) for found in answer.found],
            "kinds": kinds,
        }
        return TemplateResponse(request, "transactions/search.html", context)

    return view


def _all_of(found: Found, asked: str) -> str:
    """The address of the list of everything of the kind that begins so; "" where the page shows it all."""
    return f"{reverse(found.kind.lists)}?{urlencode({'q': asked})}" if found.more and found.kind.lists else ""
