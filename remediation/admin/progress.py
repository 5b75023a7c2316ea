"""What pages show of jobs at work, beside `remediation.progress`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils.translation import gettext as _

from audit.templatetags.reading import duration
from remediation.admin.badge import JOB_TONES
from remediation.models import Job
from remediation.progress import JobProgress, progress_of_jobs
from transactions.templatetags.money import count


@dataclass(frozen=True)
class StageAtWork:
    """A stage of an apply: `through` rows are moved by its end.

    `state` is "done", "current", "held" (by its gate), "standing" (still, by a person) or "coming".
    """

    number: int
    through: int
    last: bool
    state: str


@dataclass(frozen=True)
class JobAtWork:
    """A job and how far it is."""

    job: Job
    progress: JobProgress

    @property
    def waiting(self) -> int:
        """Chunks that no worker holds, has done or gave up."""
        progress = self.progress
        at_rest = progress.chunks_done + progress.chunks_refused + progress.quarantined
        return progress.chunks - at_rest - progress.chunks_leased

    @property
    def tone(self) -> str:
        """How its status looks."""
        return JOB_TONES[Job.Status(self.job.status)]

    @property
    def idle_for(self) -> timedelta:
        """How long nobody has been at it, the rests that it was asked to make left out."""
        return timedelta(seconds=round(self.progress.idle_seconds))

    @property
    def stage_number(self) -> int:
        """The stage that is worked on, counted from 1."""
        return self.progress.stage + 1

    @property
    def stages(self) -> list[StageAtWork]:
        """The stages that it goes in; none where it goes in one."""
        rows = self.progress.stages
        return [
            StageAtWork(n + 1, rows[n], n + 1 == len(rows), self._state_of(n))
            for n in range(len(rows) if len(rows) > 1 else 0)
        ]

    def _state_of(self, stage: int) -> str:
        if stage < self.progress.stage or self.job.status == Job.Status.FINISHED:
            return "done"
        if stage > self.progress.stage:
            return "coming"
        if self.job.status == Job.Status.RUNNING:
            return "current"
        return "coming" if self.progress.ended else "held" if self.job.held_at_stage == stage else "standing"

    @property
    def time_paused(self) -> timedelta:
        """How long it stood still between stops and being let go on."""
        return timedelta(seconds=round(self.progress.paused_seconds))

    @property
    def percent(self) -> int:
        """The part of its chunks, or of an apply's rows, that is done, of 100; rounded down, so that 100 means all."""
        return percent_of(self.progress, self.job)

    @property
    def time_taken(self) -> timedelta:
        """From the first lease to now, or to the end, pauses left out."""
        return timedelta(seconds=round(self.progress.seconds))

    @property
    def time_left(self) -> timedelta | None:
        """At the rate so far; None where it has ended or nobody can say yet."""
        left = self.progress.seconds_left
        return None if left is None or self.progress.ended else timedelta(seconds=round(left))

    @property
    def in_words(self) -> str:
        """How far it is: "40 %, 4,000 rows, 200 a second, 30 s left."."""
        told = {
            "percent": self.percent,
            "rows": count(self.progress.rows),
            "rate": count(self.rate),
            "left": "" if self.time_left is None else duration(self.time_left),
        }
        if self.rate is None:
            return _("%(percent)s %%, %(rows)s rows.") % told
        if self.time_left is None:
            return _("%(percent)s %%, %(rows)s rows, %(rate)s a second.") % told
        return _("%(percent)s %%, %(rows)s rows, %(rate)s a second, %(left)s left.") % told

    @property
    def rate(self) -> int | None:
        """Rows a second."""
        return None if self.progress.rate is None else round(self.progress.rate)


def percent_of(progress: JobProgress, job: Job) -> int:
    """How much of a job is done, of 100."""
    if job.kind == Job.Kind.APPLY:
        # A quarantined chunk is one row, which is dealt with as far as the job goes.
        done, whole = progress.rows + progress.quarantined, progress.rows_total or 0
    else:
        done, whole = progress.chunks_done, progress.chunks
    if whole == 0:
        return 100 if progress.ended else 0
    return 100 * done // whole


def jobs_at_work(jobs: Iterable[Job]) -> list[JobAtWork]:
    """How `jobs` are getting on, in their order; one query for all."""
    by_id = {job.pk: job for job in jobs}
    progress = progress_of_jobs(by_id)
    return [JobAtWork(job, progress[pk]) for pk, job in by_id.items()]
