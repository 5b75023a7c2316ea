"""Who is at work: workers as their leases and finished chunks show them, what the broker's workers answer, and rows done over time.

The database tells who holds what, whatever Redis does; only who stands idle has to be asked for by the broker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.db import connection
from kombu.exceptions import OperationalError

from remediation.lease import DatabaseClock
from remediation.models import Job, JobChunk
from remediation.progress import ROWS_OF_CHUNK

LATELY = timedelta(minutes=10)
"""How far back a worker's pace is told, and for how long one that holds nothing is still listed."""
ANSWER_SECONDS = 1
"""Workers that the broker reaches have so long to answer."""
MOST_WORKERS = 200


@dataclass(frozen=True)
class Worker:
    """A process that works, by the name it leases with, "host:pid". `rows` and `busy_seconds` are of chunks that it finished lately."""

    name: str
    chunks: Sequence[JobChunk]
    rows: int
    finished: int
    busy_seconds: float
    last_at: datetime | None

    @property
    def rate(self) -> int | None:
        """Rows a second while it held a chunk; None where it finished none lately."""
        return round(self.rows / self.busy_seconds) if self.rows and self.busy_seconds > 0 else None


@dataclass(frozen=True)
class Node:
    """A Celery worker that answered the broker: where it runs, since when, and the processes of its pool."""

    name: str
    host: str
    up_for: timedelta
    processes: tuple[int, ...]


@dataclass(frozen=True)
class BrokerAnswer:
    """Who answered; `failure` says why the broker could not be asked, "" where it could."""

    nodes: tuple[Node, ...]
    failure: str = ""


@dataclass(frozen=True)
class Done:
    """Rows that finished chunks of one kind of job did between `begin` and the next bucket."""

    begin: datetime
    kind: str
    rows: int


def workers_at_work() -> list[Worker]:
    """Workers that hold a chunk whose lease has not run out, and those that finished one lately; the busy ones first. Two queries."""
    holders: dict[str, list[JobChunk]] = {}
    for chunk in _in_hand():
        holders.setdefault(chunk.worker, []).append(chunk)
    lately = _lately()
    names = sorted({*holders, *lately}, key=lambda name: (name not in holders, name))
    return [
        Worker(name, holders.get(name, []), *lately.get(name, (0, 0, 0.0, None)))
        for name in names[:MOST_WORKERS]
    ]


def _in_hand() -> list[JobChunk]:
    open_jobs = Job.objects.exclude(status__in=Job.ENDED).values("pk")
    leased = JobChunk.objects.filter(
        status=JobChunk.Status.LEASED, job__in=open_jobs, lease_until__gt=DatabaseClock()
    )
    return list(leased.select_related("job__case").order_by("worker", "leased_at")[:MOST_WORKERS])


def _lately() -> dict[str, tuple[int, int, float, datetime]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT chunk.worker, coalesce(sum({ROWS_OF_CHUNK}), 0)::bigint, count(*),
                   coalesce(sum(extract(epoch FROM chunk.finished_at - chunk.leased_at)), 0)::float, max(chunk.finished_at)
            {_FINISHED_SINCE} GROUP BY chunk.worker ORDER BY max(chunk.finished_at) DESC LIMIT {MOST_WORKERS}
            """,
            {"since": datetime.now(UTC) - LATELY},
        )
        return {name: (rows, finished, busy, last) for name, rows, finished, busy, last in cursor.fetchall()}


def done_over_time(since: datetime, bucket: timedelta) -> list[Done]:
    """Rows done by finished chunks from `since` on, by bucket and kind of job, the oldest first."""
    asked: dict[str, Any] = {"since": since, "bucket": bucket}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT date_bin(%(bucket)s, chunk.finished_at, %(since)s), job.kind, coalesce(sum({ROWS_OF_CHUNK}), 0)::bigint
            {_FINISHED_SINCE} GROUP BY 1, 2 ORDER BY 1, 2
            """,
            asked,
        )
        return [Done(*row) for row in cursor.fetchall()]


# Jobs are few; their chunks are read along the index on (job, finished_at) of those that are done.
_FINISHED_SINCE = """
    FROM remediation_job job
    JOIN LATERAL (
        SELECT * FROM remediation_jobchunk WHERE job_id = job.id AND status = 'done' AND finished_at >= %(since)s
    ) AS chunk ON true
    LEFT JOIN remediation_planchunk plan_chunk ON plan_chunk.id = chunk.plan_chunk_id
    WHERE job.finished_at IS NULL OR job.finished_at >= %(since)s
"""


def ask_broker() -> BrokerAnswer:
    """Which Celery workers answer within `ANSWER_SECONDS`. A broker that is away is an answer too."""
    with current_app.connection_for_read() as broker:
        away: tuple[type[BaseException], ...] = (*broker.connection_errors, OperationalError, OSError)
        try:
            broker.ensure_connection(max_retries=1, timeout=ANSWER_SECONDS)
            inspect = current_app.control.inspect(timeout=ANSWER_SECONDS, connection=broker)
            answers: dict[str, Any] = inspect.stats() or {}
        except away as error:
            return BrokerAnswer((), type(error).__name__)
    return BrokerAnswer(tuple(_node(name, answers[name]) for name in sorted(answers)[:MOST_WORKERS]))


def _node(name: str, told: dict[str, Any]) -> Node:
    processes = told.get("pool", {}).get("processes", [])
    return Node(
        name=name,
        host=name.partition("@")[2],
        up_for=timedelta(seconds=int(told.get("uptime", 0))),
        processes=tuple(process for process in processes if isinstance(process, int)),
    )
