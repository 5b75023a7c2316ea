"""Leases: a worker holds a chunk by a token, until a time of the database's clock."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, F, Func
from django.db.models.functions import Greatest

from audit.trail import record
from remediation.events import LEASE_RECLAIMED, LeaseReclaimed
from remediation.models import JobChunk

MOST_ATTEMPTS = 5
"""Attempts at a chunk before the job is given up, those included whose worker was lost."""


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


def lease_chunk(job_id: int, *, worker: str) -> Lease | None:
    """The job's next waiting chunk, now leased for AMENDS_LEASE_SECONDS; None where none waits or the job does not run."""
    token = uuid4()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE remediation_jobchunk
            SET status = 'leased', token = %(token)s, worker = %(worker)s, attempts = attempts + 1,
                leased_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
            WHERE id = (
                SELECT chunk.id FROM remediation_jobchunk chunk
                JOIN remediation_job job ON job.id = chunk.job_id AND job.status = 'running'
                WHERE chunk.job_id = %(job)s AND chunk.status = 'waiting'
                -- What went wrong once waits until the rest is done: a chunk that is locked out holds up nothing else.
                ORDER BY chunk.failure <> '', chunk.position LIMIT 1 FOR UPDATE OF chunk SKIP LOCKED)
            RETURNING id, attempts
            """,
            {"token": token, "worker": worker[:200], "seconds": settings.AMENDS_LEASE_SECONDS, "job": job_id},
        )
        found = cursor.fetchone()
    return None if found is None else Lease(job_id, found[0], token, found[1])


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

    An attempt that only met somebody else's lock does not count (`counts`): it says nothing about the chunk.
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

    A chunk that is being committed is locked by its worker, and passed over. One that cost `MOST_ATTEMPTS` workers goes to no other
    one: its job is given up when it is next rung for.
    """
    with transaction.atomic():
        expired = list(
            JobChunk.objects.select_for_update(skip_locked=True)
            .filter(status=JobChunk.Status.LEASED, lease_until__lt=DatabaseClock())
            .order_by("id")
        )
        for chunk in expired:
            worker = chunk.worker
            chunk.status, chunk.token, chunk.lease_until = JobChunk.Status.WAITING, None, None
            chunk.failure = f"Worker {worker} was lost."
            if chunk.attempts >= MOST_ATTEMPTS:
                chunk.status = JobChunk.Status.REFUSED
                chunk.failure = (
                    f"Given up after {chunk.attempts} attempts. At the last one worker {worker} was lost."
                )
            chunk.save(update_fields=["status", "token", "lease_until", "failure"])
            record(
                LEASE_RECLAIMED,
                chunk,
                LeaseReclaimed(job=chunk.job_id, worker=worker, attempts=chunk.attempts),
                actor=None,
            )
    return len(expired)
