"""A job slows down by itself where commits take long or a replica is behind, and says so."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from remediation.apply import start_apply
from remediation.lease import Lease, Wait, lease_chunk
from remediation.models import Job
from remediation.runner import work
from remediation.throttle import pace_of
from tests.conftest import UserFactory
from tests.remediation.driving import approved, previewed, verified, work_until_ended
from tests.remediation.incident import fee, report, totals

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def job(engineer: User, users: UserFactory, settings: Any) -> Job:
    """An apply of twelve rows in three chunks, begun."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 4
    report(12)
    return start_apply(approved(previewed(engineer), users("approver")), acting_user=engineer)


def one_chunk(job: Job) -> None:
    turns = iter((True, False))
    assert work(job.pk, worker="test", heed=lambda: next(turns)) == 1
    job.refresh_from_db()


def test_after_a_slow_commit_chunks_are_smaller_and_grow_again_once_they_are_fast(
    job: Job, engineer: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediation.throttle.SMALLEST_CHUNK_ROWS", 1)
    settings.AMENDS_TARGET_COMMIT_MILLISECONDS = 0.001
    one_chunk(job)
    assert job.throttle == ""
    one_chunk(job)
    assert job.throttle.startswith("Moving 1 rows at once: 4 took ")
    assert job.chunks.filter(status="done").order_by("-finished_at")[0].leaf_count == 1
    settings.AMENDS_TARGET_COMMIT_MILLISECONDS = 60_000
    one_chunk(job)
    assert job.throttle == ""
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED
    assert verified(job.case, engineer)["problems"] == []


def test_chunks_made_small_grow_by_and_by(job: Job, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 1000
    one_chunk(job)
    Job.objects.filter(pk=job.pk).update(
        throttle="Moving 4 rows at once: 10,000 took 9.0 s, 0.25 s is aimed at."
    )
    job.refresh_from_db()
    pace = pace_of(job)
    assert pace.rows == 8
    assert pace.why.startswith("Moving 8 rows at once, and more again")


def test_a_job_rests_while_a_replica_is_further_behind_than_it_may_be(job: Job, settings: Any) -> None:
    settings.AMENDS_MOST_REPLICA_LAG_SECONDS = -1
    wait = lease_chunk(job.pk, worker="test")
    assert isinstance(wait, Wait)
    job.refresh_from_db()
    assert job.throttle == wait.why == "Resting: a replica is 0 s behind, -1 s are allowed."
    settings.AMENDS_MOST_REPLICA_LAG_SECONDS = 10
    assert isinstance(lease_chunk(job.pk, worker="test"), Lease)
    job.refresh_from_db()
    assert job.throttle == ""


def test_the_application_may_see_how_far_replicas_are_behind() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER')")
        assert cursor.fetchone() == (True,)


def test_a_throttled_job_ends_where_an_unthrottled_one_does(
    job: Job, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediation.throttle.SMALLEST_CHUNK_ROWS", 1)
    settings.AMENDS_TARGET_COMMIT_MILLISECONDS = 0.001
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED
    moved = sum(chunk.result["applied"] for chunk in job.chunks.all() if chunk.result)
    assert (moved, job.chunks.count()) == (12, 9)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(transaction_id ORDER BY transaction_id) FROM transactions_currentcalculation"
        )
        (ids,) = cursor.fetchone()
    assert totals(ids) == [fee(1000 + i, 2) for i in range(12)]
