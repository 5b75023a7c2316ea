"""The one lock between a job's chunks and whoever stops the job.

Every transaction that finishes a chunk holds the job's lock shared, and reads the job's status after taking it. Whoever stops a job
takes it exclusively: once they have it no chunk is committing, and what they commit is seen by every later one.
"""

from django.db import connection

JOB_LOCK_CLASS = 7101
"""First key of the advisory locks on jobs; `amends_apply_chunk` has it too."""


def share_job(job_id: int) -> None:
    """Hold the job's lock shared until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [JOB_LOCK_CLASS, job_id])


def seize_job(job_id: int) -> None:
    """Wait until no chunk of the job is being committed, and let none begin to until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [JOB_LOCK_CLASS, job_id])
