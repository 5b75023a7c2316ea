"""Taking back what stands on other corrections, was stopped part of the way, or would hide what a service reported."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from remediation.apply import start_apply
from remediation.conclusion import fail_job
from remediation.models import Case, Job, Outcome, Plan
from remediation.preview import RevertOpen, request_preview
from remediation.revert import NothingToRevert, request_revert
from remediation.runner import work
from remediation.stage import Stage, stage_of
from tests.remediation.driving import applied, approved, previewed, verified, work_until_ended
from tests.remediation.incident import START, fee, recalculate, report, totals
from transactions.selection import Selection

pytestmark = pytest.mark.usefixtures("committed_db")

CORRECTED = Selection("fee", services=("payments",), versions=("2.0.0",))
"""What stands on the corrections of a first case, for a second one to correct again."""


def planned_back(case: Case, engineer: User, plan: Plan | None = None) -> Plan:
    revert = request_revert(case, acting_user=engineer, plan=plan)
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    assert revert.status == Plan.Status.READY, revert.failure
    return revert


def manifest(plan: Plan, *names: str) -> tuple[Any, ...]:
    assert plan.manifest is not None
    return tuple(plan.manifest[name] for name in names)


def stop_after_one_chunk(job: Job) -> None:
    turns = iter((True, False))
    work(job.pk, worker="test", heed=lambda: next(turns))
    fail_job(job, "A test stopped it.")


def test_a_correction_on_a_correction_is_not_taken_back_over_a_report_between_the_two(
    engineer: User, approver: User
) -> None:
    ids = report(3)
    first = approved(previewed(engineer), approver)
    applied(first, engineer)
    second = approved(
        previewed(engineer, target="3.0.0", selection=CORRECTED, reason="Still too low."), approver
    )
    applied(second, engineer)
    between = first.requested_at + (second.requested_at - first.requested_at) / 2
    recalculate(ids[0], fee_percent=7, at=between)  # newer than the first correction, held back by the second
    revert = planned_back(second.case, engineer)
    assert manifest(revert, "proposed", "failed") == (2, 1)
    assert "going back would hide it" in Outcome.objects.get(kind="failed").reason
    applied(approved(revert, approver), engineer)
    assert totals(ids) == [fee(1000, 3), fee(1001, 2), fee(1002, 2)]
    for case in (first.case, second.case):
        assert verified(case, engineer)["problems"] == []


def test_a_report_between_a_reverts_preview_and_its_apply_is_not_hidden(
    engineer: User, approver: User
) -> None:
    ids = report(3)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    revert = approved(planned_back(plan.case, engineer), approver)
    recalculate(ids[1], fee_percent=9, at=START + timedelta(hours=1))  # held back by the correction
    job = applied(revert, engineer)
    assert job.status == Job.Status.FINISHED
    assert totals(ids) == [1010, fee(1001, 2), 1012]
    conflict = Outcome.objects.get(kind="conflict")
    assert (conflict.transaction_id, conflict.job_id) == (ids[1], job.pk)
    assert "going back would hide it" in conflict.reason
    assert job.chunks.get().result == {
        "applied": 2,
        "conflicts": 1,
        "money": {"USD:2": 1010 + 1012 - fee(1000, 2) - fee(1002, 2)},
    }
    assert verified(plan.case, engineer)["problems"] == []


def test_what_a_stopped_revert_left_can_still_be_taken_back(engineer: User, approver: User, settings) -> None:  # type: ignore[no-untyped-def]
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(6)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    revert = approved(planned_back(plan.case, engineer), approver)
    stop_after_one_chunk(start_apply(revert, acting_user=engineer))
    assert totals(ids) == [1010, 1011, *(fee(1000 + i, 2) for i in range(2, 6))]
    rest = planned_back(plan.case, engineer)
    assert rest.source_plan_id == plan.pk
    assert manifest(rest, "scanned", "proposed", "moved_since") == (6, 4, 2)
    applied(approved(rest, approver), engineer)
    assert totals(ids) == [1010 + i for i in range(6)]
    assert verified(plan.case, engineer)["problems"] == []
    with pytest.raises(NothingToRevert):
        request_revert(plan.case, acting_user=engineer)


def test_what_another_case_covered_when_it_was_taken_back_can_be_taken_back_later(
    engineer: User, approver: User
) -> None:
    ids = report(2)
    others = report(1, first=2, store="s-2")
    below = approved(previewed(engineer), approver)
    applied(below, engineer)
    in_store = Selection("fee", services=("payments",), versions=("2.0.0",), stores=("s-1",))
    above = approved(
        previewed(engineer, target="3.0.0", selection=in_store, reason="Higher in this store."), approver
    )
    applied(above, engineer)
    revert = planned_back(below.case, engineer)
    assert manifest(revert, "proposed", "moved_since") == (1, 2)
    applied(approved(revert, approver), engineer)
    with pytest.raises(NothingToRevert):
        request_revert(below.case, acting_user=engineer)
    applied(approved(planned_back(above.case, engineer), approver), engineer)
    assert totals(ids + others) == [fee(1000, 2), fee(1001, 2), 1012]
    rest = planned_back(below.case, engineer)
    assert manifest(rest, "proposed", "moved_since") == (2, 1)
    applied(approved(rest, approver), engineer)
    assert totals(ids + others) == [1010, 1011, 1012]
    for case in (below.case, above.case):
        assert verified(case, engineer)["problems"] == []
    with pytest.raises(NothingToRevert):
        request_revert(below.case, acting_user=engineer)


def test_who_asks_for_a_revert_is_not_given_an_open_reapply(engineer: User, approver: User) -> None:
    report(2)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    revert = planned_back(plan.case, engineer)
    applied(approved(revert, approver), engineer)
    reapply = planned_back(plan.case, engineer, plan=revert)
    assert reapply.kind == Plan.Kind.REAPPLY
    with pytest.raises(NothingToRevert):
        request_revert(plan.case, acting_user=engineer)
    assert request_revert(plan.case, acting_user=engineer, plan=revert) == reapply


def test_who_asks_for_a_preview_is_not_given_an_open_revert(engineer: User, approver: User) -> None:
    report(2)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    revert = planned_back(plan.case, engineer)
    for again in (False, True):
        with pytest.raises(RevertOpen, match="has to be decided or replaced"):
            request_preview(plan.case, acting_user=engineer, again=again)
    revert.refresh_from_db()
    assert revert.status == Plan.Status.READY


def test_a_plan_with_nothing_in_it_stands_in_nobodys_way(engineer: User, approver: User) -> None:
    ids = report(2)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    for row, known in enumerate(ids):
        recalculate(known, fee_percent=5, at=plan.requested_at + timedelta(milliseconds=1 + row))
    revert = planned_back(plan.case, engineer)
    assert manifest(revert, "proposed", "moved_since") == (0, 2)
    assert stage_of(plan.case) == Stage.APPLIED
    again = request_preview(plan.case, acting_user=engineer)
    assert again.kind == Plan.Kind.APPLY
    revert.refresh_from_db()
    assert revert.status == Plan.Status.SUPERSEDED
