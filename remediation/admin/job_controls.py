"""The buttons of a job's page: pause, let go on, cancel, tune. Each asks one function of `remediation.control`."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from remediation.admin.actions import ChangedMeanwhile, tell_meanwhile
from remediation.control import LIMITS, LimitImpossible, cancel_job, pause_job, resume_job, tune_job
from remediation.models import Job
from remediation.stops import stop_of, why_it_stands

_LABELS = {
    "workers": gettext_lazy("Chunks in hand at a time"),
    "chunk_rows": gettext_lazy("Rows moved at once"),
    "pause_milliseconds": gettext_lazy("A worker's rest after each chunk, in milliseconds"),
    "rows_per_second": gettext_lazy("Rows a second, all workers together"),
}


@dataclass(frozen=True)
class Limit:
    """One of the limits of `remediation.control.LIMITS` as the page shows it; `value` None where there is none."""

    name: str
    label: str
    smallest: int
    largest: int
    value: int | None


def limits_of(job: Job) -> list[Limit]:
    """All limits, those too that are not set."""
    return [
        Limit(name, str(_LABELS[name]), possible[0], possible[-1], getattr(job, name))
        for name, possible in LIMITS.items()
    ]


def controls(request: HttpRequest, job: Job) -> dict[str, Any]:
    """What the page has to know to show the buttons that make sense for `job` and that the reader may press.

    `shown_state` changes where the buttons do, so that a page that is open already can be given others.
    """
    stop = stop_of(job)
    limits = limits_of(job)
    return {
        "stop": stop,
        "limits": limits,
        "any_limit": any(limit.value is not None for limit in limits),
        "shown_state": f"{job.status}-{stop.entry if stop else 0}",
        "may_control": request.user.has_perm("remediation.control_job") and not job.ended,
        "can_cancel": job.status != Job.Status.CANCELLING,
        "can_tune": job.status in (Job.Status.RUNNING, Job.Status.PAUSING, Job.Status.PAUSED),
    }


def press_pause(request: HttpRequest, job: Job, acting_user: User) -> Job:
    """Stand the job still."""
    ran = job.status == Job.Status.RUNNING
    job = pause_job(job, acting_user=acting_user, reason=_reason(request))
    if ran:
        messages.success(
            request,
            _("%(job)s is paused: nothing of it commits until somebody lets it go on.") % {"job": job},
        )
    else:
        messages.info(request, why_it_stands(job))
        tell_meanwhile(request, [job])
    return job


def press_resume(request: HttpRequest, job: Job, acting_user: User) -> Job:
    """Let the job go on, if what stops it is still what the page showed. Raises `ChangedMeanwhile`."""
    stop = stop_of(job)
    if stop is not None and request.POST.get("stop", "") != str(stop.entry):
        raise ChangedMeanwhile(
            _("Something else stops the job than your page showed; it was not let go on. %(why)s")
            % {"why": why_it_stands(job)}
        )
    ran = job.status == Job.Status.RUNNING
    job = resume_job(job, acting_user=acting_user, reason=_reason(request))
    if ran:
        messages.info(request, _("%(job)s runs already.") % {"job": job})
        tell_meanwhile(request, [job])
    else:
        messages.success(request, _("%(job)s goes on.") % {"job": job})
    return job


def press_cancel(request: HttpRequest, job: Job, acting_user: User) -> Job:
    """End the job for good."""
    was_cancelled = job.status == Job.Status.CANCELLED
    job = cancel_job(job, acting_user=acting_user, reason=_reason(request))
    if was_cancelled:
        messages.info(request, why_it_stands(job))
    else:
        messages.success(
            request,
            _("%(job)s is cancelled. What it did stands; nothing more of it will happen.") % {"job": job},
        )
    return job


def press_tune(request: HttpRequest, job: Job, acting_user: User) -> Job:
    """Change the limits that the reader changed: one that somebody else changed meanwhile stays as they left it."""
    changes = {
        name: _whole_number(name, given)
        for name in LIMITS
        if (given := request.POST.get(name, "").strip()) != request.POST.get(f"was_{name}", "").strip()
    }
    if not changes:
        messages.info(request, _("No limit was changed."))
        return job
    job = tune_job(job, acting_user=acting_user, reason=_reason(request), **changes)
    told = ", ".join(
        _("%(limit)s: no limit") % {"limit": str(_LABELS[name]).lower()}
        if value is None
        else _("%(limit)s: %(value)s") % {"limit": str(_LABELS[name]).lower(), "value": f"{value:,}"}
        for name, value in changes.items()
    )
    messages.success(
        request, _("From its next chunks on, %(job)s has %(told)s.") % {"job": job, "told": told}
    )
    return job


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()


def _whole_number(name: str, given: str) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 11):
        raise LimitImpossible(
            _("%(limit)s: “%(given)s” is no whole number. Leave it empty for no limit.")
            % {"limit": _LABELS[name], "given": given[:40]}
        )
    return int(given)
