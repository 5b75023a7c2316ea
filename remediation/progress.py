"""How far jobs are, as sums over their chunks: nothing of it is stored."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from remediation.models import Job


@dataclass(frozen=True)
class JobProgress:
    """How far a job is at one moment.

    `rows` were done by finished chunks; `rows_total` is exact for an apply and, while others run, estimated from the chunks that are done
    (None before the first). `seconds` run from the first lease to now or to the end, by the database's clock. `failure` is why a failed
    job failed; `trouble` what went wrong at the last attempt of a chunk that is being tried again.
    """

    job_id: int
    status: str
    failure: str
    chunks: int
    chunks_done: int
    chunks_leased: int
    rows: int
    rows_total: int | None
    seconds: float
    trouble: str

    @property
    def ended(self) -> bool:
        """Whether nothing more of the job will happen."""
        return self.status != Job.Status.RUNNING

    @property
    def rate(self) -> float | None:
        """Rows a second since the first chunk was leased; None before any is done."""
        return self.rows / self.seconds if self.rows and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at that rate; None where nobody can say yet."""
        if self.ended:
            return 0.0
        if self.rate is None or self.rows_total is None:
            return None
        return max(self.rows_total - self.rows, 0) / self.rate


def progress_of(job: Job) -> JobProgress:
    """How far `job` is, read anew. Raises `Job.DoesNotExist`."""
    try:
        return progress_of_jobs([job.pk])[job.pk]
    except KeyError:
        raise Job.DoesNotExist(f"There is no job {job.pk}.") from None


def progress_of_jobs(job_ids: Iterable[int]) -> dict[int, JobProgress]:
    """How far each of those jobs is, by its id, in one query. Ids that are no job's are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_PROGRESS, [list(job_ids)])
        return {row[0]: _progress(*row) for row in cursor.fetchall()}


def _progress(
    job_id: int,
    kind: str,
    status: str,
    failure: str,
    chunks: int,
    done: int,
    leased: int,
    rows: int,
    apply_rows: int,
    seconds: float,
    trouble: str,
) -> JobProgress:
    total: int | None
    if kind == Job.Kind.APPLY:
        total = apply_rows
    elif done:
        total = rows * chunks // done
    else:
        total = None if chunks else 0
    return JobProgress(job_id, status, failure, chunks, done, leased, rows, total, seconds, trouble)


_PROGRESS = """
    SELECT job.id, job.kind, job.status, job.failure,
           count(chunk.id),
           count(*) FILTER (WHERE chunk.status = 'done'),
           count(*) FILTER (WHERE chunk.status = 'leased'),
           coalesce(sum(CASE
               WHEN job.kind = 'preview' THEN plan_chunk.scanned
               WHEN job.kind = 'apply' THEN chunk.leaf_count
               WHEN chunk.plan_chunk_id IS NOT NULL THEN (chunk.result -> 'previewed' ->> 'rows')::bigint
               ELSE (SELECT sum((class.found ->> 'rows')::bigint)
                     FROM jsonb_each(chunk.result -> 'classes') AS class (name, found))
           END) FILTER (WHERE chunk.status = 'done'), 0)::bigint,
           coalesce(sum(chunk.leaf_count), 0)::bigint,
           coalesce(extract(epoch FROM
               CASE WHEN job.status = 'running' THEN clock_timestamp() ELSE coalesce(max(chunk.finished_at), job.finished_at) END
               - min(chunk.leased_at)), 0)::float,
           coalesce((array_agg(chunk.failure ORDER BY chunk.position)
               FILTER (WHERE chunk.failure <> '' AND chunk.status IN ('waiting', 'leased')))[1], '')
    FROM remediation_job job
    LEFT JOIN remediation_jobchunk chunk ON chunk.job_id = job.id
    LEFT JOIN remediation_planchunk plan_chunk ON plan_chunk.id = chunk.plan_chunk_id
    WHERE job.id = ANY(%s)
    GROUP BY job.id
"""
