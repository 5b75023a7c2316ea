"""Who or what stopped a job, when and why, told from the trail."""

from dataclasses import dataclass
from datetime import datetime

from audit.models import AuditEntry
from remediation.events import GATE_FAILED, JOB_CANCELLING, JOB_PAUSING
from remediation.models import Job

S = Job.Status
_WORDS = {
    S.PAUSING: "is pausing",
    S.PAUSED: "is paused",
    S.CANCELLING: "is being cancelled",
    S.CANCELLED: "was cancelled",
}


@dataclass(frozen=True)
class Stop:
    """A stop of a job. `by` is a person's name, "" where one of its own gates did it; then `gates` are their names.

    `entry` is the trail's entry that tells of it, by which one stop is known from the next.
    """

    entry: int
    by: str
    at: datetime
    reason: str
    gates: tuple[str, ...]


def stop_of(job: Job) -> Stop | None:
    """The stop that the job is at, told from the trail; None where it was not stopped, and in one query where it was."""
    if job.status not in _WORDS:
        return None
    cancelled = job.status in (S.CANCELLING, S.CANCELLED)
    events = [JOB_CANCELLING] if cancelled else [JOB_PAUSING, GATE_FAILED]
    entry = (
        AuditEntry.objects.filter(
            subject_type=job._meta.label_lower, subject_id=job.pk, event__in=[event.name for event in events]
        )
        .order_by("-id")
        .first()
    )
    if entry is None:
        return None
    gates = tuple(entry.data.get("gates", {}))
    return Stop(entry.pk, "" if gates else entry.actor_label, entry.occurred_at, entry.reason, gates)


def why_it_stands(job: Job) -> str:
    """Who stopped the job and why, in sentences; "" where nobody did."""
    if job.status not in _WORDS:
        return ""
    stop = stop_of(job)
    if stop is None:
        return f"{job} {_WORDS[S(job.status)]}. {job.failure or job.pause_reason}".strip()
    if stop.gates:
        return f"{job} {_WORDS[S(job.status)]}: a gate holds it. {job.pause_reason}"
    why = f": {stop.reason}" if stop.reason else "; no reason was given"
    said = f"{job} {_WORDS[S(job.status)]}, by {stop.by} at {stop.at:%Y-%m-%d %H:%M:%S} UTC{why}"
    return said if said.endswith((".", "!", "?")) else f"{said}."
