"""A large apply begins small, and goes on only while its gates are content."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from audit.models import AuditEntry
from remediation import gates
from remediation.apply import start_apply
from remediation.control import ReasonMissing, resume_job
from remediation.gates import SoFar, register_gate
from remediation.models import Job, JobChunk, Plan, PlanChunk
from remediation.runner import work
from remediation.stages import StagesImpossible, checked_stages, lay_out, usual_stages
from tests.remediation.driving import approved, previewed, verified, work_until_ended
from tests.remediation.incident import START, fee, recalculate, report, totals
from tests.remediation.tampering import tamper

committed = pytest.mark.usefixtures("committed_db")


@given(st.lists(st.integers(0, 40), min_size=1, max_size=25), st.lists(st.integers(1, 500), max_size=4))
def test_every_row_is_moved_in_exactly_one_stage_and_each_stage_has_as_many_as_it_says(
    proposed: list[int], wanted: list[int]
) -> None:
    rows = sum(proposed)
    if not rows:
        return
    stages = checked_stages(sorted(set(wanted)), rows)
    chunks = [PlanChunk(pk=number, position=number, proposed=count) for number, count in enumerate(proposed)]
    parts = lay_out(chunks, stages)
    covered = sorted(
        (part.chunk.pk, leaf)
        for part in parts
        for leaf in range(part.first_leaf, part.first_leaf + part.leaf_count)
    )
    assert covered == [(chunk.pk, leaf) for chunk in chunks for leaf in range(chunk.proposed or 0)]
    assert all(part.leaf_count > 0 for part in parts)
    for number, through in enumerate(stages):
        assert sum(part.leaf_count for part in parts if part.stage <= number) == through


def test_the_usual_stages_are_one_row_a_hundred_one_in_a_hundred_and_all() -> None:
    assert usual_stages(10_000) == [10_000]
    assert usual_stages(10_001) == [1, 100, 10_001]
    assert usual_stages(400_000) == [1, 100, 4_000, 400_000]


def test_stages_that_do_not_grow_are_refused() -> None:
    assert checked_stages([1, 5, 900], 20) == [1, 5, 20]
    for stages in ([0, 5], [5, 5], [5, 1]):
        with pytest.raises(StagesImpossible):
            checked_stages(stages, 20)


def begun(rows: int, stages: list[int], engineer: User, approver: User) -> tuple[list[int], Plan, Job]:
    ids = report(rows)
    plan = approved(previewed(engineer), approver)
    return ids, plan, start_apply(plan, acting_user=engineer, stages=stages)


@committed
def test_each_stage_is_done_before_the_next_begins_and_says_so_in_the_trail(
    engineer: User, approver: User, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 3
    ids, plan, job = begun(8, [1, 4], engineer, approver)
    assert job.stages == [1, 4, 8]
    turns = iter((True, False))
    work(job.pk, worker="test", heed=lambda: next(turns))
    assert JobChunk.objects.filter(job=job, status="done").count() == 1
    assert totals(ids) == [fee(1000, 2), *(1010 + i + i // 100 for i in range(1, 8))]
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED
    assert totals(ids) == [fee(1000 + i, 2) for i in range(8)]
    passed = AuditEntry.objects.filter(event="job.stage_passed").order_by("id")
    assert [entry.data for entry in passed] == [
        {"stage": 0, "rows": 1, "conflicts": 0, "quarantined": 0},
        {"stage": 1, "rows": 4, "conflicts": 0, "quarantined": 0},
    ]
    assert verified(plan.case, engineer)["problems"] == []


@committed
def test_too_many_conflicts_hold_the_job_until_a_person_says_why_it_may_go_on(
    engineer: User, approver: User
) -> None:
    ids, _, job = begun(6, [3], engineer, approver)
    for known in ids[:2]:
        recalculate(known, fee_percent=1, at=START + timedelta(days=1))
    work(job.pk, worker="test")
    job.refresh_from_db()
    assert (job.status, job.stage, job.held_at_stage) == (Job.Status.PAUSED, 0, 0)
    assert job.pause_reason == (
        "Stage 1 of 2: 2 of 3 rows are conflicts: more than 5 % changed since the preview. "
        "Look at them, then let the job go on, or cancel it and preview again."
    )
    (failed,) = AuditEntry.objects.filter(event="job.gate_failed")
    assert list(failed.data["gates"]) == ["conflicts"]
    with pytest.raises(ReasonMissing, match="2 of 3 rows"):
        resume_job(job, acting_user=engineer)
    resumed = resume_job(job, acting_user=engineer, reason="Those two are known.")
    assert (resumed.stage, resumed.held_at_stage) == (1, None)
    work_until_ended(resumed)
    assert resumed.status == Job.Status.FINISHED
    entry = AuditEntry.objects.get(event="job.resumed")
    assert (entry.reason, entry.data["held_at_stage"]) == ("Those two are known.", 0)
    assert totals(ids)[2:] == [fee(1000 + i, 2) for i in range(2, 6)]


@committed
def test_rows_that_do_not_stand_where_the_job_put_them_hold_it(
    engineer: User, approver: User, owner_connection: Any
) -> None:
    _, _, job = begun(4, [2], engineer, approver)
    turns = iter((True, False))
    work(job.pk, worker="test", heed=lambda: next(turns))
    tamper(
        owner_connection,
        "UPDATE transactions_currentcalculation current SET calculation_id = proposal.replaces_id"
        " FROM transactions_calculation proposal WHERE proposal.id = current.calculation_id AND proposal.replaces_id IS NOT NULL",
    )
    work(job.pk, worker="test")
    job.refresh_from_db()
    assert job.status == Job.Status.PAUSED
    assert "2 of 2 rows do not stand where the job says" in job.pause_reason


@committed
def test_a_gate_of_another_app_is_asked_after_every_stage(
    engineer: User, approver: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "_gates", dict(gates._gates))
    asked: list[SoFar] = []

    def quiet_at_first(_: Job, so_far: SoFar) -> str | None:
        asked.append(so_far)
        return None if so_far.rows < 3 else "Complaints are coming in."

    register_gate("complaints", quiet_at_first)
    _, _, job = begun(5, [1, 3], engineer, approver)
    work(job.pk, worker="test")
    job.refresh_from_db()
    assert [so_far.rows for so_far in asked] == [1, 3]
    assert job.pause_reason == "Stage 2 of 3: Complaints are coming in."
    with pytest.raises(gates.GateAlreadyRegistered):
        register_gate("complaints", lambda job, so_far: None)


@committed
def test_a_gate_that_breaks_holds_the_job_and_says_so(
    engineer: User, approver: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "_gates", dict(gates._gates))

    def broken(_: Job, __: SoFar) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT complaints FROM nowhere")

    register_gate("complaints", broken)
    _, _, job = begun(4, [1], engineer, approver)
    work(job.pk, worker="test")
    job.refresh_from_db()
    assert (job.status, job.held_at_stage) == (Job.Status.PAUSED, 0)
    assert "The gate “complaints” could not be asked (ProgrammingError: " in job.pause_reason
    work_until_ended(resume_job(job, acting_user=engineer, reason="Nobody complains."))
    job.refresh_from_db()
    assert job.status == Job.Status.FINISHED
