"""A small incident, from preview to revert, by the functions that pages, commands and tasks call."""

from datetime import timedelta

import pytest

from audit.models import AuditEntry
from remediation.models import Job, Outcome, Plan
from remediation.revert import request_revert
from remediation.runner import work
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, verified
from tests.remediation.incident import START, fee, pointers, recalculate, report, totals

pytestmark = pytest.mark.usefixtures("committed_db")


def test_a_preview_changes_nothing_that_anybody_reads(users: UserFactory) -> None:
    ids = report(20)
    before = pointers(ids)
    plan = previewed(users("engineer"))
    assert plan.status == Plan.Status.READY, plan.failure
    assert pointers(ids) == before
    assert plan.manifest["proposed"] == 20
    assert plan.manifest["unchanged"] == 0
    expected = sum(fee(1000 + i, 2) - fee(1000 + i, 1) for i in range(20))
    assert plan.manifest["money"]["USD:2"]["delta"] == expected


def test_apply_verify_and_revert_are_exact_and_audited(users: UserFactory, settings) -> None:  # type: ignore[no-untyped-def]
    settings.AMENDS_PLAN_CHUNK_ROWS = 7
    ids = report(20)
    before = pointers(ids)
    engineer, approver = users("engineer"), users("approver")
    plan = approved(previewed(engineer), approver)
    assert plan.status == Plan.Status.APPROVED
    job = applied(plan, engineer)
    assert job.status == Job.Status.FINISHED, job.failure
    assert totals(ids) == [fee(1000 + i, 2) for i in range(20)]
    entries = AuditEntry.objects.filter(event="chunk.applied")
    assert sum(entry.data["applied"] for entry in entries) == 20
    assert sum(entry.data["money"]["USD:2"] for entry in entries) == plan.manifest["money"]["USD:2"]["delta"]

    result = verified(plan.case, engineer)
    assert result["problems"] == []
    assert result["reconciled"] is True
    assert result["differing"] == 0

    revert = request_revert(plan.case, acting_user=engineer)
    work(revert.jobs.get(kind="preview").pk, worker="test")
    revert.refresh_from_db()
    assert revert.status == Plan.Status.READY, revert.failure
    assert revert.manifest["proposed"] == 20
    assert pointers(ids) != before
    applied(approved(revert, approver), engineer)
    assert pointers(ids) == before
    result = verified(plan.case, engineer)
    assert result["problems"] == []
    assert result["differing"] == 20

    reapply = request_revert(plan.case, acting_user=engineer, plan=revert)
    assert reapply.kind == Plan.Kind.REAPPLY
    work(reapply.jobs.get(kind="preview").pk, worker="test")
    reapply.refresh_from_db()
    applied(approved(reapply, approver), engineer)
    assert totals(ids) == [fee(1000 + i, 2) for i in range(20)]
    result = verified(plan.case, engineer)
    assert result["problems"] == []
    assert result["differing"] == 0


def test_what_its_service_recalculated_since_is_a_conflict_and_not_overwritten(users: UserFactory) -> None:
    ids = report(10)
    engineer, approver = users("engineer"), users("approver")
    plan = approved(previewed(engineer), approver)
    newer = recalculate(ids[3], fee_percent=5, at=START + timedelta(days=1))
    job = applied(plan, engineer)
    assert job.status == Job.Status.FINISHED
    assert pointers(ids)[ids[3]] == newer
    assert totals(ids)[3] == fee(1003, 5)
    conflict = Outcome.objects.get(kind="conflict")
    assert conflict.transaction_id == ids[3]
    assert "service recalculated" in conflict.reason
    result = verified(plan.case, engineer)
    assert result["problems"] == []
    assert result["classes"]["conflict"]["rows"] == 1
    assert result["differing"] == 1


@pytest.mark.parametrize(
    ("target", "failed", "reason"),
    [
        ("raises-on-odd", 5, "An odd net amount has no fee."),
        ("forgetful", 10, "answers differently when asked twice"),
        ("fractional", 10, "not a whole number"),
    ],
)
def test_a_row_that_the_calculator_cannot_do_is_listed_and_the_rest_goes_on(
    users: UserFactory, target: str, failed: int, reason: str
) -> None:
    report(10)
    plan = previewed(users("engineer"), target=target)
    assert plan.status == Plan.Status.READY, plan.failure
    assert (plan.manifest["proposed"], plan.manifest["failed"]) == (10 - failed, failed)
    outcomes = list(Outcome.objects.filter(kind="failed"))
    assert len(outcomes) == failed
    assert all(reason in outcome.reason for outcome in outcomes)
