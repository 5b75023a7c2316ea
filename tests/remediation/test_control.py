"""Steering a job while it runs: nothing commits once a stop is acknowledged, and nobody needs a living worker for it."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from audit.models import AuditEntry
from audit.permission import NotPermitted
from remediation.apply import start_apply
from remediation.control import (
    JobEnded,
    LimitImpossible,
    NotPaused,
    ReasonMissing,
    cancel_job,
    complete_stops,
    pause_job,
    resume_job,
    tune_job,
)
from remediation.lease import Lease, Wait, lease_chunk
from remediation.locks import share_job
from remediation.models import Job, JobChunk, Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from remediation.runner import work
from remediation.verify import start_verify
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, previewed, verified, work_until_ended
from tests.remediation.incident import fee, report, totals
from transactions.selection import Selection

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def job(engineer: User, approver: User, settings: Any) -> Job:
    """An apply of four rows in two chunks, begun."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    report(4)
    return start_apply(approved(previewed(engineer), approver), acting_user=engineer)


def events(job: Job) -> list[str]:
    return list(
        AuditEntry.objects.filter(subject_type="remediation.job", subject_id=job.pk)
        .order_by("id")
        .values_list("event", flat=True)
    )


def one_chunk(job: Job) -> None:
    turns = iter((True, False))
    assert work(job.pk, worker="test", heed=lambda: next(turns)) == 1


def test_a_paused_job_does_nothing_until_it_is_resumed(job: Job, engineer: User, approver: User) -> None:
    one_chunk(job)
    paused = pause_job(job, acting_user=approver, reason="Customers call.")
    assert (paused.status, paused.pause_reason) == (Job.Status.PAUSED, "Customers call.")
    assert lease_chunk(job.pk, worker="eager") is None
    assert work(job.pk, worker="eager") == 0
    assert pause_job(job, acting_user=engineer).status == Job.Status.PAUSED
    resumed = resume_job(job, acting_user=engineer)
    assert (resumed.status, resumed.pause_reason) == (Job.Status.RUNNING, "")
    work_until_ended(resumed)
    assert resumed.status == Job.Status.FINISHED
    assert events(job) == [
        "plan.apply_started",
        "job.pausing",
        "job.paused",
        "job.resumed",
        "job.finished",
    ]
    entry = AuditEntry.objects.get(event="job.pausing")
    assert (entry.actor_label, entry.reason) == (approver.username, "Customers call.")


