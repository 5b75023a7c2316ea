"""Opening a case from a search: what it is about in words, how many match, the version that would be right, and why."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from audit.errors import Refused
from audit.permission import NotPermitted
from remediation.case import open_case
from remediation.models import Case
from transactions.admin.find import FindForm, Problem, in_words, read_find
from transactions.finder import count

FIELDS = {"incident": 200, "reason": 4000, "ticket": 200}
"""What is asked beside the search, and how long each may be."""


def case_open_urls(site: AdminSite) -> list[URLPattern]:
    """The address of the page: with the same query as Find's."""

    def page(request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("remediation.open_case"):
            raise PermissionDenied
        return _opened(site, request) if request.method == "POST" else _asked(site, request, _form(request))

    return [path("remediation/case/open/", site.admin_view(page), name="remediation_case_open")]


def _form(request: HttpRequest) -> FindForm:
    asked = request.GET.copy()
    if request.method == "POST":
        asked["target"] = request.POST.get("target", "")
    form = read_find(asked)
    if form.selection is None and not form.problems:
        form.problems.append(
            Problem("calculator", _("Say which calculator's transactions the case is about."))
        )
    return form


def _asked(
    site: AdminSite, request: HttpRequest, form: FindForm, given: dict[str, str] | None = None
) -> HttpResponse:
    """The page, with what was `given` already; 400 where something is wrong with it."""
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": _("Open a case"),
        "is_popup": False,
        "opts": Case._meta,
        "form": form,
        "given": given or {},
        "longest": FIELDS,
    }
    if form.selection is not None:
        context |= {"words": in_words(form), "counts": count(form.selection, quickly=True)}
    return TemplateResponse(
        request, "remediation/case_open.html", context, status=400 if form.problems else 200
    )


def _opened(site: AdminSite, request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, User)
    form = _form(request)
    given = {name: request.POST.get(name, "").strip() for name in FIELDS}
    for name, longest in FIELDS.items():
        if len(given[name]) > longest or "\0" in given[name]:
            form.problems.append(
                Problem("", _("That is too long, or has a character that cannot be kept: shorten it."))
            )
    if not form.problems and not form.values["target"]:
        form.problems.append(Problem("target", _("Choose the version whose amounts would be right.")))
    if form.problems or form.selection is None:
        return _asked(site, request, form, given)
    try:
        case = open_case(form.selection, form.values["target"], acting_user=request.user, **given)
    except NotPermitted as refused:
        raise PermissionDenied(str(refused)) from refused
    except Refused as refused:
        form.problems.append(Problem("", str(refused)))
        return _asked(site, request, form, given)
    messages.success(
        request,
        _("Case %(number)d is open. Preview what correcting it would change: nothing has changed yet.")
        % {"number": case.pk},
    )
    return HttpResponseRedirect(reverse("admin:remediation_case_change", args=[case.pk]))
