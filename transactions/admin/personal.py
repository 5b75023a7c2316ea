"""Personal data on a transaction's page: masked, and revealed by a button that asks why."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from audit.admin.facts import Fact, label_of, shown
from audit.errors import Refused
from audit.templatetags.reading import page_of
from transactions.models import PersonalData, Transaction
from transactions.personal import PERMISSION, masked, reveal_personal_data

if TYPE_CHECKING:
    from transactions.admin.transaction import TransactionAdmin


def personal_context(request: HttpRequest, subject: Transaction) -> dict[str, Any]:
    """What the page shows of the person: masked."""
    found = PersonalData.objects.filter(transaction=subject).first()
    return {
        "personal": _told(masked(found.data)) if found else [],
        "may_reveal": request.user.has_perm(PERMISSION),
    }


def reveal_view(model_admin: "TransactionAdmin") -> Callable[..., HttpResponse]:
    """The button's address. Its answer is the page with what was asked for, and nothing keeps it: to see it again is to ask again."""

    @never_cache
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        subject = model_admin.subject(request, pk)
        if request.method != "POST":
            return HttpResponseRedirect(f"{page_of(subject)}#person")
        assert isinstance(request.user, User)
        try:
            data = reveal_personal_data(
                subject, reason=request.POST.get("reason", ""), acting_user=request.user
            )
        except Refused as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(f"{page_of(subject)}#person")
        context = {
            **model_admin.admin_site.each_context(request),
            "opts": model_admin.opts,
            "title": _("The person of transaction %(reference)s") % {"reference": subject.reference},
            "subject": subject,
            "personal": _told(data),
            "is_popup": False,
        }
        answer = TemplateResponse(request, "transactions/personal_revealed.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    return view


def _told(data: dict[str, Any]) -> list[Fact]:
    return [Fact(label_of(name), shown("", value)) for name, value in data.items()]