def test_a_chunk_leased_before_the_pause_commits_nothing_after_it(job: Job, engineer: User) -> None:
    lease = lease_chunk(job.pk, worker="slow")
    assert isinstance(lease, Lease)
    pause_job(job, acting_user=engineer)
    with pytest.raises(DatabaseError, match="is paused"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT amends_apply_chunk(%s, %s, '')", [lease.chunk_id, lease.token])
    assert not AuditEntry.objects.filter(event="chunk.applied").exists()


def test_a_pause_waits_for_the_chunk_that_is_being_committed(job: Job, engineer: User) -> None:
    held, ending = threading.Event(), threading.Event()

    def commit_slowly() -> None:
        try:
            with transaction.atomic():
                share_job(job.pk)
                held.set()
                time.sleep(1)
                ending.set()
        finally:
            connection.close()

    chunk = threading.Thread(target=commit_slowly)
    chunk.start()
    held.wait(10)
    assert pause_job(job, acting_user=engineer).status == Job.Status.PAUSED
    assert ending.is_set()
    chunk.join()


def test_a_chunk_that_does_not_end_loses_its_connection(
    job: Job, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediation.locks.PATIENCE_SECONDS", 1)
    held, done = threading.Event(), threading.Event()
    seen: list[Exception] = []

    def never_commit() -> None:
        try:
            with transaction.atomic():
                share_job(job.pk)
                held.set()
                done.wait(30)
                Job.objects.count()
        except DatabaseError as error:
            seen.append(error)
        finally:
            connection.close()

    chunk = threading.Thread(target=never_commit)
    chunk.start()
    held.wait(10)
    assert pause_job(job, acting_user=engineer).status == Job.Status.PAUSED
    done.set()
    chunk.join()
    assert len(seen) == 1


def test_the_supervisor_completes_what_an_asker_who_died_began(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(status=Job.Status.PAUSING)
    assert lease_chunk(job.pk, worker="eager") is None
    assert complete_stops() == 1
    job.refresh_from_db()
    assert job.status == Job.Status.PAUSED
    assert complete_stops() == 0


def test_a_job_that_does_not_stop_holds_up_no_other_stop(
    job: Job, engineer: User, monkeypatch: pytest.MonkeyPatch, owner_connection: Any
) -> None:
    monkeypatch.setattr("remediation.locks.PATIENCE_SECONDS", 1)
    monkeypatch.setattr("remediation.locks._end_connections_that_hold", lambda job_id: None)
    other = start_verify(opened(engineer, target="3.0.0"), acting_user=engineer)
    Job.objects.filter(pk__in=(job.pk, other.pk)).update(status=Job.Status.PAUSING)
    owner_connection.execute("SELECT pg_advisory_lock_shared(7101, %s)", [job.pk])
    assert complete_stops() == 1
    assert dict(Job.objects.filter(pk__in=(job.pk, other.pk)).values_list("pk", "status")) == {
        job.pk: Job.Status.PAUSING,
        other.pk: Job.Status.PAUSED,
    }


def test_a_worker_that_rests_between_chunks_leaves_once_its_job_is_cancelled(
    job: Job, engineer: User
) -> None:
    tune_job(job, acting_user=engineer, pause_milliseconds=600_000)

    def work_and_rest() -> None:
        try:
            work(job.pk, worker="resting")
        finally:
            connection.close()

    worker = threading.Thread(target=work_and_rest, daemon=True)
    worker.start()
    while not job.chunks.filter(status="done").exists():
        time.sleep(0.05)
    cancel_job(job, acting_user=engineer, reason="The tax office was wrong.")
    worker.join(20)
    assert not worker.is_alive()


def test_a_cancelled_apply_stops_its_plan_and_what_it_did_can_be_taken_back(
    job: Job, engineer: User, approver: User
) -> None:
    one_chunk(job)
    cancelled = cancel_job(job, acting_user=engineer, reason="The tax office was wrong.")
    assert cancelled.status == Job.Status.CANCELLED
    plan = job.plan
    assert plan is not None
    plan.refresh_from_db()
    said = f"Cancelled by {engineer}: The tax office was wrong."
    assert (plan.status, plan.failure, cancelled.failure) == (Plan.Status.STOPPED, said, said)
    assert events(job) == ["plan.apply_started", "job.cancelling", "job.cancelled"]
    with pytest.raises(JobEnded):
        resume_job(job, acting_user=engineer)
    with pytest.raises(JobEnded):
        tune_job(job, acting_user=engineer, workers=1)
    assert cancel_job(job, acting_user=engineer, reason="Again.").failure == said
    assert verified(plan.case, engineer)["problems"] == []
    revert = request_revert(plan.case, acting_user=engineer)
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    applied(approved(revert, approver), engineer)
    assert not Plan.objects.filter(status__in=["executing", "approved"]).exists()


def test_cancelling_a_preview_fails_its_plan_and_a_new_one_can_be_asked_for(engineer: User) -> None:
    report(2)
    case = opened(engineer)
    plan = request_preview(case, acting_user=engineer)
    cancel_job(plan.jobs.get(), acting_user=engineer, reason="Wrong window.")
    plan.refresh_from_db()
    assert plan.status == Plan.Status.FAILED
    again = request_preview(case, acting_user=engineer)
    assert again.pk != plan.pk


def test_a_paused_preview_gives_way_to_a_new_one_and_a_paused_verification_is_the_one_that_there_is(
    engineer: User,
) -> None:
    report(2)
    case = opened(engineer)
    plan = request_preview(case, acting_user=engineer)
    pause_job(plan.jobs.get(), acting_user=engineer)
    again = request_preview(case, acting_user=engineer, again=True)
    plan.refresh_from_db()
    assert (plan.status, plan.jobs.get().status) == (Plan.Status.SUPERSEDED, Job.Status.FAILED)
    work_until_ended(again.jobs.get())
    verify = start_verify(case, acting_user=engineer)
    pause_job(verify, acting_user=engineer)
    assert start_verify(case, acting_user=engineer) == verify


def test_steering_needs_the_permission_a_reason_and_a_job_that_is_not_over(
    job: Job, engineer: User, users: UserFactory
) -> None:
    auditor = users("auditor")
    acts: list[Callable[[], Job]] = [
        partial(pause_job, job, acting_user=auditor),
        partial(resume_job, job, acting_user=auditor),
        partial(cancel_job, job, acting_user=auditor, reason="No."),
        partial(tune_job, job, acting_user=auditor, workers=1),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act()
    with pytest.raises(ReasonMissing):
        cancel_job(job, acting_user=engineer, reason=" ")
    Job.objects.filter(pk=job.pk).update(status=Job.Status.PAUSING)
    with pytest.raises(NotPaused):
        resume_job(job, acting_user=engineer)
    assert events(job) == ["plan.apply_started"]


@pytest.mark.parametrize(
    "limit", [{"workers": 0}, {"workers": 2**15}, {"chunk_rows": -1}, {"rows_per_second": 2**31}]
)
def test_an_impossible_limit_is_refused_by_name(job: Job, engineer: User, limit: dict[str, int]) -> None:
    (name,) = limit
    with pytest.raises(LimitImpossible, match=name):
        tune_job(job, acting_user=engineer, **limit)


def test_limits_count_from_the_next_chunk_on_and_are_audited_with_what_was_before(
    job: Job, engineer: User
) -> None:
    tune_job(job, acting_user=engineer, workers=1, chunk_rows=1, reason="Sales day.")
    first = lease_chunk(job.pk, worker="a")
    assert isinstance(first, Lease)
    assert lease_chunk(job.pk, worker="b") is None
    assert sorted(job.chunks.values_list("first_leaf", "leaf_count")) == [(0, 1), (0, 2), (1, 1)]
    tune_job(job, acting_user=engineer, workers=2)
    assert isinstance(lease_chunk(job.pk, worker="b"), Lease)
    entries = AuditEntry.objects.filter(event="job.tuned").order_by("id")
    assert [entry.data for entry in entries] == [
        {"before": {"workers": None, "chunk_rows": None}, "after": {"workers": 1, "chunk_rows": 1}},
        {"before": {"workers": 1}, "after": {"workers": 2}},
    ]
    assert entries[0].reason == "Sales day."


def test_a_rate_lets_the_next_chunk_wait_for_its_time(job: Job, engineer: User) -> None:
    tune_job(job, acting_user=engineer, rows_per_second=1)
    assert isinstance(lease_chunk(job.pk, worker="a"), Lease)
    wait = lease_chunk(job.pk, worker="b")
    assert isinstance(wait, Wait)
    assert 0 < wait.seconds <= 1
    tune_job(job, acting_user=engineer, rows_per_second=None)
    assert isinstance(lease_chunk(job.pk, worker="b"), Lease)


def test_a_job_that_rests_keeps_no_worker_from_one_that_need_not(job: Job, engineer: User) -> None:
    tune_job(job, acting_user=engineer, rows_per_second=1)
    assert isinstance(lease_chunk(job.pk, worker="a"), Lease)
    report(2, version="1.1.0", first=100)
    other = opened(engineer, selection=Selection("fee", services=("payments",), versions=("1.1.0",)))
    request_preview(other, acting_user=engineer)
    assert work(job.pk, worker="b") == 0
    job.refresh_from_db()
    assert job.status == Job.Status.RUNNING


def test_a_job_in_small_chunks_ends_as_one_in_large_ones_does(engineer: User, approver: User) -> None:
    ids = report(7)
    plan = approved(previewed(engineer), approver)
    job = start_apply(plan, acting_user=engineer)
    tune_job(job, acting_user=engineer, chunk_rows=2, pause_milliseconds=1)
    work_until_ended(job)
    assert totals(ids) == [fee(1000 + i, 2) for i in range(7)]
    assert sorted(job.chunks.values_list("first_leaf", "leaf_count")) == [(0, 2), (2, 2), (4, 2), (6, 1)]
    assert verified(plan.case, engineer)["problems"] == []


def test_raw_sql_of_the_application_neither_finishes_a_chunk_nor_rewrites_one(
    job: Job, engineer: User
) -> None:
    lease = lease_chunk(job.pk, worker="a")
    assert isinstance(lease, Lease)
    chunk = job.chunks.get(pk=lease.chunk_id)
    with pytest.raises(DatabaseError, match="finished by moving"), transaction.atomic():
        JobChunk.objects.filter(pk=lease.chunk_id).update(status="done", lease_until=None)
    forged = {
        "job": job,
        "position": 9,
        "plan_chunk": chunk.plan_chunk,
        "first_leaf": 1,
        "leaf_count": 1,
    }
    with pytest.raises(DatabaseError, match="begins waiting"), transaction.atomic():
        JobChunk.objects.create(**forged, status="done", result={"applied": 1, "conflicts": 0, "money": {}})
    JobChunk.objects.filter(pk=lease.chunk_id).update(status="waiting", lease_until=None, token=None)
    work_until_ended(job)
    with pytest.raises(DatabaseError, match="cannot be rewritten"), transaction.atomic():
        JobChunk.objects.filter(pk=lease.chunk_id).update(status="waiting")
    with pytest.raises(DatabaseError, match="cannot be rewritten"), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(stage=0, stages=[1, 2])
    with pytest.raises(DatabaseError, match="gets no more chunks"), transaction.atomic():
        JobChunk.objects.create(**forged)


def test_a_worker_that_knows_no_stages_does_not_jump_a_gate(engineer: User, approver: User) -> None:
    ids = report(4)
    job = start_apply(approved(previewed(engineer), approver), acting_user=engineer, stages=[1])
    later = job.chunks.get(stage=1)
    token = uuid4()
    JobChunk.objects.filter(pk=later.pk).update(
        status="leased", token=token, lease_until="2099-01-01T00:00:00Z"
    )
    with pytest.raises(DatabaseError, match="is at stage 0, not at 1"), connection.cursor() as cursor:
        cursor.execute("SELECT amends_apply_chunk(%s, %s, '')", [later.pk, token])
    assert totals(ids) == [1010, 1011, 1012, 1013]
