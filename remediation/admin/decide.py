"""The page on which a plan is decided: what would change, what the policy asks, who may decide, and the decision, which is confirmed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Case, Q, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.errors import Refused
from audit.one_time_codes import (
    has_second_factor,
    second_factor_missing,
    second_factor_required,
    with_second_factor,
)
from audit.step_up import (
    Confirmation,
    NotConfirmed,
    confirm_by_code,
    confirm_by_password,
    insist_on_second_factor,
)
from audit.templatetags.reading import page_of
from remediation.admin.actions import newest_entry
from remediation.admin.plan_figures import charged, spreads_of
from remediation.admin.plan_summary import (
    corrections_in_short,
    corrections_in_words,
    money_rows,
    totals,
    why_not_fresh,
)
from remediation.approval import valid_approvals, why_not_decide
from remediation.models import Plan
from remediation.policy_of_plan import asked_of

if TYPE_CHECKING:
    from remediation.admin.plan import PlanAdmin

PERMISSION = "remediation.approve_plan"
MOST_PEOPLE = 50


class NotTyped(Refused):
    """A large plan is decided on or applied by who types how many corrections it makes, and this was not, or not rightly, typed."""


@dataclass(frozen=True)
class Approver:
    """Somebody whose role decides on plans, and why they cannot decide on this one; "" where they can."""

    person: User
    why_not: str


def decide_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """The page “decide on plan N”. Where there is nothing to decide for the reader, it leads to the plan, which says why."""

    @never_cache
    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        plan = model_admin.subject(request, pk)
        assert isinstance(request.user, User)
        if why_the_reader_does_not_decide(plan, request.user):
            return HttpResponseRedirect(page_of(plan))
        return _page(request, plan)

    return view


def decide_again(request: HttpRequest, plan: Plan, refused: NotConfirmed | NotTyped) -> HttpResponse:
    """The page again, with what was refused and what was typed: nothing was decided, and whoever mistyped goes on from there."""
    messages.error(request, str(refused))
    return _page(request, plan, comment=request.POST.get("comment", ""))


def _page(request: HttpRequest, plan: Plan, *, comment: str = "") -> HttpResponse:
    found, spreads = totals(plan), spreads_of(plan)
    assert isinstance(request.user, User)
    context = {
        **admin.site.each_context(request),
        "opts": Plan._meta,
        "title": _("Decide on %(plan)s") % {"plan": plan},
        "subject": plan,
        "is_popup": False,
        "newest_entry": newest_entry(),
        "totals": found,
        "money": money_rows(found, spreads),
        "charged": charged(plan, spreads),
        "why_not_fresh": why_not_fresh(plan),
        "corrections_in_words": corrections_in_words(plan),
        "corrections_in_short": corrections_in_short(plan),
        "approvals": list(plan.approvals.select_related("decided_by")),
        "comment": comment,
        "by_code": has_second_factor(request.user),
        "second_factor_missing": second_factor_missing(request.user),
        **policy_context(plan),
    }
    return TemplateResponse(request, "remediation/decide.html", context)


def policy_context(plan: Plan) -> dict[str, Any]:
    """What the plan's own policy asks of it, and why; empty before it is sealed."""
    if plan.manifest is None:
        return {}
    asked, approvers = asked_of(plan), approvers_of(plan)
    return {
        "policy": asked.policy,
        "why_large": asked.why_large,
        "valid_approvals": valid_approvals(plan),
        "must_type": asked.must_type,
        "approvers": approvers[:MOST_PEOPLE],
        "more_approvers": len(approvers) > MOST_PEOPLE,
    }


def approvers_of(plan: Plan) -> list[Approver]:
    """Who may decide on plans, superusers too: first who may on this one, then by name; `MOST_PEOPLE` + 1 at most."""
    people = with_second_factor(User.objects.with_perm(PERMISSION, backend=_BACKEND))
    needs_factor = second_factor_required()
    decided = {each.decided_by_id: each for each in plan.approvals.all()}
    editors = set(plan.case.revisions.values_list("edited_by_id", flat=True))
    barred = Q(pk=plan.requested_by_id) | Q(pk__in=editors | set(decided))
    found = []
    for person in people.order_by(Case(When(barred, then=1), default=0), "username")[: MOST_PEOPLE + 1]:
        why_not = ""
        if person.pk == plan.requested_by_id:
            why_not = _("asked for the plan")
        elif person.pk in editors:
            why_not = _("edited the case")
        elif person.pk in decided:
            why_not = _("has decided: %(decision)s") % {"decision": decided[person.pk].get_decision_display()}
        elif needs_factor and not getattr(person, "has_second_factor", False):
            why_not = _("has no second factor yet")
        found.append(Approver(person, why_not))
    return found


_BACKEND = "django.contrib.auth.backends.ModelBackend"


def why_the_reader_does_not_decide(plan: Plan, reader: User) -> str:
    """Why the reader gets no buttons to decide, the permission and an earlier decision of theirs included; "" where they do."""
    if plan.status == Plan.Status.READY and not reader.has_perm(PERMISSION):
        return _(
            "Your role does not decide on plans: an approver has to, who neither asked for this plan nor edited its case."
        )
    reason = why_not_decide(plan, reader)
    earlier = None if reason else plan.approvals.filter(decided_by_id=reader.pk).first()
    if earlier is None:
        return reason
    return _("You have %(decision)s this plan already. Others have to decide too.") % {
        "decision": earlier.get_decision_display()
    }


def confirmation_by(request: HttpRequest) -> Confirmation:
    """That whoever pressed a button is who they are, by the code in the form where they have a second factor, else by the password.

    Raises `NotConfirmed`.
    """
    assert isinstance(request.user, User)
    if has_second_factor(request.user):
        return confirm_by_code(request.user, request.POST.get("code", ""))
    insist_on_second_factor(request.user)
    return confirm_by_password(request.user, request.POST.get("password", ""))


def insist_on_typed(request: HttpRequest, plan: Plan) -> None:
    """The number of corrections, where the plan's policy wants it typed. Raises `NotTyped`."""
    proposed = (plan.manifest or {}).get("proposed", 0)
    if plan.manifest is None or not asked_of(plan).must_type:
        return
    typed = request.POST.get("typed", "").strip()
    digits = typed.translate({ord(mark): None for mark in ",. '’\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"})
    if not typed or digits != str(proposed):
        raise NotTyped(
            _("Nothing was done: type how many corrections it makes, %(count)s, to go on.")
            % {"count": f"{proposed:,}"}
        )
