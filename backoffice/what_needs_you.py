"""What needs the reader, for the first page: plans that wait for somebody, jobs that have not ended, the trail's integrity."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest

from audit.admin.integrity import integrity_in_short
from backoffice.site import AmendsAdminSite
from remediation.admin.plan_summary import plan_change_in_words
from remediation.admin.progress import jobs_at_work
from remediation.approval import why_not_decide
from remediation.models import Job, Plan

MOST_SHOWN = 20
"""Plans and jobs on the first page; their lists show all."""


def running_jobs(request: HttpRequest) -> dict[str, Any]:
    """Jobs that have not ended, paused ones too, with their progress."""
    if not request.user.has_perm("remediation.view_job"):
        return {}
    jobs = list(Job.objects.exclude(status__in=Job.ENDED).select_related("case", "requested_by")[:MOST_SHOWN])
    return {"running": jobs_at_work(jobs)}


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
    return {
        "to_decide": [
            {
                "plan": plan,
                "money": plan_change_in_words(plan),
                "yours": may_approve and not why_not_decide(plan, cast("User", request.user)),
            }
            for plan in plans
            if plan.status == Plan.Status.READY and not plan.proposes_nothing
        ],
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


def trail_integrity(request: HttpRequest) -> dict[str, Any]:
    """How the trail is protected, for those who oversee it."""
    return integrity_in_short() if request.user.has_perm("audit.oversee_trail") else {}


site = cast("AmendsAdminSite", admin.site)
site.add_home_part("waiting_plans", waiting_plans)
site.add_home_part("running_jobs", running_jobs)
site.add_home_part("trail_integrity", trail_integrity)
