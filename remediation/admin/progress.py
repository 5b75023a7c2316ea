"""What pages show of jobs at work, beside `remediation.progress`: who works on them, and what an apply has moved."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from remediation.models import Job
from remediation.progress import JobProgress, progress_of_jobs

SILENCE = timedelta(seconds=15)
"""A running job that nobody works on for so long is probably waiting for a worker that is not there."""


@dataclass(frozen=True)
class JobAtWork:
    """A job, how far it is, and who works on it. `silent_for` is the time since anybody last took or finished a chunk of it."""

    job: Job
    progress: JobProgress
    refused: int
    workers: tuple[str, ...]
    silent_for: timedelta

    @property
    def waiting(self) -> int:
        """Chunks that no worker holds, has done or gave up."""
        return self.progress.chunks - self.progress.chunks_done - self.progress.chunks_leased - self.refused

    @property
    def percent(self) -> int:
        """The part of its chunks, or of an apply's rows, that is done, of 100; rounded down, so that 100 means all."""
        return percent_of(self.progress, self.job)

    @property
    def time_taken(self) -> timedelta:
        """From the first lease to now, or to the end."""
        return timedelta(seconds=round(self.progress.seconds))

    @property
    def time_left(self) -> timedelta | None:
        """At the rate so far; None where it has ended or nobody can say yet."""
        left = self.progress.seconds_left
        return None if left is None or self.progress.ended else timedelta(seconds=round(left))

    @property
    def rate(self) -> int | None:
        """Rows a second."""
        return None if self.progress.rate is None else round(self.progress.rate)

    @property
    def nobody_works(self) -> bool:
        """Whether chunks wait and no worker has been at it for a while."""
        return not self.progress.ended and not self.workers and self.waiting > 0 and self.silent_for > SILENCE


def percent_of(progress: JobProgress, job: Job) -> int:
    """How much of a job is done, of 100."""
    if job.kind == Job.Kind.APPLY:
        done, whole = progress.rows, progress.rows_total or 0
    else:
        done, whole = progress.chunks_done, progress.chunks
    if whole == 0:
        return 100 if progress.ended else 0
    return 100 * done // whole


def jobs_at_work(jobs: Iterable[Job]) -> list[JobAtWork]:
    """How `jobs` are getting on, in their order; two queries for all."""
    by_id = {job.pk: job for job in jobs}
    progress = progress_of_jobs(by_id)
    with connection.cursor() as cursor:
        cursor.execute(_WORKERS, [list(by_id)])
        work = {
            job_id: (refused, tuple(workers or ()), silent)
            for job_id, refused, workers, silent in cursor.fetchall()
        }
    return [JobAtWork(job, progress[pk], *work[pk]) for pk, job in by_id.items()]


_WORKERS = """
    SELECT job.id, count(*) FILTER (WHERE chunk.status = 'refused'),
           array_agg(DISTINCT chunk.worker) FILTER (WHERE chunk.status = 'leased'),
           clock_timestamp() - greatest(job.requested_at, max(chunk.leased_at), max(chunk.finished_at))
    FROM remediation_job job
    LEFT JOIN remediation_jobchunk chunk ON chunk.job_id = job.id
    WHERE job.id = ANY(%s)
    GROUP BY job.id
"""


@dataclass(frozen=True)
class Applied:
    """What a job's finished chunks moved: rows, conflicts, and {"USD:2": change of the totals in smallest units}."""

    applied: int
    conflicts: int
    money: dict[str, int]


def applied_by(job: Job) -> Applied:
    """What an apply has done so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum((result ->> 'applied')::bigint), 0)::bigint,"
            " coalesce(sum((result ->> 'conflicts')::bigint), 0)::bigint"
            " FROM remediation_jobchunk WHERE job_id = %s AND status = 'done'",
            [job.pk],
        )
        applied, conflicts = cursor.fetchone()
        cursor.execute(
            "SELECT sums.key, sum((sums.value #>> '{}')::numeric) FROM remediation_jobchunk chunk,"
            " jsonb_each(chunk.result -> 'money') AS sums WHERE chunk.job_id = %s AND chunk.status = 'done'"
            " GROUP BY sums.key ORDER BY sums.key",
            [job.pk],
        )
        return Applied(applied, conflicts, {key: int(amount) for key, amount in cursor.fetchall()})
