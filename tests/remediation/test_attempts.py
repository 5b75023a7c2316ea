"""When a chunk is tried again, and when its job is given up."""

import psycopg
import pytest

from audit.models import AuditEntry
from remediation.apply import start_apply
from remediation.lease import MOST_ATTEMPTS, lease_chunk, recover_expired_leases
from remediation.models import Job, JobChunk, Plan
from remediation.runner import work
from tests.conftest import UserFactory
from tests.remediation.driving import approved, previewed, work_until_ended
from tests.remediation.incident import fee, report, totals

pytestmark = pytest.mark.usefixtures("committed_db")


def test_a_chunk_that_costs_every_worker_its_life_gives_the_job_up(users: UserFactory) -> None:
    ids = report(3)
    plan = approved(previewed(users("engineer")), users("approver"))
    job = start_apply(plan, acting_user=users("engineer"))
    for attempt in range(1, MOST_ATTEMPTS + 1):
        lease = lease_chunk(job.pk, worker="doomed")
        assert lease is not None, attempt
        JobChunk.objects.filter(job=job).update(lease_until="2026-01-01T00:00:00Z")
        assert recover_expired_leases() == 1
    assert lease_chunk(job.pk, worker="next") is None
    work(job.pk, worker="next")
    job.refresh_from_db()
    plan.refresh_from_db()
    assert (job.status, plan.status) == (Job.Status.FAILED, Plan.Status.STOPPED)
    assert job.failure == "Given up after 5 attempts. At the last one worker doomed was lost."
    assert AuditEntry.objects.filter(event="lease.reclaimed").count() == MOST_ATTEMPTS
    assert totals(ids) == [1010, 1011, 1012]


def test_a_chunk_that_somebodys_lock_is_in_the_way_of_waits_and_lets_the_others_go_first(
    users: UserFactory,
    owner_connection: "psycopg.Connection[tuple[int]]",
    settings,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remediation.runner.MOST_ATTEMPTS", 1)
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(4)
    plan = approved(previewed(users("engineer")), users("approver"))
    job = start_apply(plan, acting_user=users("engineer"))
    with (
        owner_connection.transaction()
    ):  # as a large import holds the pointers that it moves until it has landed
        owner_connection.execute(
            "SELECT FROM transactions_currentcalculation WHERE transaction_id = %s FOR UPDATE", [ids[0]]
        )
        turns = iter((True, True, True, False))
        work(job.pk, worker="test", heed=lambda: next(turns))
        job.refresh_from_db()
        assert (job.status, job.failure) == (Job.Status.RUNNING, "")
        assert totals(ids) == [1010, 1011, fee(1002, 2), fee(1003, 2)]
        locked_out = job.chunks.get(status="waiting")
        assert (locked_out.position, locked_out.attempts) == (0, 0)
        assert "lock timeout" in locked_out.failure
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED, job.failure
    assert totals(ids) == [fee(1000 + i, 2) for i in range(4)]
