"""The one lock between a job's chunks and whoever stops the job.

Every transaction that finishes a chunk holds the job's lock shared, and reads the job's status after taking it. Whoever stops a job
takes it exclusively: once they have it no chunk is committing, and what they commit is seen by every later one.
"""

import structlog
from django.db import OperationalError, connection, transaction

from audit.errors import Refused

logger = structlog.get_logger(__name__)

JOB_LOCK_CLASS = 7101
"""First key of the advisory locks on jobs; `amends_apply_chunk` has it too."""
LEASING_LOCK_CLASS = 7102
"""First key of the locks under which a job's chunks are leased, split and counted, one worker after the other."""
PATIENCE_SECONDS = 5
"""How long a chunk may take to commit once its job is to stop: after that its connection is ended."""
_TRIES = 4
LOCK_NOT_AVAILABLE = "55P03"


class JobDoesNotStop(Refused):
    """Chunks of a job hold on to its lock though their connections were ended. The supervisor tries again."""


def share_job(job_id: int) -> None:
    """Hold the job's lock shared until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [JOB_LOCK_CLASS, job_id])


def seize_job(job_id: int) -> None:
    """Wait until no chunk of the job is being committed, and let none begin to until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [JOB_LOCK_CLASS, job_id])


def lock_leasing(job_id: int) -> None:
    """Let nobody else lease a chunk of the job until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LEASING_LOCK_CLASS, job_id])


def seize_job_firmly(job_id: int) -> None:
    """`seize_job` that needs no living worker: a chunk that does not end within seconds loses its connection, and rolls back.

    Raises `JobDoesNotStop`.
    """
    for _ in range(_TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'")
                seize_job(job_id)
                cursor.execute("SET LOCAL lock_timeout = 0")
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            _end_connections_that_hold(job_id)
        else:
            return
    raise JobDoesNotStop(
        f"A chunk of job {job_id} is still being committed, though its connection was told to end. No new chunk is begun, and the "
        "supervisor goes on trying: look again in a moment."
    )


def _end_connections_that_hold(job_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pid, pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted AND pid <> pg_backend_pid()
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """,
            [JOB_LOCK_CLASS, job_id],
        )
        for pid, ended in cursor.fetchall():
            logger.warning("job.connection_ended", job=job_id, pid=pid, ended=ended)
