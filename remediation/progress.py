"""How far jobs are and what they moved, as sums over their chunks: nothing of it is stored."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from remediation.models import Job

STUCK_SECONDS = 30.0
"""A running job of which no chunk is in hand and nothing was finished for so long is stuck; its rests come on top."""

_MOMENT_SECONDS = 3.0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is at one moment.

    `rows` were done by finished chunks; `rows_total` is exact for an apply and, while others run, estimated from the chunks that are done
    (None before the first). `seconds` run from the first lease to now or to the end, by the database's clock, without the `paused_seconds`
    between a stop, by a person or a gate, and being let go on. `failure` is why a failed
    job failed; `trouble` what went wrong at the last attempt of a chunk that is being tried again. `chunks_in_hand` are leased ones whose
    lease has not run out. `stages` are the rows moved by the end of each, `stage` counts from 0. `idle_seconds` is the time since anybody
    took or finished a chunk or let the job go on, less the rests that it was asked to make.
    """

    job_id: int
    status: str
    failure: str
    chunks: int
    chunks_done: int
    chunks_leased: int
    chunks_in_hand: int
    chunks_refused: int
    quarantined: int
    rows: int
    rows_total: int | None
    seconds: float
    paused_seconds: float
    idle_seconds: float
    trouble: str
    stages: tuple[int, ...]
    stage: int

    @property
    def ended(self) -> bool:
        """Whether nothing more of the job will happen. A job that is paused has not ended."""
        return self.status in Job.ENDED

    @property
    def stuck(self) -> bool:
        """Whether the job runs and yet nobody is at it: something outside of it has to be looked at."""
        return self._nobody_at_it_for(STUCK_SECONDS)

    @property
    def waits_for_worker(self) -> bool:
        """Whether the job runs and nobody has been at it for a moment, as after a worker was lost; `stuck` where that goes on."""
        return self._nobody_at_it_for(_MOMENT_SECONDS)

    def _nobody_at_it_for(self, seconds: float) -> bool:
        return self.status == Job.Status.RUNNING and not self.chunks_in_hand and self.idle_seconds > seconds

    @property
    def rows_by_end_of_stage(self) -> int | None:
        """Rows moved by the end of the stage that is worked on; None where the job goes in one."""
        return self.stages[self.stage] if len(self.stages) > 1 else None

    @property
    def rate(self) -> float | None:
        """Rows a second since the first chunk was leased, pauses left out; None before any is done."""
        return self.rows / self.seconds if self.rows and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at that rate; None where nobody can say: not yet, or not before the job is let go on."""
        if self.ended:
            return 0.0
        if self.status != Job.Status.RUNNING or self.rate is None or self.rows_total is None:
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
    in_hand: int,
    refused: int,
    quarantined: int,
    rows: int,
    apply_rows: int,
    seconds: float,
    paused_seconds: float,
    idle_seconds: float,
    trouble: str,
    stages: str,
    stage: int,
) -> JobProgress:
    total: int | None
    if kind == Job.Kind.APPLY:
        total = apply_rows
    elif done:
        total = rows * chunks // done
    else:
        total = None if chunks else 0
    return JobProgress(
        job_id=job_id,
        status=status,
        failure=failure,
        chunks=chunks,
        chunks_done=done,
        chunks_leased=leased,
        chunks_in_hand=in_hand,
        chunks_refused=refused,
        quarantined=quarantined,
        rows=rows,
        rows_total=total,
        seconds=max(seconds - paused_seconds, 0.0),
        paused_seconds=paused_seconds,
        idle_seconds=idle_seconds,
        trouble=trouble,
        stages=tuple(json.loads(stages)),
        stage=stage,
    )


ROWS_OF_CHUNK = """CASE
        WHEN job.kind = 'preview' THEN plan_chunk.scanned
        WHEN job.kind = 'apply' THEN chunk.leaf_count
        WHEN chunk.plan_chunk_id IS NOT NULL THEN (chunk.result -> 'previewed' ->> 'rows')::bigint
        ELSE (SELECT sum((class.found ->> 'rows')::bigint) FROM jsonb_each(chunk.result -> 'classes') AS class (name, found))
    END"""
"""The rows that a chunk which is done looked at or moved, where `job`, `chunk` and `plan_chunk` are joined."""

_PROGRESS = f"""
    SELECT job.id, job.kind, job.status, job.failure,
           count(chunk.id),
           count(*) FILTER (WHERE chunk.status = 'done'),
           count(*) FILTER (WHERE chunk.status = 'leased'),
           count(*) FILTER (WHERE chunk.status = 'leased' AND chunk.lease_until > clock_timestamp()),
           count(*) FILTER (WHERE chunk.status = 'refused'),
           count(*) FILTER (WHERE chunk.status = 'quarantined'),
           coalesce(sum({ROWS_OF_CHUNK}) FILTER (WHERE chunk.status = 'done'), 0)::bigint,
           coalesce(sum(chunk.leaf_count), 0)::bigint,
           coalesce(extract(epoch FROM
               CASE WHEN job.status = 'running' THEN clock_timestamp() ELSE coalesce(max(chunk.finished_at), job.finished_at) END
               - min(chunk.leased_at)), 0)::float,
           coalesce((
               SELECT sum(extract(epoch FROM greatest(told.occurred_at - greatest(told.stopped_at, min(chunk.leased_at)), interval '0')))
               FROM (SELECT event, occurred_at, lag(occurred_at) OVER (ORDER BY occurred_at, id) AS stopped_at,
                            lag(event) OVER (ORDER BY occurred_at, id) AS event_before
                     FROM audit_auditentry WHERE subject_type = 'remediation.job' AND subject_id = job.id
                     AND event IN ('job.pausing', 'job.gate_failed', 'job.resumed')) AS told
               WHERE told.event = 'job.resumed' AND told.event_before <> 'job.resumed'), 0)::float,
           greatest(extract(epoch FROM clock_timestamp() - greatest(
               job.requested_at, max(chunk.leased_at), job.not_before,
               max(chunk.finished_at) + coalesce(job.pause_milliseconds, 0) * interval '1 millisecond',
               (SELECT max(entry.occurred_at) FROM audit_auditentry entry WHERE entry.subject_type = 'remediation.job'
                AND entry.subject_id = job.id AND entry.event = 'job.resumed'))), 0)::float,
           coalesce((array_agg(chunk.failure ORDER BY chunk.position)
               FILTER (WHERE chunk.failure <> '' AND chunk.status IN ('waiting', 'leased')))[1], ''),
           job.stages::text, job.stage
    FROM remediation_job job
    LEFT JOIN remediation_jobchunk chunk ON chunk.job_id = job.id
    LEFT JOIN remediation_planchunk plan_chunk ON plan_chunk.id = chunk.plan_chunk_id
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
