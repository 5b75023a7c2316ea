"""Rings that nobody hears do not pile up."""

from typing import Any

import pytest
from celery import current_app
from django.conf import settings

from backoffice.celery import app
from remediation.doorbell import ring, ring_waiting_jobs
from remediation.models import Job
from remediation.preview import request_preview
from tests.conftest import UserFactory, WorkerFactory
from tests.faults.test_worker_killed import supervised_until_ended
from tests.remediation.driving import opened
from tests.remediation.incident import report

pytestmark = pytest.mark.usefixtures("committed_db")


def unheard() -> int:
    with current_app.connection_for_write() as broker:
        channel: Any = broker.default_channel
        return int(channel.queue_declare(settings.CELERY_TASK_DEFAULT_QUEUE).message_count)


def test_a_supervisor_without_workers_rings_no_more_than_would_be_heard_at_once(
    users: UserFactory, worker_process: WorkerFactory
) -> None:
    report(4)
    plan = request_preview(opened(users("engineer")), acting_user=users("engineer"))
    job = plan.jobs.get()
    for _ in range(50):
        ring_waiting_jobs()
    assert 1 <= unheard() <= 2 * settings.AMENDS_MOST_RINGS
    worker_process()
    supervised_until_ended(job)
    assert job.status == Job.Status.FINISHED


def test_with_nothing_in_the_queue_every_running_job_is_rung_for(users: UserFactory) -> None:
    report(2)
    request_preview(opened(users("engineer")), acting_user=users("engineer"))
    app.control.purge()
    assert ring_waiting_jobs() == 1
    assert ring(Job.objects.get().pk)
    app.control.purge()
