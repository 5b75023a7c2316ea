"""What needs the reader, for the first page: plans and cases that wait for somebody, jobs that have not ended, what is wrong."""

from collections.abc import Iterator
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.alarms import standing_alarms
from audit.templatetags.reading import duration, page_of
from backoffice.alerts import Alert, alerts_for, tells_alerts
from backoffice.site import AmendsAdminSite
from remediation.admin.plan_summary import plan_change_in_words
from remediation.admin.progress import JobAtWork, jobs_at_work
from remediation.admin.stage import outlooks_of
from remediation.approval import undecided_by
from remediation.models import AuditSample, Case, Job, Plan
from remediation.stage import Stage
from transactions.models import Transaction

MOST_SHOWN = 20
"""Plans, cases and jobs on the first page; their lists show all."""
SAMPLES_SHOWN = 5
CASES_LOOKED_AT = 50
"""So many of the newest cases are looked at for whether one waits for an engineer."""
_FOR_ENGINEERS = frozenset(
    {
        Stage.OPENED,
        Stage.APPLIED,
        Stage.STOPPED,
        Stage.LEFT_OVER,
        Stage.UNRECONCILED,
        Stage.REJECTED,
        Stage.FAILED,
    }
)


def first_steps(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 (every part is handed it)
    """What to do first, as long as there is nothing to work with or nothing was begun."""
    nothing_begun = not Case.objects.exists()
    return {
        "nothing_begun": nothing_begun,
        # A case without transactions would be one more query for nothing.
        "nothing_imported": nothing_begun and not Transaction.objects.exists(),
    }


def look_up(request: HttpRequest) -> dict[str, Any]:
    """The large search box, for those whose work is to answer: who neither prepares, decides nor oversees."""
    others = ("remediation.preview_plan", "remediation.approve_plan", "audit.oversee_trail")
    return {
        "looks_up": request.user.has_perm("transactions.view_transaction")
        and not any(request.user.has_perm(permission) for permission in others)
    }


def waiting_plans(request: HttpRequest) -> dict[str, Any]:
    """Plans that wait for a decision, told from those that wait for an engineer; and whether the reader may do it."""
    if not request.user.has_perm("remediation.view_plan"):
        return {}
    plans = list(
        Plan.objects.filter(status__in=(Plan.Status.READY, Plan.Status.APPROVED)).select_related(
            "case", "requested_by"
        )[:MOST_SHOWN]
    )
    may_approve = request.user.has_perm("remediation.approve_plan")
    yours = undecided_by(plans, cast("User", request.user)) if may_approve else set()
    to_decide = [
        {
            "plan": plan,
            "money": plan_change_in_words(plan),
            "yours": plan.pk in yours,
        }
        for plan in plans
        if plan.status == Plan.Status.READY and not plan.proposes_nothing
    ]
    return {
        # What the reader can do stands first.
        "to_decide": sorted(to_decide, key=lambda each: not each["yours"]),
        "may_approve": may_approve,
        "to_apply": [
            {
                "plan": plan,
                "money": plan_change_in_words(plan),
                "yours": request.user.has_perm("remediation.apply_plan"),
            }
            for plan in plans
            if plan.status == Plan.Status.APPROVED
        ],
    }


def waiting_cases(request: HttpRequest) -> dict[str, Any]:
    """Of the newest cases those that wait for an engineer, with what for."""
    if not request.user.has_perm("remediation.view_case"):
        return {}
    newest = list(Case.objects.order_by("-pk")[: CASES_LOOKED_AT + 1])
    outlooks = outlooks_of(newest[:CASES_LOOKED_AT])
    waiting = [
        (case, outlooks[case.pk])
        for case in newest[:CASES_LOOKED_AT]
        if outlooks[case.pk].stage in _FOR_ENGINEERS
    ]
    return {
        "waiting_cases": waiting[:MOST_SHOWN],
        "cases_looked_at": CASES_LOOKED_AT if len(newest) > CASES_LOOKED_AT else None,
        "works_on_cases": request.user.has_perm("remediation.preview_plan"),
    }


def audit_samples(request: HttpRequest) -> dict[str, Any]:
    """For auditors: samples that nobody has concluded, and the way to draw the next one."""
    if not request.user.has_perm("remediation.audit_sample"):
        return {}
    begun = AuditSample.objects.filter(conclusions=None).select_related("drawn_by")
    return {
        "audits": True,
        "samples_at_hand": begun.annotate(
            judged=Count("items", filter=Q(items__verdicts__isnull=False), distinct=True)
        )[:SAMPLES_SHOWN],
    }


def running_jobs(request: HttpRequest) -> dict[str, Any]:
    """Jobs that have not ended, paused ones too, with their progress."""
    return {"running": open_jobs(request)} if request.user.has_perm("remediation.view_job") else {}


def open_jobs(request: HttpRequest) -> list[JobAtWork]:
    """Jobs that have not ended, the newest; read once for all parts of a page."""
    found: list[JobAtWork] | None = request.__dict__.get("open_jobs")
    if found is None:
        jobs = Job.objects.exclude(status__in=Job.ENDED).select_related("case", "requested_by")[:MOST_SHOWN]
        found = request.__dict__["open_jobs"] = jobs_at_work(jobs)
    return found


def alerts(request: HttpRequest) -> dict[str, Any]:
    return {"alerts": alerts_for(request)}


@tells_alerts
def troubled_jobs(request: HttpRequest) -> Iterator[Alert]:
    """Jobs that nobody is at, that a gate holds, or that stand still because somebody paused them."""
    if not request.user.has_perm("remediation.view_job"):
        return
    for work in open_jobs(request):
        job = work.job
        told = {"job": job, "reason": job.pause_reason}
        if work.progress.stuck:
            told["length"] = duration(work.idle_for)
            yield Alert(_("%(job)s is stuck: nobody has been at it for %(length)s.") % told, page_of(job))
        elif job.status == Job.Status.PAUSED and job.held_at_stage is not None:
            yield Alert(_("A gate holds %(job)s. %(reason)s") % told, page_of(job))
        elif job.status == Job.Status.PAUSED:
            yield Alert(_("%(job)s is paused. %(reason)s") % told, page_of(job), tone="waiting")


@tells_alerts
def alarms_of_the_trail(request: HttpRequest) -> Iterator[Alert]:
    """Alarms about the trail that have begun and not ended."""
    if request.user.has_perm("audit.oversee_trail"):
        for problem in standing_alarms().values():
            yield Alert(problem.what, reverse("admin:audit_integrity"), problem.remedy)


site = cast("AmendsAdminSite", admin.site)
site.add_home_part("look_up", look_up)
site.add_home_part("first_steps", first_steps)
site.add_home_part("alerts", alerts)
site.add_home_part("waiting_plans", waiting_plans)
site.add_home_part("waiting_cases", waiting_cases)
site.add_home_part("audit_samples", audit_samples)
site.add_home_part("running_jobs", running_jobs)
