"""The page of workers: who holds what, what the broker says, rows done over time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from backoffice.celery import app
from remediation.admin.workers import chart_of
from remediation.apply import start_apply
from remediation.control import pause_job, resume_job
from remediation.lease import Lease, lease_chunk
from remediation.models import Job, JobChunk
from remediation.progress import progress_of
from remediation.runner import work
from remediation.workers import ask_broker, done_over_time, workers_at_work
from tests.conftest import UserFactory, WorkerFactory
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import report
from tests.remediation.tampering import tamper

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def job(engineer: User, users: UserFactory, settings: Any) -> Job:
    """An apply of six rows in three chunks."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    report(6)
    return start_apply(approved(previewed(engineer), users("approver")), acting_user=engineer)


def one_chunk(job: Job, worker: str) -> None:
    turns = iter((True, False))
    work(job.pk, worker=worker, heed=lambda: next(turns))


def test_who_holds_a_chunk_comes_first_with_what_it_did_lately(
    job: Job, client: Client, engineer: User, django_assert_max_num_queries: Any
) -> None:
    one_chunk(job, "ahost:1")
    assert isinstance(lease_chunk(job.pk, worker="zhost:2"), Lease)
    holder, idle = [worker for worker in workers_at_work() if worker.name != "test"]
    assert (holder.name, [chunk.job for chunk in holder.chunks], holder.rows) == ("zhost:2", [job], 0)
    assert (idle.name, idle.chunks, idle.rows, idle.finished) == ("ahost:1", [], 2, 1)
    client.force_login(engineer)
    with django_assert_max_num_queries(12):
        page = client.get("/remediation/job/workers/").content.decode()
    assert page.index("zhost:2") < page.index("ahost:1")
    assert f'href="/remediation/job/{job.pk}/"' in page
    JobChunk.objects.filter(worker="zhost:2").update(lease_until=datetime.now(UTC) - timedelta(seconds=1))
    assert "zhost:2" not in client.get("/remediation/job/workers/live/").content.decode()


def test_rows_are_drawn_in_the_bucket_in_which_their_chunk_was_finished(
    job: Job, client: Client, engineer: User
) -> None:
    one_chunk(job, "host:1")
    begin = datetime.now(UTC) - timedelta(hours=1)
    done = {each.kind: each.rows for each in done_over_time(begin, timedelta(hours=2))}
    # Three chunks of two rows each were previewed, and one of them applied.
    assert done == {"preview": 6, "apply": 2}
    chart = chart_of(1, datetime.now(UTC))
    assert sum(bar.total for bar in chart.bars) == chart.total == 8
    assert all(0 <= bar.x < chart.width for bar in chart.bars)
    assert min(part.y for bar in chart.bars for part in bar.parts) == 0
    assert chart_of(1, datetime.now(UTC) + timedelta(hours=3)).bars == []
    client.force_login(engineer)
    assert "8 rows in all" in client.get("/remediation/job/workers/?hours=24").content.decode()
    assert client.get("/remediation/job/workers/?hours=5000").status_code == 200


def test_workers_answer_by_the_broker_and_silence_is_told(
    client: Client, engineer: User, worker_process: WorkerFactory
) -> None:
    client.force_login(engineer)
    silent = client.get("/remediation/job/workers/broker/").content.decode()
    assert "no worker answered it" in silent
    worker_process(concurrency=2)
    (node,) = ask_broker().nodes
    assert len(node.processes) == 2
    assert node.name in client.get("/remediation/job/workers/?ask=1").content.decode()


def test_a_broker_that_is_away_is_told_in_words(
    client: Client, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.conf, "broker_read_url", "redis://127.0.0.1:1/0")
    client.force_login(engineer)
    assert "The broker does not answer" in client.get("/remediation/job/workers/broker/").content.decode()


def test_time_that_a_job_was_paused_is_not_time_that_it_worked(
    job: Job, engineer: User, owner_connection: Any
) -> None:
    one_chunk(job, "host:1")
    pause_job(job, acting_user=engineer)
    resume_job(job, acting_user=engineer)
    # As if the chunk had been done two hours ago, and the job had stood still from 110 minutes ago to 10 minutes ago.
    tamper(
        owner_connection,
        f"UPDATE remediation_jobchunk SET leased_at = clock_timestamp() - interval '2 hours',"
        f" finished_at = clock_timestamp() - interval '2 hours' + interval '1 second' WHERE job_id = {job.pk} AND status = 'done'",
    )
    for event, minutes in (("job.pausing", 110), ("job.paused", 110), ("job.resumed", 10)):
        tamper(
            owner_connection,
            f"UPDATE audit_auditentry SET occurred_at = date_trunc('minute', clock_timestamp()) - interval '{minutes} minutes'"
            f" WHERE event = '{event}' AND subject_id = {job.pk}",
        )
    progress = progress_of(job)
    assert progress.paused_seconds == 100 * 60
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - min(leased_at))::float FROM remediation_jobchunk"
            " WHERE job_id = %s",
            [job.pk],
        )
        (whole,) = cursor.fetchone()
    assert 0 <= whole - progress.seconds - progress.paused_seconds < 60
    assert progress.rate == progress.rows / progress.seconds
