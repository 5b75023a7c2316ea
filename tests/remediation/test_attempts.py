"""When a chunk is tried again, and when its job is given up."""

import psycopg
import pytest

from audit.models import AuditEntry
from audit.verification import verify_everything
from remediation.apply import start_apply
from remediation.control import cancel_job, pause_job, resume_job
from remediation.lease import CRASHES, MOST_ATTEMPTS, Lease, lease_chunk, recover_expired_leases
from remediation.models import Job, JobChunk, Outcome, Plan
from remediation.preview import request_preview
from remediation.runner import _attempt, _try_again_or_refuse, work
from tests.conftest import UserFactory
from tests.remediation.driving import approved, opened, previewed, verified, work_until_ended
from tests.remediation.incident import fee, report, totals

pytestmark = pytest.mark.usefixtures("committed_db")


def lose_a_worker(job: Job) -> None:
    """Lease the next chunk to a worker that never comes back, and take it from it."""
    lease = lease_chunk(job.pk, worker="doomed")
    assert isinstance(lease, Lease)
    JobChunk.objects.filter(pk=lease.chunk_id).update(lease_until="2026-01-01T00:00:00Z")
    assert recover_expired_leases() == 1


def test_a_row_that_costs_every_worker_its_life_is_quarantined_and_the_rest_goes_on(
    users: UserFactory,
) -> None:
    ids = report(3)
    plan = approved(previewed(users("engineer")), users("approver"))
    job = start_apply(plan, acting_user=users("engineer"))
    for _ in range(CRASHES):
        lose_a_worker(job)
    assert list(job.chunks.values_list("first_leaf", "leaf_count")) == [(0, 1), (1, 2)]
    lose_a_worker(job)
    assert list(job.chunks.values_list("status", "leaf_count")) == [("quarantined", 1), ("waiting", 2)]
    work_until_ended(job)
    plan.refresh_from_db()
    assert (job.status, plan.status) == (Job.Status.FINISHED, Plan.Status.EXECUTED)
    assert totals(ids) == [1010, fee(1001, 2), fee(1002, 2)]
    (outcome,) = Outcome.objects.filter(job=job)
    assert (outcome.transaction_id, outcome.kind) == (ids[0], "failed")
    assert outcome.reason == "4 workers were lost while it was moved. Worker doomed was lost."
    assert AuditEntry.objects.filter(event="lease.reclaimed").count() == 4
    (split,) = AuditEntry.objects.filter(event="chunk.split")
    assert split.data == {"job": job.pk, "kept": 1, "split_off": 2}
    (quarantined,) = AuditEntry.objects.filter(event="chunk.quarantined")
    assert quarantined.data == {"job": job.pk, "transaction": ids[0], "attempts": 4}
    found = verified(plan.case, users("engineer"))
    assert found["problems"] == []
    (sums,) = found["plans"]
    assert {fate: sums[fate]["rows"] for fate in ("previewed", "applied", "failed", "left")} == {
        "previewed": 3,
        "applied": 2,
        "failed": 1,
        "left": 0,
    }
    assert sums["failed"]["money"] == {"USD:2": fee(1000, 2) - 1010}
    assert [str(each) for each in verify_everything().findings] == []


def test_pauses_are_no_reason_to_quarantine_a_row(users: UserFactory) -> None:
    report(1)
    engineer = users("engineer")
    job = start_apply(approved(previewed(engineer), users("approver")), acting_user=engineer)
    for _ in range(CRASHES):
        lease = lease_chunk(job.pk, worker="held up")
        assert isinstance(lease, Lease)
        pause_job(job, acting_user=engineer)
        assert not _attempt(lease)
        resume_job(job, acting_user=engineer)
    lose_a_worker(job)
    assert job.chunks.values_list("status", "attempts", "lost").get() == ("waiting", 1, 1)
    work_until_ended(job)
    assert not Outcome.objects.exists()


def test_failures_that_cost_no_worker_are_no_reason_to_quarantine_a_row(users: UserFactory) -> None:
    report(1)
    job = start_apply(
        approved(previewed(users("engineer")), users("approver")), acting_user=users("engineer")
    )
    for _ in range(CRASHES):
        lease = lease_chunk(job.pk, worker="unlucky")
        assert isinstance(lease, Lease)
        _try_again_or_refuse(lease, "The server closed the connection unexpectedly.")
    lose_a_worker(job)
    assert job.chunks.get().status == JobChunk.Status.WAITING


def test_what_is_left_of_a_chunk_that_was_halved_often_survives_a_hiccup(users: UserFactory) -> None:
    ids = report(64)
    job = start_apply(
        approved(previewed(users("engineer")), users("approver")), acting_user=users("engineer")
    )
    for _ in range(MOST_ATTEMPTS):
        lose_a_worker(job)
    lease = lease_chunk(job.pk, worker="unlucky")
    assert isinstance(lease, Lease)
    assert lease.attempts > MOST_ATTEMPTS
    _try_again_or_refuse(lease, "The server closed the connection unexpectedly.")
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED, job.failure
    assert totals(ids) == [fee(1000 + i, 2) for i in range(64)]


def test_a_cancelled_jobs_lost_chunk_is_neither_split_nor_quarantined(users: UserFactory) -> None:
    report(1)
    engineer = users("engineer")
    job = start_apply(approved(previewed(engineer), users("approver")), acting_user=engineer)
    for _ in range(CRASHES - 1):
        lose_a_worker(job)
    lease = lease_chunk(job.pk, worker="doomed")
    assert isinstance(lease, Lease)
    cancel_job(job, acting_user=engineer, reason="Enough.")
    JobChunk.objects.filter(pk=lease.chunk_id).update(lease_until="2026-01-01T00:00:00Z")
    assert recover_expired_leases() == 1
    assert job.chunks.get().status == JobChunk.Status.WAITING
    assert not Outcome.objects.exists()


def test_a_preview_that_costs_every_worker_its_life_gives_the_job_up(users: UserFactory) -> None:
    report(3)
    plan = request_preview(opened(users("engineer")), acting_user=users("engineer"))
    job = plan.jobs.get()
    for _ in range(MOST_ATTEMPTS):
        lose_a_worker(job)
    assert lease_chunk(job.pk, worker="next") is None
    work(job.pk, worker="next")
    job.refresh_from_db()
    plan.refresh_from_db()
    assert (job.status, plan.status) == (Job.Status.FAILED, Plan.Status.FAILED)
    assert job.failure == f"Given up after {MOST_ATTEMPTS} attempts. At the last one worker doomed was lost."


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
