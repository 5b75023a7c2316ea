"""How fast a job goes by itself: chunks that commit in about a quarter of a second, and rests where others would suffer.

Limits that people set (`remediation.control.tune_job`) come on top. What is slower than it could be is told on the job, with the reason.
"""

import time
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import connection

from remediation.models import Job

logger = structlog.get_logger(__name__)

SMALLEST_CHUNK_ROWS = 100
"""No chunk is made smaller than this for slow commits: the fixed cost of a transaction would be most of it."""
_LOOKED_AT = 3
_LAG_LOOKED_AT_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Pace:
    """Rows that the next chunk may have at most (None: no limit), and why it is not more, for people; empty where nothing slows it."""

    rows: int | None
    why: str


def pace_of(job: Job) -> Pace:
    """How large the next chunk of an apply may be: as many rows as the last ones would have committed in the target time.

    Derived from the last finished chunks. Where those were small by our own doing and fast again, twice as many. Other jobs' chunks are
    as large as they were planned.
    """
    if job.kind != Job.Kind.APPLY:
        return Pace(None, "")
    target = settings.AMENDS_TARGET_COMMIT_MILLISECONDS / 1000
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT leaf_count, extract(epoch FROM finished_at - leased_at)::float FROM remediation_jobchunk
            WHERE job_id = %s AND status = 'done' AND leaf_count > 0 ORDER BY finished_at DESC LIMIT %s
            """,
            [job.pk, _LOOKED_AT],
        )
        last: list[tuple[int, float]] = cursor.fetchall()
    slow = [(rows, seconds) for rows, seconds in last if seconds > target and rows >= SMALLEST_CHUNK_ROWS]
    if slow:
        rows, seconds = min(slow, key=lambda chunk: chunk[0] / chunk[1])
        fitting = max(SMALLEST_CHUNK_ROWS, int(rows * target / seconds))
        return Pace(
            fitting,
            f"Moving {fitting:,} rows at once: {rows:,} took {seconds:.1f} s, {target:g} s is aimed at.",
        )
    if last and job.throttle.startswith("Moving"):
        grown = 2 * max(rows for rows, _ in last)
        if grown < settings.AMENDS_PLAN_CHUNK_ROWS:
            return Pace(
                grown,
                f"Moving {grown:,} rows at once, and more again as long as they take less than {target:g} s.",
            )
    return Pace(None, "")


class ReplicaLag:
    """How far behind the slowest replica is, asked of the database at most once a second."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._looked_at = float("-inf")

    def seconds(self) -> float:
        """Seconds; 0 where there is no replica, or where the application's role may not see it."""
        if time.monotonic() - self._looked_at >= _LAG_LOOKED_AT_EVERY_SECONDS:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float FROM pg_stat_replication"
                )
                self._seconds = cursor.fetchone()[0]
            self._looked_at = time.monotonic()
        return self._seconds


REPLICA_LAG = ReplicaLag()


def lag_told() -> str:
    """Why to rest for a replica, for people; empty where there is no need."""
    lag = REPLICA_LAG.seconds()
    if lag <= settings.AMENDS_MOST_REPLICA_LAG_SECONDS:
        return ""
    return f"Resting: a replica is {lag:.0f} s behind, {settings.AMENDS_MOST_REPLICA_LAG_SECONDS:g} s are allowed."


def tell(job: Job, why: str) -> None:
    """Say on the job what slows it; written only where it changes, inside the caller's transaction."""
    if job.throttle != why:
        Job.objects.filter(pk=job.pk).update(throttle=why)
        logger.info("job.throttled" if why else "job.unthrottled", job=job.pk, why=why)
        job.throttle = why
