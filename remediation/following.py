"""Waiting for a job that workers do, or lending them this process; never waiting in silence for somebody who is not there."""

import os
import socket
import time
from collections.abc import Callable

from audit.errors import Refused
from remediation.doorbell import ring, workers_alive
from remediation.lease import recover_expired_leases
from remediation.models import Job
from remediation.progress import JobProgress, progress_of
from remediation.runner import work
from remediation.stops import why_it_stands

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 5.0
"""How long a job may stand still before it is rung for again and asked whether anybody is there."""


class NobodyWorks(Refused):
    """A job waits, and there is no worker to do it."""


class JobFailed(Refused):
    """A job was given up; its text says why. What it had done before stands."""


class JobStopped(Refused):
    """Somebody, or a gate, paused or cancelled a job that was followed. What it had done before stands."""


def follow(job: Job, *, work_here: bool, seen: Callable[[JobProgress], None]) -> Job:
    """The job, once it has finished. `seen` is told how far it is, now and then.

    With `work_here` this process does chunks like a worker, beside whoever else does. Raises `NobodyWorks` where no worker is alive, or
    none any more, `JobStopped` once the job is paused or cancelled, and `JobFailed`. Giving up on waiting does not touch the job:
    following it again goes on.
    """
    worker = f"{socket.gethostname()}:{os.getpid()}:command"
    moved_at, last = time.monotonic(), None
    asked = False
    while True:
        progress = progress_of(job)
        seen(progress)
        if progress.ended:
            job.refresh_from_db()
            if job.status == Job.Status.FAILED:
                raise JobFailed(f"{job} failed: {job.failure}")
            if job.status == Job.Status.CANCELLED:
                raise JobStopped(_stopped(job))
            return job
        if progress.status != Job.Status.RUNNING:
            job.refresh_from_db()
            # Read anew: it may have been let go on since.
            if why := _stopped(job):
                raise JobStopped(why)
            continue
        if work_here and work(job.pk, worker=worker, heed=_once()):
            continue
        if (progress.chunks_done, progress.chunks_leased) != last:
            moved_at, last = time.monotonic(), (progress.chunks_done, progress.chunks_leased)
        still = time.monotonic() - moved_at
        if still > PATIENCE_SECONDS or (still > 3 * POLL_SECONDS and not (asked or work_here)):
            _look_after(job, progress, work_here=work_here)
            asked, moved_at = True, time.monotonic()
        time.sleep(POLL_SECONDS)


def _stopped(job: Job) -> str:
    """Who or what stopped the job, and what to do about it; "" where it is not stopped."""
    why = why_it_stands(job)
    if not why:
        return ""
    if job.status in (Job.Status.CANCELLING, Job.Status.CANCELLED):
        return f"{why} What it did stands; “manage.py show {job.case_id}” tells what can be done now."
    reason = " --reason …" if job.held_at_stage is not None else ""
    return (
        f"{why} Once that is dealt with, “manage.py job resume {job.pk} --as …{reason}” lets it go on, and the command that you gave "
        f"follows it again; “manage.py job cancel {job.pk} --as … --reason …” ends it."
    )


def _once() -> Callable[[], bool]:
    """Yes to the first question, no to every later one: one chunk, and then a look at how far the job is."""
    answers = iter([True])
    return lambda: next(answers, False)


def _look_after(job: Job, progress: JobProgress, *, work_here: bool) -> None:
    """What can be done for a job that stands still: take back what dead workers hold, ring, and see whether anybody is there."""
    recover_expired_leases()
    if work_here:
        return
    if not workers_alive():
        raise NobodyWorks(
            f"{job} waits for workers ({progress.chunks_done} of {progress.chunks} chunks done), and none is alive. "
            "Start them with “manage.py supervise”, or ask again with --work to do it in the command's own process."
        )
    ring(job.pk)
