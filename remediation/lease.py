"""Leases: a worker holds a chunk by a token, until a time of the database's clock."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, F, Func, Max
from django.db.models.functions import Greatest

from audit.trail import record
from remediation.events import (
    CHUNK_SPLIT,
    LEASE_RECLAIMED,
    ROW_QUARANTINED,
    ChunkSplit,
    LeaseReclaimed,
    RowQuarantined,
)
from remediation.locks import lock_leasing
from remediation.models import Job, JobChunk, Outcome
from remediation.throttle import lag_told, pace_of, tell

MOST_ATTEMPTS = 6
"""Attempts at a chunk that failed, or that cost their worker, before the job is given up."""
_STAGE_LOOKED_AT_SECONDS = 0.01
CRASHES = 3
"""Lost workers after which a chunk is thought to be to blame: it is split, or its calculator locked away (`transactions.isolation`)."""


class DatabaseClock(Func):
    """This very moment by the database's clock: workers' clocks may differ, and a transaction's own time stands still."""

    function = "clock_timestamp"
    output_field = DateTimeField()


class LeaseLost(Exception):
    """The chunk is no longer this worker's: somebody took it back. Whatever was not committed is to be dropped."""


@dataclass(frozen=True)
class Lease:
    """A chunk in one worker's hands."""

    job_id: int
    chunk_id: int
    token: UUID
    attempts: int
    lost: int
    """Attempts before this one whose worker was lost."""


@dataclass(frozen=True)
class Wait:
    """Chunks wait, yet none may be leased for `seconds`; `why` is for people."""

    seconds: float
    why: str


def lease_chunk(job_id: int, *, worker: str) -> Lease | Wait | None:
    """The job's next waiting chunk, now leased for AMENDS_LEASE_SECONDS.

    `Wait` where its rate or a replica asks for a rest, or its next stage is about to begin; None where none waits in its stage, as many
    workers as it may have are at it, or it does not run. An apply's chunk that is larger than the job's pace is split first.
    """
    with transaction.atomic():
        lock_leasing(job_id)
        job = Job.objects.filter(pk=job_id, status=Job.Status.RUNNING).first()
        if job is None or _has_its_workers(job):
            return None
        if rest := _rest(job):
            return rest
        found = _next_chunk(job)
        if found is None:
            return _stage_ends_soon(job)
        chunk_id, rows = found
        pace = pace_of(job)
        tell(job, pace.why)
        if job.kind == Job.Kind.APPLY:
            limits = [pace.rows, job.chunk_rows, job.rows_per_second, rows]
            kept = min(limit for limit in limits if limit is not None)
            if kept < rows:
                split_chunk(chunk_id, kept)
                rows = kept
        if job.rows_per_second:
            _put_off_the_next(job, rows)
        return _take(job_id, chunk_id, worker)


def _has_its_workers(job: Job) -> bool:
    return job.workers is not None and job.chunks.filter(status=JobChunk.Status.LEASED).count() >= job.workers


def _rest(job: Job) -> Wait | None:
    if lag := lag_told():
        tell(job, lag)
        return Wait(1.0, lag)
    if job.not_before is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM %s - clock_timestamp())::float", [job.not_before])
        seconds = cursor.fetchone()[0]
    return Wait(seconds, f"Its rate is {job.rows_per_second} rows a second.") if seconds > 0 else None


def _stage_ends_soon(job: Job) -> Wait | None:
    """A short wait where others hold the last chunks of a stage with another after it: its doorbell would take longer."""
    if (
        job.stage + 1 < len(job.stages)
        and job.chunks.filter(stage=job.stage, status=JobChunk.Status.LEASED).exists()
    ):
        return Wait(_STAGE_LOOKED_AT_SECONDS, "The last chunks of its stage are at work.")
    return None


