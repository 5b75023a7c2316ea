"""A plan's page: what would change, who decides, and the buttons to decide and to apply."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.models import AuditEntry
from audit.permission import demand
from audit.step_up import NotConfirmed
from audit.templatetags.reading import moment
from remediation.admin.actions import ActingAdmin, Action
from remediation.admin.badge import PLAN_TONES, badge, link_to
from remediation.admin.beside import beside_rows_view, beside_view
from remediation.admin.decide import (
    NotTyped,
    confirmation_by,
    decide_again,
    decide_view,
    insist_on_typed,
    policy_context,
    why_the_reader_does_not_decide,
)
from remediation.admin.left_out import left_out_of_plan
from remediation.admin.plan_causes import cause_view, causes_view, listed_causes
from remediation.admin.plan_figures import charged, figures_view, spreads_of
from remediation.admin.plan_rows import plan_rows_view
from remediation.admin.plan_summary import (
    corrections_in_short,
    corrections_in_words,
    money_rows,
    plan_change_in_words,
    totals,
    why_not_fresh,
)
from remediation.apply import start_apply
from remediation.approval import approve, insist_decidable, insist_on_comment, reject, valid_approvals
from remediation.models import Job, Outcome, Plan
from remediation.progress import applied_by
from remediation.retry import request_retry, rows_to_retry
from transactions.templatetags.money import count


@admin.register(Plan)
class PlanAdmin(ActingAdmin):
    list_display = (
        "name",
        "case_page",
        "status_badge",
        "corrections",
        "money_change",
        "asked_by",
        "requested",
    )
    list_select_related = ("case", "requested_by")
    list_filter = ("status", "kind")
    lookups: ClassVar = frozenset({"status__exact", "kind__exact", "case", "case__id__exact"})

    @admin.display(description="plan")
    def name(self, plan: Plan) -> str:
        return str(plan)

    @admin.display(description="case")
    def case_page(self, plan: Plan) -> str:
        return link_to(plan.case)

    @admin.display(description="status")
    def status_badge(self, plan: Plan) -> str:
        return badge(PLAN_TONES[Plan.Status(plan.status)], plan.get_status_display())

    @admin.display(description="asked for by")
    def asked_by(self, plan: Plan) -> str:
        return str(plan.requested_by)

    @admin.display(description="corrections")
    def corrections(self, plan: Plan) -> str:
        return count(plan.manifest["proposed"] if plan.manifest else None)

    @admin.display(description="change of totals")
    def money_change(self, plan: Plan) -> str:
        return plan_change_in_words(plan)

    @admin.display(description="at")
    def requested(self, plan: Plan) -> str:
        return moment(plan.requested_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .select_related("case", "revision", "requested_by", "source_plan", "retries")
        )

    def own_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        rows = wrap(plan_rows_view(self))
        beside = self.admin_site.admin_view(beside_view(self))
        differing = self.admin_site.admin_view(beside_rows_view(self))
        decide = wrap(decide_view(self))
        return [
            *super().own_urls(),
            path("<int:pk>/decide/", decide, name="remediation_plan_decide"),
            path("<int:pk>/rows/", rows, name="remediation_plan_rows"),
            path("<int:pk>/figures/", wrap(figures_view(self)), name="remediation_plan_figures"),
            path("<int:pk>/causes/", wrap(causes_view(self)), name="remediation_plan_causes"),
            path("<int:pk>/cause/", wrap(cause_view(self)), name="remediation_plan_cause"),
            path("<int:pk>/beside/<int:other>/", beside, name="remediation_plan_beside"),
            path("<int:pk>/beside/<int:other>/rows/", differing, name="remediation_plan_beside_rows"),
        ]

    def buttons(self) -> dict[str, Action]:
        return {"approve": press_approve, "reject": press_reject, "apply": press_apply, "retry": press_retry}

    def others_concerned(self, subject: Plan) -> list[Any]:
        return [subject, *subject.jobs.all(), subject.case]

    def page_context(self, request: HttpRequest, subject: Plan) -> dict[str, Any]:
        assert isinstance(request.user, User)
        found, spreads = totals(subject), spreads_of(subject)
        jobs = list(subject.jobs.select_related("requested_by"))
        apply_job = next((job for job in jobs if job.kind == Job.Kind.APPLY), None)
        preview_job = next((job for job in jobs if job.kind == Job.Kind.PREVIEW), None)
        return super().page_context(request, subject) | {
            "totals": found,
            **left_out_of_plan(subject, request.user),
            "tone": PLAN_TONES[Plan.Status(subject.status)],
            "money": money_rows(found, spreads),
            "charged": charged(subject, spreads),
            **listed_causes(subject, prove=False),
            "jobs": jobs,
            "preview_job": preview_job,
            "apply_job": apply_job,
            "applied": applied_by(apply_job) if apply_job else None,
            "has_failed": preview_job is not None
            and Outcome.objects.filter(job=preview_job, kind=Outcome.Kind.FAILED).exists(),
            "approvals": list(subject.approvals.select_related("decided_by")),
            **policy_context(subject),
            "corrections_in_words": corrections_in_words(subject),
            "corrections_in_short": corrections_in_short(subject),
            "why_not_decide": why_the_reader_does_not_decide(subject, request.user),
            "why_not_fresh": why_not_fresh(subject)
            if subject.status in (Plan.Status.READY, Plan.Status.APPROVED)
            else "",
            "to_retry": rows_to_retry(subject) if request.user.has_perm("remediation.preview_plan") else 0,
            "retry": subject.retried_by.first(),
            "may_apply": request.user.has_perm("remediation.apply_plan"),
        }


def press_approve(request: HttpRequest, plan: Plan, acting_user: User) -> Plan | HttpResponse:
    """Approve the digest that the form holds: what its page showed, not what the plan is by now."""
    insist_decidable(plan, request.POST.get("digest", ""), acting_user=acting_user)
    try:
        insist_on_typed(request, plan)
        plan = approve(
            plan,
            request.POST.get("digest", ""),
            acting_user=acting_user,
            confirmed=confirmation_by(request),
            comment=request.POST.get("comment", "").strip(),
        )
    except (NotConfirmed, NotTyped) as refused:
        return decide_again(request, plan, refused)
    missing = max((plan.required_approvals or 1) - valid_approvals(plan), 0)
    then = (
        ngettext("It needs %(n)s more approval.", "It needs %(n)s more approvals.", missing) % {"n": missing}
        if plan.status == Plan.Status.READY
        else _("An engineer can apply it now.")
        if plan.status == Plan.Status.APPROVED
        else _("It is %(status)s by now.") % {"status": plan.get_status_display()}
    )
    done = _("You approved %(plan)s: %(corrections)s.") % {
        "plan": plan,
        "corrections": corrections_in_words(plan),
    }
    messages.success(request, f"{done} {then}")
    return plan


def press_reject(request: HttpRequest, plan: Plan, acting_user: User) -> Plan | HttpResponse:
    """Say no to the digest that the form holds."""
    insist_decidable(plan, request.POST.get("digest", ""), acting_user=acting_user)
    insist_on_comment(request.POST.get("comment", ""))
    try:
        plan = reject(
            plan,
            request.POST.get("digest", ""),
            acting_user=acting_user,
            confirmed=confirmation_by(request),
            comment=request.POST.get("comment", "").strip(),
        )
    except NotConfirmed as refused:
        return decide_again(request, plan, refused)
    messages.success(request, _("You rejected %(plan)s. Nothing was changed.") % {"plan": plan})
    return plan


def press_apply(request: HttpRequest, plan: Plan, acting_user: User) -> Job:
    """Start the plan's one job, or lead to it where somebody did already."""
    demand(acting_user, "remediation.apply_plan")
    insist_on_typed(request, plan)
    newest = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    job = start_apply(plan, acting_user=acting_user)
    started_now = AuditEntry.objects.filter(
        subject_type="remediation.job", subject_id=job.pk, pk__gt=newest, event="plan.apply_started"
    ).exists()
    if started_now:
        messages.success(request, f"Applying {plan}: {corrections_in_words(plan)}.")
    else:
        messages.info(
            request,
            f"{plan} was applied by {job.requested_by} already, from {job.requested_at:%Y-%m-%d %H:%M:%S} UTC on; "
            "a plan is applied once.",
        )
    return job


def press_retry(request: HttpRequest, plan: Plan, acting_user: User) -> Plan:
    """Plan to try the plan's failed and conflicting rows again, or lead to the plan that does already."""
    retry = request_retry(plan, acting_user=acting_user)
    messages.success(
        request, f"{retry} is being prepared. It changes nothing until it is approved and applied."
    )
    return retry
