"""Working on a job: lease a chunk, do it, finish it under the lease's token; again until none waits.

The same for a Celery worker's process and for a command that lends its own (`--work`).
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from audit.context import current_request_id
from audit.trail import record
from remediation.conclusion import conclude_job
from remediation.events import CHUNK_SCANNED, ChunkScanned
from remediation.failpoints import reach
from remediation.garbage import rows_not_searched_for_garbage
from remediation.lease import (
    CRASHES,
    MOST_ATTEMPTS,
    Lease,
    LeaseLost,
    Wait,
    finish,
    give_back,
    lease_chunk,
    other_jobs_wait,
    refuse,
    renew,
)
from remediation.locks import share_job
from remediation.models import Job, JobChunk, Plan
from remediation.revert import store_members
from remediation.scan import Asking, scan, store
from remediation.stages import advance_stage
from remediation.verification import check_chunk
from transactions.isolation import InProcess, LockedAway

logger = structlog.get_logger(__name__)

JOB_NOT_RUNNING, LEASE_LOST, NOT_APPROVED, NOT_AS_PREVIEWED = "AM001", "AM002", "AM003", "AM004"
"""SQLSTATEs of `amends_apply_chunk`."""
LOCKED_OUT = ("40001", "40P01", "55P03")
"""Serialization failure, deadlock, lock timeout: somebody else's work was in the way, an import's for example. Tried until it is not."""
STATEMENT_TIMEOUT = "57014"
RENEWAL_SECONDS = 5.0
LONGEST_SLEEP_SECONDS = 1.0
"""However long a job rests, its workers look this often whether that has changed."""


class JobNotRunning(Exception):
    """The job has ended, or was stopped: nothing more of it may be committed."""


def work(job_id: int, *, worker: str, heed: Callable[[], bool] = lambda: True) -> int:
    """Work on the job's chunks until none waits or `heed` says no; then end the job if that was all. How many were done.

    Never raises for what happened to one chunk: it waits for another attempt, or the job is given up with the reason.
    """
    done = 0
    while heed():
        reach("lease.before")
        lease = lease_chunk(job_id, worker=worker)
        if isinstance(lease, Wait):
            if other_jobs_wait(job_id):
                break  # The supervisor rings again; until then the worker is for those who need not rest.
            time.sleep(min(lease.seconds, LONGEST_SLEEP_SECONDS))
            continue
        if lease is None:
            if advance_stage(job_id):
                continue
            break
        reach("lease.after")
        done += _attempt(lease)
        _rest_after_chunk(job_id)
    if Job.objects.filter(pk=job_id).exists():
        conclude_job(job_id)
    return done


def _rest_after_chunk(job_id: int) -> None:
    """Sleep for as long as the job asks for just now; a job that was stopped asks for nothing."""
    rested = time.monotonic()
    while milliseconds := _rest_asked_for(job_id):
        left = milliseconds / 1000 - (time.monotonic() - rested)
        if left <= 0:
            return
        time.sleep(min(left, LONGEST_SLEEP_SECONDS))


def _rest_asked_for(job_id: int) -> int | None:
    running = Job.objects.filter(pk=job_id, status=Job.Status.RUNNING)
    return running.values_list("pause_milliseconds", flat=True).first()


def _attempt(lease: Lease) -> bool:
    chunk = JobChunk.objects.select_related("job", "job__plan", "job__plan__revision", "plan_chunk").get(
        pk=lease.chunk_id
    )
    log = logger.bind(job=lease.job_id, chunk=chunk.position, attempt=lease.attempts)
    try:
        with rows_not_searched_for_garbage():
            WORK_OF[chunk.job.kind](lease, chunk)
    except (LeaseLost, JobNotRunning) as lost:
        log.info("chunk.dropped", why=str(lost))
        give_back(lease, str(lost), counts=False)
        return False
    except DatabaseError as error:
        return _database_failed(lease, error, log)
    except (
        Exception
    ) as error:  # Whatever a chunk dies of must not take the worker or the job's other chunks with it.
        log.exception("chunk.failed")
        _try_again_or_refuse(lease, f"{type(error).__name__}: {error}")
        return False
    log.info("chunk.done")
    return True


def _database_failed(lease: Lease, error: DatabaseError, log: Any) -> bool:
    """Tell a refusal from a hiccup. Where the commit's own answer was lost, the chunk itself says whether it is done."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    reason = str(error).partition("\n")[0]
    if isinstance(error, OperationalError | InterfaceError) and state not in (*LOCKED_OUT, STATEMENT_TIMEOUT):
        connection.close()
    if JobChunk.objects.filter(pk=lease.chunk_id, status=JobChunk.Status.DONE, token=lease.token).exists():
        log.info("chunk.done_though_its_answer_was_lost")
        return True
    if state in (JOB_NOT_RUNNING, LEASE_LOST):
        log.info("chunk.dropped", why=reason)
        give_back(lease, reason, counts=False)
    elif state in (NOT_APPROVED, NOT_AS_PREVIEWED):
        log.error("chunk.refused", why=reason)
        refuse(lease, f"Refused: {reason}.")
    elif state in LOCKED_OUT:
        log.warning("chunk.locked_out", state=state, why=reason)
        give_back(lease, reason, counts=False)
        time.sleep(0.05)
    else:
        log.warning("chunk.interrupted", state=state, why=reason)
        _try_again_or_refuse(lease, reason)
        time.sleep(0.05 * lease.attempts)
    return False