def _next_chunk(job: Job) -> tuple[int, int] | None:
    """Id and rows of the next waiting chunk of the job's stage; of a chunk that is not an apply's, the rows of a plan's chunk at most."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id, coalesce(leaf_count, %(most)s) FROM remediation_jobchunk
            WHERE job_id = %(job)s AND stage = %(stage)s AND status = 'waiting'
            -- What went wrong once waits until the rest is done: a chunk that is locked out holds up nothing else.
            ORDER BY failure <> '', position LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            {"job": job.pk, "stage": job.stage, "most": settings.AMENDS_PLAN_CHUNK_ROWS},
        )
        found: tuple[int, int] | None = cursor.fetchone()
    return found


def split_chunk(chunk_id: int, kept: int) -> JobChunk:
    """Leave the chunk its first `kept` rows and make a waiting one of the rest, inside the caller's transaction, under the leasing lock."""
    chunk = JobChunk.objects.get(pk=chunk_id)
    assert chunk.first_leaf is not None
    assert chunk.leaf_count is not None
    rest = chunk.leaf_count - kept
    chunk.leaf_count = kept
    chunk.save(update_fields=["leaf_count"])
    return JobChunk.objects.create(
        job_id=chunk.job_id,
        stage=chunk.stage,
        position=JobChunk.objects.filter(job=chunk.job_id).aggregate(last=Max("position"))["last"] + 1,
        plan_chunk_id=chunk.plan_chunk_id,
        first_leaf=chunk.first_leaf + kept,
        leaf_count=rest,
        attempts=chunk.attempts,
        lost=chunk.lost,
        failure=chunk.failure,
    )


def _put_off_the_next(job: Job, rows: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE remediation_job SET not_before = greatest(not_before, clock_timestamp()) + make_interval(secs => %s) WHERE id = %s",
            [rows / (job.rows_per_second or 1), job.pk],
        )


def _take(job_id: int, chunk_id: int, worker: str) -> Lease:
    token = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE remediation_jobchunk
            SET status = 'leased', token = %(token)s, worker = %(worker)s, attempts = attempts + 1,
                leased_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
            WHERE id = %(chunk)s RETURNING attempts, lost
            """,
            {
                "token": token,
                "worker": worker[:200],
                "seconds": settings.AMENDS_LEASE_SECONDS,
                "chunk": chunk_id,
            },
        )
        return Lease(job_id, chunk_id, token, *cursor.fetchone())


def other_jobs_wait(job_id: int) -> bool:
    """Whether another running job has a chunk that nobody has in hand."""
    waiting = JobChunk.objects.filter(status=JobChunk.Status.WAITING, job__status=Job.Status.RUNNING)
    return waiting.exclude(job=job_id).exists()


def renew(lease: Lease) -> None:
    """Hold the chunk for another AMENDS_LEASE_SECONDS from now. Raises `LeaseLost`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE remediation_jobchunk SET lease_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE id = %s AND status = 'leased' AND token = %s",
            [settings.AMENDS_LEASE_SECONDS, lease.chunk_id, lease.token],
        )
        if cursor.rowcount != 1:
            raise LeaseLost(f"The lease of chunk {lease.chunk_id} was taken back.")


def finish(lease: Lease, result: dict[str, object]) -> None:
    """Finish the chunk in the caller's transaction, where the lease is still the caller's. Raises `LeaseLost`."""
    changed = JobChunk.objects.filter(
        pk=lease.chunk_id, status=JobChunk.Status.LEASED, token=lease.token
    ).update(
        status=JobChunk.Status.DONE, lease_until=None, finished_at=DatabaseClock(), failure="", result=result
    )
    if changed != 1:
        raise LeaseLost(f"The lease of chunk {lease.chunk_id} was taken back.")


def give_back(lease: Lease, failure: str, *, counts: bool = True) -> bool:
    """Let the chunk wait for another attempt. False where it was not the caller's any more, or is done.

    An attempt that only met somebody else's lock, or a pause, does not count (`counts`): it says nothing about the chunk.
    """
    return bool(
        JobChunk.objects.filter(pk=lease.chunk_id, status=JobChunk.Status.LEASED, token=lease.token).update(
            status=JobChunk.Status.WAITING,
            token=None,
            lease_until=None,
            failure=failure,
            attempts=F("attempts") if counts else Greatest(F("attempts") - 1, 0),
        )
    )


