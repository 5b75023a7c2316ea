"""Keeping searches, and forgetting them again."""

from urllib.parse import parse_qs

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.errors import Refused
from transactions.admin.find.form import read_find
from transactions.models import SavedSearch
from transactions.searches import forget_search, save_search, saved_searches

MOST_SHOWN = 100


def searches_of(reader: User) -> list[SavedSearch]:
    """The searches that a reader is offered."""
    return list(saved_searches(reader)[:MOST_SHOWN])


def save_view(request: HttpRequest) -> HttpResponse:
    """Keep the search of the posted query."""
    assert isinstance(request.user, User)
    query = request.POST.get("query", "")
    if request.method == "POST":
        form = read_find(QueryDict(query[:100_000]))
        try:
            if form.problems:
                messages.error(
                    request, _("That search cannot be kept: %(why)s") % {"why": form.problems[0].text}
                )
            else:
                shared = request.POST.get("shared") == "yes"
                saved = save_search(
                    request.POST.get("name", ""), form.address, shared=shared, acting_user=request.user
                )
                messages.success(
                    request, _("“%(name)s” is kept, and listed on this page.") % {"name": saved.name}
                )
        except Refused as refused:
            messages.error(request, str(refused))
        query = form.address
    return HttpResponseRedirect(f"{reverse('admin:find')}?{query if _is_query(query) else ''}")


def forget_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep a search no longer."""
    assert isinstance(request.user, User)
    if request.method == "POST":
        saved = saved_searches(request.user).filter(pk=pk).first() if pk < 2**63 else None
        if saved is None:
            raise Http404(_("There is no such search: somebody may have forgotten it meanwhile."))
        try:
            forget_search(saved, acting_user=request.user)
            messages.success(request, _("“%(name)s” is forgotten.") % {"name": saved.name})
        except Refused as refused:
            messages.error(request, str(refused))
    return HttpResponseRedirect(reverse("admin:find"))


def _is_query(text: str) -> bool:
    return bool(parse_qs(text))
