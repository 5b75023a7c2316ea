"""A worker is killed with -9 at a named point; the job goes on without a person, and every row is treated exactly once."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import current_app
from django.db import connection

from audit.models import AuditEntry
from remediation.apply import start_apply
from remediation.doorbell import ring_waiting_jobs
from remediation.lease import recover_expired_leases
from remediation.models import Job, JobChunk, Outcome, Plan
from remediation.preview import request_preview
from tests.conftest import UserFactory, WorkerFactory
from tests.remediation.driving import approved, opened, previewed, verified
from tests.remediation.incident import fee, report, totals

pytestmark = pytest.mark.usefixtures("committed_db")

LEASE_SECONDS = "2"
ROWS, CHUNK_ROWS = 60, 20


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "It did not come about in time."
        time.sleep(0.1)


def supervised_until_ended(job: Job) -> int:
    """Do what the supervisor does, every half second, until the job has ended. How many leases it took back."""
    reclaimed = 0

    def ended() -> bool:
        nonlocal reclaimed
        reclaimed += recover_expired_leases()
        ring_waiting_jobs()
        job.refresh_from_db()
        time.sleep(0.4)
        return job.status != Job.Status.RUNNING

    eventually(ended)
    return reclaimed


def assert_each_row_was_applied_once(plan: Plan, job: Job, ids: list[int]) -> None:
    """I1 to I4, from rows, pointers and the trail."""
    assert job.status == Job.Status.FINISHED, job.failure
    # I1, I4: every transaction stands on the approved proposal, and none is a conflict or failed.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT current.transaction_id) FROM transactions_currentcalculation current"
            " JOIN transactions_calculation c ON c.id = current.calculation_id AND c.transaction_id = current.transaction_id"
            " WHERE c.plan_chunk_id IN (SELECT id FROM remediation_planchunk WHERE plan_id = %s)",
            [plan.pk],
        )
        assert cursor.fetchone() == (len(ids), len(ids))
    assert totals(ids) == [fee(1000 + i, 2) for i in range(len(ids))]
    assert not Outcome.objects.filter(job=job).exists()
    # I2: pointer moves = audited counts.
    entries = [entry.data for entry in AuditEntry.objects.filter(event="chunk.applied")]
    assert sum(entry["applied"] for entry in entries) == len(ids)
    assert len(entries) == ROWS // CHUNK_ROWS
    # I3: sums agree.
    expected = sum(fee(1000 + i, 2) - fee(1000 + i, 1) for i in range(len(ids)))
    assert (
        sum(entry["money"]["USD:2"] for entry in entries)
        == expected
        == plan.manifest["money"]["USD:2"]["delta"]
    )


@pytest.mark.parametrize(
    ("point", "reclaimed"), [("lease.after", 1), ("apply.before_commit", 1), ("apply.after_commit", 0)]
)
def test_a_worker_killed_while_applying_loses_nothing_and_repeats_nothing(
    users: UserFactory,
    worker_process: WorkerFactory,
    tmp_path: Path,
    settings,
    point: str,
    reclaimed: int,  # type: ignore[no-untyped-def]
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = CHUNK_ROWS
    ids = report(ROWS)
    engineer = users("engineer")
    plan = approved(previewed(engineer), users("approver"))
    worker_process(
        AMENDS_FAILPOINTS=f"{point}=kill",
        AMENDS_FAILPOINT_DIR=str(tmp_path),
        AMENDS_LEASE_SECONDS=LEASE_SECONDS,
    )
    job = start_apply(plan, acting_user=engineer)
    taken_back = supervised_until_ended(job)
    assert (tmp_path / f"{point}.fired").exists()
    assert taken_back == reclaimed
    assert AuditEntry.objects.filter(event="lease.reclaimed").count() == reclaimed
    assert JobChunk.objects.filter(job=job, attempts=2).count() == reclaimed
    plan.refresh_from_db()
    assert_each_row_was_applied_once(plan, job, ids)
    result = verified(plan.case, engineer)
    assert (result["differing"], result["reconciled"]) == (0, True), json.dumps(result)


def test_a_worker_killed_while_previewing_leaves_no_half_chunk(
    users: UserFactory,
    worker_process: WorkerFactory,
    tmp_path: Path,
    settings,  # type: ignore[no-untyped-def]
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = CHUNK_ROWS
    report(ROWS)
    worker_process(
        AMENDS_FAILPOINTS="preview.mid_transaction=kill",
        AMENDS_FAILPOINT_DIR=str(tmp_path),
        AMENDS_LEASE_SECONDS=LEASE_SECONDS,
    )
    engineer = users("engineer")
    plan = request_preview(opened(engineer), acting_user=engineer)
    assert supervised_until_ended(plan.jobs.get()) == 1
    assert (tmp_path / "preview.mid_transaction.fired").exists()
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY, plan.failure
    assert plan.manifest["proposed"] == ROWS
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL")
        assert cursor.fetchone() == (ROWS,)


def test_a_doorbell_forged_lost_or_rung_too_often_does_no_harm(
    users: UserFactory,
    worker_process: WorkerFactory,
    settings,  # type: ignore[no-untyped-def]
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = CHUNK_ROWS
    ids = report(ROWS)
    engineer = users("engineer")
    plan = approved(previewed(engineer), users("approver"))
    worker_process(concurrency=2)
    for forged in (0, 999_999, -1):
        current_app.send_task("remediation.work_on_job", args=[forged])
    job = start_apply(plan, acting_user=engineer)
    for _ in range(200):
        current_app.send_task("remediation.work_on_job", args=[job.pk])
    assert supervised_until_ended(job) == 0
    plan.refresh_from_db()
    assert_each_row_was_applied_once(plan, job, ids)
