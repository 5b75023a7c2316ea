"""How a transaction's calculations came about, line by line: a page, and the part of the transaction's page that is fetched after it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from transactions.explanation import explain_all, side_by_side
from transactions.models import Calculation, CurrentCalculation, Transaction

if TYPE_CHECKING:
    from transactions.admin.transaction import TransactionAdmin


def explanation_view(model_admin: "TransactionAdmin") -> Callable[..., HttpResponse]:
    """`?calculation=` names one that is explained, beside the one that it replaces; else the current one and its correction, if there is
    one. 404 where the transaction has no such calculation.
    """

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        subject = model_admin.subject(request, pk)
        before, after = _pair(subject, request.GET.get("calculation", ""))
        told = explain_all([each for each in (before, after) if each is not None])
        context = {
            "comparison": side_by_side(told[0] if before is not None else None, told[-1]),
            "currency": subject.currency,
            "scale": subject.scale,
        }
        if request.headers.get("HX-Request"):
            return TemplateResponse(request, "transactions/explanation.html", context)
        context |= model_admin.admin_site.each_context(request) | {
            "opts": model_admin.opts,
            "title": _("Transaction %(reference)s, line by line") % {"reference": subject.reference},
            "subject": subject,
        }
        return TemplateResponse(request, "transactions/transaction_explanation.html", context)

    return view


def _pair(subject: Transaction, asked: str) -> tuple[Calculation | None, Calculation]:
    """The calculation that is explained, and ahead of it the one that it replaces, or would; None where it replaces none."""
    calculations = Calculation.objects.filter(transaction=subject).select_related(
        "release", "replaces__release"
    )
    if asked:
        found = (
            calculations.filter(pk=asked).first()
            if asked.isascii() and asked.isdigit() and len(asked) < 19
            else None
        )
        if found is None:
            raise Http404(_("This transaction has no calculation %(asked)s.") % {"asked": asked[:20]})
        return found.replaces, found
    current = (
        CurrentCalculation.objects.filter(transaction=subject).values_list("calculation", flat=True).first()
    )
    if current is None:
        raise Http404(_("This transaction stands on no calculation."))
    proposed = calculations.filter(batch__isnull=True, replaces=current).order_by("-id").first()
    after = proposed or calculations.get(pk=current)
    return after.replaces, after
