"""Whether work waits that nobody takes."""

from django.db import connection


def waiting_since() -> str | None:
    """A mark that stays the same for as long as chunks wait that any worker may lease, and none is leased, finished or being worked on.

    None where there is nothing of that kind: no running job has a free chunk in its stage, its own limits or a rest keep it from being
    leased, or a worker holds a lease that has not run out. By the database alone: Redis and workers may be gone.
    """
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_SINCE)
        (mark,) = cursor.fetchone()
    return None if mark is None else str(mark)


_WAITING_SINCE = """
    WITH held AS (
        SELECT job_id, count(*) AS chunks, bool_or(lease_until > clock_timestamp()) AS alive
        FROM remediation_jobchunk WHERE status = 'leased' GROUP BY job_id
    ), free AS (
        SELECT job.id FROM remediation_job job LEFT JOIN held ON held.job_id = job.id
        WHERE job.status = 'running'
          AND EXISTS (SELECT FROM remediation_jobchunk chunk
                      WHERE chunk.job_id = job.id AND chunk.stage = job.stage AND chunk.status = 'waiting')
          AND (job.workers IS NULL OR coalesce(held.chunks, 0) < job.workers)
          AND (job.not_before IS NULL OR job.not_before <= clock_timestamp())
          AND coalesce(job.pause_milliseconds, 0) < 1000 AND job.throttle NOT LIKE 'Resting%'
    )
    SELECT string_agg(free.id || ':' || coalesce(moves.attempts, 0) || ':' || moves.finished, ',' ORDER BY free.id)
    FROM free, LATERAL (
        SELECT sum(attempts) AS attempts, count(finished_at) AS finished FROM remediation_jobchunk WHERE job_id = free.id
    ) AS moves
    WHERE NOT EXISTS (SELECT FROM held WHERE held.alive)
"""
