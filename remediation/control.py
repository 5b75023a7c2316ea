"""Steering a job while it runs: pause, resume, cancel, and how fast it may go.

Stopping has two steps, so that each status tells the truth. "Pausing" is committed at once, and nothing more is leased; "paused" only
once the job's lock was seized, when no chunk is being committed any more and none will be. Whoever asks does both. The supervisor
does the second for askers who died in between (`complete_stops`). Neither step needs a living worker.
"""

from dataclasses import dataclass
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import transaction

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.conclusion import end_plan
from remediation.doorbell import ring_after_commit
from remediation.events import (
    JOB_CANCELLED,
    JOB_CANCELLING,
    JOB_PAUSED,
    JOB_PAUSING,
    JOB_RESUMED,
    JOB_TUNED,
    JobControlled,
    JobTuned,
)
from remediation.lease import DatabaseClock
from remediation.locks import JobDoesNotStop, seize_job_firmly
from remediation.models import Job

logger = structlog.get_logger(__name__)

S = Job.Status
PERMISSION = "remediation.control_job"


class JobEnded(Refused):
    """The job has ended: there is nothing to steer."""


class NotPaused(Refused):
    """Only a job that stands still can go on."""


class ReasonMissing(Refused):
    """What stops other people's work for good needs a reason."""


class LimitImpossible(Refused):
    """A limit is not a whole number between its smallest and its largest."""


@dataclass(frozen=True)
class _Keep:
    """Leave a limit as it is: None means that there is none."""


KEEP = _Keep()
LIMITS = {
    "workers": range(1, 2**15),
    "chunk_rows": range(1, 2**31),
    "pause_milliseconds": range(2**31),
    "rows_per_second": range(1, 2**31),
}
"""What can be tuned, and what values of each can be stored."""


def pause_job(job: Job, *, acting_user: User, reason: str = "") -> Job:
    """Stand the job still: once this returns, no chunk of it commits until it is resumed. Asked twice it is the same pause.

    Raises `NotPermitted`, `JobEnded`, or `remediation.locks.JobDoesNotStop`: then the job is pausing, and the supervisor goes on trying.
    """
    demand(acting_user, PERMISSION)
    with transaction.atomic():
        job = _locked(job)
        _insist_not_ended(job)
        if job.status == S.RUNNING:
            job.status, job.pause_reason = S.PAUSING, reason or f"Paused by {acting_user}."
            job.save(update_fields=["status", "pause_reason"])
            record(JOB_PAUSING, job, _controlled(job), actor=acting_user, reason=reason)
    return complete_stop(job)


def cancel_job(job: Job, *, acting_user: User, reason: str) -> Job:
    """End the job for good: once this returns, no chunk of it commits. What it did stands, and can be reverted.

    Raises `NotPermitted`, `ReasonMissing`, `JobEnded`, or `remediation.locks.JobDoesNotStop` as `pause_job` does.
    """
    demand(acting_user, PERMISSION)
    if not reason.strip():
        raise ReasonMissing("Say why the job is cancelled: whoever started it will ask.")
    with transaction.atomic():
        job = _locked(job)
        if job.status == S.CANCELLED:
            return job
        _insist_not_ended(job)
        if job.status != S.CANCELLING:
            job.status, job.failure = S.CANCELLING, f"Cancelled by {acting_user}: {reason}"
            job.save(update_fields=["status", "failure"])
            record(JOB_CANCELLING, job, _controlled(job), actor=acting_user, reason=reason)
    return complete_stop(job)


def resume_job(job: Job, *, acting_user: User, reason: str = "") -> Job:
    """Let a paused job go on. One that a gate holds goes on past that gate: then a reason is asked for.

    Raises `NotPermitted`, `JobEnded`, `NotPaused`, `ReasonMissing`. Asked for a job that runs, it is that job.
    """
    demand(acting_user, PERMISSION)
    with transaction.atomic():
        job = _locked(job)
        _insist_not_ended(job)
        if job.status == S.RUNNING:
            return job
        if job.status != S.PAUSED:
            raise NotPaused(f"{job} is {job.get_status_display()}. Wait until it stands still.")
        event = _controlled(job)
        if job.held_at_stage is not None:
            if not reason.strip():
                raise ReasonMissing(
                    f"A gate holds the job: {job.pause_reason} Say why it may go on in spite of that."
                )
            job.stage, job.held_at_stage = job.held_at_stage + 1, None
        job.status, job.pause_reason = S.RUNNING, ""
        job.save(update_fields=["status", "pause_reason", "stage", "held_at_stage"])
        record(JOB_RESUMED, job, event, actor=acting_user, reason=reason)
        ring_after_commit(job)
    return job


