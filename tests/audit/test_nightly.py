"""Every night everything is verified, in a process of its own, and the trail says what was found."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery.schedules import crontab
from django.conf import settings
from django.db import connections

from audit.models import AuditEntry
from audit.tasks import verify_nightly
from audit.verification import AlreadyVerifying, verify_everything
from backoffice.celery import app
from tests.conftest import WorkerFactory
from tests.remediation.incident import report


def test_beat_asks_for_it_every_night() -> None:
    planned = settings.CELERY_BEAT_SCHEDULE["verify the trail"]
    assert app.tasks[planned["task"]] is not None
    assert planned["schedule"] == crontab(hour=2, minute=30)


def test_the_worker_that_hears_it_is_free_at_once_and_the_trail_gets_the_result(
    worker_process: WorkerFactory,
) -> None:
    report(3)
    worker_process(concurrency=1)
    verify_nightly.delay()
    deadline = time.monotonic() + 60
    while not AuditEntry.objects.filter(event="audit.verified").exists():
        assert time.monotonic() < deadline, "No result."
        time.sleep(0.2)
    entry = AuditEntry.objects.get(event="audit.verified")
    assert (entry.data["result"], entry.data["rows"]["pointers"], entry.actor_label) == ("ok", 3, "Amends")


@pytest.mark.usefixtures("committed_db")
def test_two_at_a_time_are_refused() -> None:
    refused: list[str] = []

    def another(check: str, rows: int) -> None:
        if not refused:
            with pytest.raises(AlreadyVerifying) as said:
                _in_another_session()
            refused.append(str(said.value))

    assert verify_everything(progress=another).result == "ok"
    assert "at work already" in refused[0]


def _in_another_session() -> None:
    def verify() -> None:
        try:
            verify_everything()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(verify).result()
