"""The page of one drawn correction: all that is known of it, recomputed while it is made, and the verdict."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.errors import Refused
from audit.templatetags.reading import page_of
from remediation.admin.actions import ChangedMeanwhile
from remediation.audit_sample import PERMISSION, VerdictIncomplete, record_verdict, why_not_audit
from remediation.models import AuditSample, AuditSampleItem, AuditSampleVerdict
from remediation.recomputation import ItemCheck, Recomputed, check_items
from transactions.models import Transaction
from transactions.money import MoneyError, format_amount, parse_amount

if TYPE_CHECKING:
    from remediation.admin.audit_sample import AuditSampleAdmin

RECOMPUTED_TONES = {
    Recomputed.AGREES: "good",
    Recomputed.DIFFERS: "bad",
    Recomputed.FAILED: "bad",
    Recomputed.OTHER_CODE: "waiting",
    Recomputed.UNAVAILABLE: "waiting",
    Recomputed.REPORTED: "calm",
}
VERDICT_TONES = {
    AuditSampleVerdict.Verdict.CORRECT: "good",
    AuditSampleVerdict.Verdict.WRONG: "bad",
    AuditSampleVerdict.Verdict.CANNOT_TELL: "waiting",
}


def newest_verdicts(sample: AuditSample) -> dict[int, AuditSampleVerdict]:
    """The verdict that counts of each judged correction, by the item's id."""
    verdicts = AuditSampleVerdict.objects.filter(item__sample=sample).select_related("recorded_by")
    return {each.item_id: each for each in verdicts.order_by("item_id", "-pk").distinct("item_id")}


def item_view(model_admin: "AuditSampleAdmin") -> Callable[..., HttpResponse]:
    """The page “correction N of sample M”."""

    def view(request: HttpRequest, pk: int, number: int) -> HttpResponse:
        sample = model_admin.subject(request, pk)
        item = _item(sample, number)
        (check,) = check_items([item])
        verdicts = list(item.verdicts.select_related("recorded_by").order_by("-pk"))
        assert isinstance(request.user, User)
        facts = check.transaction if isinstance(check, ItemCheck) else None
        context = {
            **model_admin.admin_site.each_context(request),
            "opts": model_admin.opts,
            "title": _("Correction %(number)s of %(size)s") % {"number": number, "size": f"{sample.size:,}"},
            "subject": sample,
            "item": item,
            "check": check,
            "verdicts": verdicts,
            "newest": verdicts[0] if verdicts else None,
            "kinds": AuditSampleVerdict.Verdict,
            "smallest": "" if facts is None else format_amount(1, facts.scale),
            "previous": number - 1 if number > 1 else None,
            "following": number + 1 if number < sample.size else None,
            "may_audit": request.user.has_perm(PERMISSION),
            "why_not": why_not_audit(sample.job, request.user),
            "is_popup": False,
        }
        return TemplateResponse(request, "remediation/auditsample_item.html", context)

    return view


def judge_view(model_admin: "AuditSampleAdmin") -> Callable[..., HttpResponse]:
    """Records a verdict and goes on to the next correction without one; what is refused comes back to the same page."""

    def view(request: HttpRequest, pk: int, number: int) -> HttpResponse:
        sample = model_admin.subject(request, pk)
        item = _item(sample, number)
        here = reverse("admin:remediation_auditsample_item", args=[pk, number])
        if request.method != "POST":
            return HttpResponseRedirect(here)
        assert isinstance(request.user, User)
        try:
            recorded = _judge(request, item, request.user)
        except Refused as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(here)
        messages.success(
            request,
            _("Correction %(number)s: %(verdict)s.")
            % {"number": number, "verdict": recorded.get_verdict_display()},
        )
        return HttpResponseRedirect(_after(sample, number))

    return view


def _judge(request: HttpRequest, item: AuditSampleItem, acting_user: User) -> AuditSampleVerdict:
    newest = item.verdicts.select_related("recorded_by").order_by("-pk").first()
    if str(newest.pk if newest else "") != request.POST.get("newest", ""):
        raise ChangedMeanwhile(
            _("Meanwhile there is another verdict on it: %(verdict)s. Yours was not recorded; look again.")
            % {"verdict": newest}
        )
    named = request.POST.get("verdict", "")
    if named not in AuditSampleVerdict.Verdict.values:
        raise VerdictIncomplete(_("Say whether the correction is correct, wrong, or cannot be told."))
    verdict = AuditSampleVerdict.Verdict(named)
    given = request.POST.get("right_total", "").strip()
    return record_verdict(
        item,
        verdict,
        acting_user=acting_user,
        right_total=_amount(item, given) if given else None,
        comment=request.POST.get("comment", ""),
    )


def _amount(item: AuditSampleItem, given: str) -> int:
    facts = Transaction.objects.only("scale").filter(pk=item.transaction_id).first()
    if facts is None:
        raise VerdictIncomplete(
            _("Its rows are not there any more: nobody can tell what its total should be.")
        )
    try:
        return parse_amount(given, facts.scale)
    except MoneyError as error:
        raise VerdictIncomplete(_("The right total: %(error)s") % {"error": error}) from error


def _after(sample: AuditSample, number: int) -> str:
    """Where to go on: the next correction without a verdict, from the beginning again at the end; the sample where there is none."""
    waiting = list(
        sample.items.filter(verdicts__isnull=True).order_by("number").values_list("number", flat=True)
    )
    following = next((each for each in waiting if each > number), waiting[0] if waiting else None)
    if following is None:
        return page_of(sample)
    return reverse("admin:remediation_auditsample_item", args=[sample.pk, following])


def _item(sample: AuditSample, number: int) -> AuditSampleItem:
    item = sample.items.filter(number=number).first() if number < 2**31 else None
    if item is None:
        raise Http404(_("%(sample)s has no correction %(number)s.") % {"sample": sample, "number": number})
    item.sample = sample
    return item