def tune_job(
    job: Job,
    *,
    acting_user: User,
    workers: int | _Keep | None = KEEP,
    chunk_rows: int | _Keep | None = KEEP,
    pause_milliseconds: int | _Keep | None = KEEP,
    rows_per_second: int | _Keep | None = KEEP,
    reason: str = "",
) -> Job:
    """Change what the job may use, from its next chunks on; None takes a limit away.

    `workers` are chunks in hand at a time, `chunk_rows` rows moved in one transaction, `pause_milliseconds` a worker's rest after each
    chunk, `rows_per_second` the rate of all workers together. Raises `NotPermitted`, `JobEnded`, `LimitImpossible`.
    """
    demand(acting_user, PERMISSION)
    asked: dict[str, Any] = {
        "workers": workers,
        "chunk_rows": chunk_rows,
        "pause_milliseconds": pause_milliseconds,
        "rows_per_second": rows_per_second,
    }
    changes: dict[str, int | None] = {name: value for name, value in asked.items() if value is not KEEP}
    for name, value in changes.items():
        if value is not None and (type(value) is not int or value not in LIMITS[name]):
            least, most = LIMITS[name][0], LIMITS[name][-1]
            raise LimitImpossible(
                f"{name} is {value!r}: give a whole number from {least} to {most}, or none."
            )
    with transaction.atomic():
        job = _locked(job)
        _insist_not_ended(job)
        before = {name: getattr(job, name) for name in changes}
        if before == changes:
            return job
        for name, value in changes.items():
            setattr(job, name, value)
        if "rows_per_second" in changes:
            job.not_before = None
        job.save(update_fields=[*changes, "not_before"])
        record(JOB_TUNED, job, JobTuned(before=before, after=changes), actor=acting_user, reason=reason)
        ring_after_commit(job)
    return job


def complete_stop(job: Job) -> Job:
    """Second half of a pause or cancel: seize the job's lock, then say that it stands still. Safe to repeat.

    Raises `remediation.locks.JobDoesNotStop`.
    """
    with transaction.atomic():
        seize_job_firmly(job.pk)
        job = _locked(job)
        if job.status == S.PAUSING:
            job.status = S.PAUSED
            job.save(update_fields=["status"])
            record(JOB_PAUSED, job, _controlled(job), actor=None, reason=job.pause_reason)
        elif job.status == S.CANCELLING:
            job.status, job.finished_at = S.CANCELLED, DatabaseClock()
            job.save(update_fields=["status", "finished_at"])
            record(JOB_CANCELLED, job, _controlled(job), actor=None, reason=job.failure)
            end_plan(job, job.failure)
    job.refresh_from_db()
    return job


def complete_stops() -> int:
    """Complete what askers began who are gone. How many jobs stand still now; for the supervisor, again and again.

    One that does not stop is left for the next time, and holds up no other.
    """
    stopped = 0
    for job in Job.objects.filter(status__in=(S.PAUSING, S.CANCELLING)).order_by("pk"):
        try:
            stopped += complete_stop(job).status in (S.PAUSED, S.CANCELLED)
        except JobDoesNotStop as error:
            logger.error("job.does_not_stop", job=job.pk, why=str(error))
    return stopped


def _locked(job: Job) -> Job:
    return Job.objects.select_for_update(of=("self",)).select_related("plan").get(pk=job.pk)


def _insist_not_ended(job: Job) -> None:
    if job.ended:
        raise JobEnded(f"{job} is {job.get_status_display()}: nothing of it is left to steer.")


def _controlled(job: Job) -> JobControlled:
    return JobControlled(plan=job.plan_id, held_at_stage=job.held_at_stage)
