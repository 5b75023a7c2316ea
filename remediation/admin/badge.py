"""How a status looks, the same on every page."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.templatetags.reading import page_of
from remediation.models import Job, Plan

PLAN_TONES: dict[Plan.Status, str] = {
    Plan.Status.PREVIEWING: "working",
    Plan.Status.READY: "waiting",
    Plan.Status.APPROVED: "waiting",
    Plan.Status.EXECUTING: "working",
    Plan.Status.EXECUTED: "good",
    Plan.Status.STOPPED: "bad",
    Plan.Status.REJECTED: "bad",
    Plan.Status.SUPERSEDED: "calm",
    Plan.Status.FAILED: "bad",
}
JOB_TONES: dict[Job.Status, str] = {
    Job.Status.RUNNING: "working",
    Job.Status.PAUSING: "waiting",
    Job.Status.PAUSED: "waiting",
    Job.Status.CANCELLING: "waiting",
    Job.Status.CANCELLED: "bad",
    Job.Status.FINISHED: "good",
    Job.Status.FAILED: "bad",
}


def badge(tone: str, text: str) -> SafeString:
    """A few words on a ground of `tone`: "calm", "waiting", "working", "good" or "bad"."""
    return format_html('<span class="badge {}">{}</span>', tone, text)


def link_to(subject: Any) -> SafeString:
    """A thing's name, leading to its page."""
    return format_html('<a href="{}">{}</a>', page_of(subject), subject)