def _try_again_or_refuse(lease: Lease, failure: str) -> None:
    failed = lease.attempts - lease.lost
    if failed < MOST_ATTEMPTS:
        give_back(lease, failure)
    else:
        refuse(lease, f"Given up after {failed} attempts. The last one: {failure}")


def _preview(lease: Lease, chunk: JobChunk) -> None:
    plan, plan_chunk = chunk.job.plan, chunk.plan_chunk
    assert plan is not None
    assert plan_chunk is not None
    scanned = None
    if plan.kind == Plan.Kind.APPLY:
        renew = _renewing(lease)
        scanned = scan(plan, plan_chunk, asking=_asking(lease, renew), renew=renew)
    with transaction.atomic():
        _insist_running(lease.job_id)
        if scanned is None:
            store_members(plan, chunk)
        else:
            store(plan, chunk, scanned)
        reach("preview.mid_transaction")
        finish(lease, {})
        record(
            CHUNK_SCANNED,
            plan_chunk,
            ChunkScanned(
                job=lease.job_id,
                plan=plan.pk,
                scanned=plan_chunk.scanned or 0,
                proposed=plan_chunk.proposed or 0,
                failed=plan_chunk.failed or 0,
                root=bytes(plan_chunk.root or b"").hex(),
                left_out=plan_chunk.left_out,
            ),
            actor=chunk.job.requested_by,
        )


def _apply(lease: Lease, _chunk: JobChunk) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s'")
            cursor.execute(
                "SELECT applied, conflicts FROM amends_apply_chunk(%s, %s, %s)",
                [lease.chunk_id, lease.token, current_request_id()],
            )
        reach("apply.before_commit")
    reach("apply.after_commit")


def _verify(lease: Lease, chunk: JobChunk) -> None:
    renew = _renewing(lease)
    found = check_chunk(chunk, asking=_asking(lease, renew), renew=renew)
    with transaction.atomic():
        _insist_running(lease.job_id)
        found.store(chunk)
        finish(lease, found.result())


def _asking(lease: Lease, renew: Callable[[], None]) -> Asking:
    """In this process, until that cost several workers: then in processes of the calculator's own."""
    return LockedAway(renew) if lease.attempts > CRASHES else InProcess(renew)


WORK_OF: dict[str, Callable[[Lease, JobChunk], None]] = {
    Job.Kind.PREVIEW: _preview,
    Job.Kind.APPLY: _apply,
    Job.Kind.VERIFY: _verify,
}


def _insist_running(job_id: int) -> None:
    """Hold the job's lock and, having it, raise `JobNotRunning` where it does not run any more."""
    share_job(job_id)
    status = Job.objects.values_list("status", flat=True).get(pk=job_id)
    if status != Job.Status.RUNNING:
        raise JobNotRunning(f"Job {job_id} is {status}.")


def _renewing(lease: Lease) -> Callable[[], None]:
    """A function that renews the lease, at most every few seconds. It raises `LeaseLost`."""
    last = time.monotonic()

    def renew_now_and_then() -> None:
        nonlocal last
        if time.monotonic() - last >= RENEWAL_SECONDS:
            renew(lease)
            last = time.monotonic()

    return renew_now_and_then