def refuse(lease: Lease, failure: str) -> bool:
    """Let nobody try the chunk again. False where it was not the caller's any more, or is done."""
    return bool(
        JobChunk.objects.filter(pk=lease.chunk_id, status=JobChunk.Status.LEASED, token=lease.token).update(
            status=JobChunk.Status.REFUSED,
            token=None,
            lease_until=None,
            failure=failure,
            finished_at=DatabaseClock(),
        )
    )


def recover_expired_leases() -> int:
    """Take back every chunk whose lease has run out, for the next worker. Needs no Redis. How many there were.

    A chunk that is being committed is locked by its worker, and passed over. One that moves pointers and cost `CRASHES` workers is split,
    down to the row that is to blame, which is quarantined. Any other that cost `MOST_ATTEMPTS` workers goes to no other one: its job is
    given up when it is next rung for.
    """
    with transaction.atomic():
        expired = list(
            JobChunk.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("job")
            .filter(status=JobChunk.Status.LEASED, lease_until__lt=DatabaseClock())
            .order_by("job_id", "id")  # One order of jobs for all who split chunks of several.
        )
        for chunk in expired:
            _take_back(chunk)
    return len(expired)


def _take_back(chunk: JobChunk) -> None:
    worker = chunk.worker
    chunk.status, chunk.token, chunk.lease_until = JobChunk.Status.WAITING, None, None
    chunk.failure = f"Worker {worker} was lost."
    chunk.lost += 1
    moves = chunk.leaf_count is not None
    if not moves and chunk.lost >= MOST_ATTEMPTS:
        chunk.status = JobChunk.Status.REFUSED
        chunk.failure = f"Given up after {chunk.attempts} attempts. At the last one worker {worker} was lost."
    chunk.save(update_fields=["status", "token", "lease_until", "failure", "lost"])
    record(
        LEASE_RECLAIMED,
        chunk,
        LeaseReclaimed(job=chunk.job_id, worker=worker, attempts=chunk.attempts),
        actor=None,
    )
    if moves and chunk.lost >= CRASHES and not chunk.job.ended:
        isolate(chunk)


def isolate(chunk: JobChunk) -> None:
    """Halve a chunk that cost too many workers, or quarantine the one row that it has, inside the caller's transaction."""
    assert chunk.leaf_count is not None
    if chunk.leaf_count == 1:
        _quarantine(chunk)
        return
    lock_leasing(chunk.job_id)
    rest = split_chunk(chunk.pk, chunk.leaf_count // 2)
    assert rest.leaf_count is not None
    record(
        CHUNK_SPLIT,
        chunk,
        ChunkSplit(job=chunk.job_id, kept=chunk.leaf_count // 2, split_off=rest.leaf_count),
        actor=None,
    )


def _quarantine(chunk: JobChunk) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT transaction_id FROM amends_chunk_transactions(%s, %s, 1)",
            [chunk.plan_chunk_id, chunk.first_leaf],
        )
        (transaction_id,) = cursor.fetchone()
    reason = f"{chunk.lost} workers were lost while it was moved. {chunk.failure}"
    Outcome.objects.create(
        job_id=chunk.job_id,
        plan_chunk_id=chunk.plan_chunk_id,
        transaction_id=transaction_id,
        kind=Outcome.Kind.FAILED,
        reason=reason,
    )
    chunk.status, chunk.failure, chunk.finished_at = JobChunk.Status.QUARANTINED, reason, DatabaseClock()
    chunk.save(update_fields=["status", "failure", "finished_at"])
    record(
        ROW_QUARANTINED,
        chunk,
        RowQuarantined(job=chunk.job_id, transaction=transaction_id, attempts=chunk.attempts),
        actor=None,
    )
