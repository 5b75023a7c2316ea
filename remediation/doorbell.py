"""Celery is the doorbell: a message says only that a job has work. Lost, repeated, late or forged, it does no harm."""

from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from remediation.models import Job, JobChunk

logger = structlog.get_logger(__name__)

TASK = "remediation.work_on_job"


def ring_after_commit(job: Job) -> None:
    """Ring once this transaction has committed: for as many workers as the job has chunks for."""
    transaction.on_commit(lambda: ring(job.pk))


def ring(job_id: int) -> bool:
    """Tell workers that the job has work. False where the broker cannot be reached: the supervisor rings again."""
    waiting = JobChunk.objects.filter(job=job_id, status=JobChunk.Status.WAITING)[
        : settings.AMENDS_MOST_RINGS
    ].count()
    try:
        for _ in range(max(waiting, 1)):
            current_app.send_task(TASK, args=[job_id], retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("doorbell.unreachable", job=job_id, error=str(error))
        return False
    return True


def ring_waiting_jobs() -> int:
    """Ring for every running job: for its waiting chunks, or to be concluded. How many jobs were rung for.

    None while as many rings are unheard as are sent for a job: they would pile up as long as no worker is there, and whoever came
    back would have to go through all of them.
    """
    if _unheard() >= settings.AMENDS_MOST_RINGS:
        return 0
    return sum(
        ring(job_id) for job_id in Job.objects.filter(status=Job.Status.RUNNING).values_list("pk", flat=True)
    )


def _unheard() -> int:
    """Messages that no worker has taken; 0 where the broker cannot be asked, which `ring` will find out."""
    with current_app.connection_for_write() as broker:
        away: tuple[type[BaseException], ...] = (*broker.connection_errors, OperationalError, OSError)
        try:
            # Not passive: kombu asks for a passive one's key without the prefix of all keys, and would never find it.
            channel: Any = broker.default_channel
            declared = channel.queue_declare(settings.CELERY_TASK_DEFAULT_QUEUE)
        except away:
            return 0
        return int(declared.message_count)


def workers_alive() -> list[str]:
    """Names of the workers that answer within a second; none where the broker cannot be reached."""
    try:
        answers = current_app.control.ping(timeout=1.0) or []
    except (OperationalError, OSError):
        return []
    return sorted(name for answer in answers for name in answer)
