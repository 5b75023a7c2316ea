"""Services go on reporting while plans are previewed, applied and taken back."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from remediation.models import Outcome, Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from remediation.runner import work
from tests.remediation.driving import (
    applied,
    approved,
    opened,
    previewed,
    verified,
    work_until_ended,
)
from tests.remediation.incident import START, fee, pointers, recalculate, report, totals
from tests.remediation.tampering import tamper
from transactions.models import Supersession
from transactions.selection import Selection

pytestmark = pytest.mark.usefixtures("committed_db")


def reverted(plan: Plan, engineer: User, approver: User) -> Plan:
    revert = request_revert(plan.case, acting_user=engineer)
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    assert revert.status == Plan.Status.READY, revert.failure
    if revert.manifest["proposed"]:
        applied(approved(revert, approver), engineer)
    return revert


def test_a_newer_report_moves_the_pointer_and_an_older_or_equal_one_does_not() -> None:
    (transaction,) = report(1)
    newer = recalculate(transaction, fee_percent=5, at=START + timedelta(hours=2))
    assert pointers([transaction])[transaction] == newer
    recalculate(transaction, fee_percent=7, at=START + timedelta(hours=1))
    assert pointers([transaction])[transaction] == newer
    moves = list(Supersession.objects.values_list("superseded_by_id", "of_correction"))
    assert moves == [(newer, False)]


def test_a_replayed_old_result_never_undoes_a_correction_and_a_newer_one_is_flagged(
    engineer: User, approver: User
) -> None:
    ids = report(3)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    recalculate(ids[0], fee_percent=9, at=START + timedelta(hours=1))
    assert totals(ids)[0] == fee(1000, 2)
    now = plan.requested_at + timedelta(milliseconds=1)
    recalculate(ids[1], fee_percent=9, at=now)
    assert totals(ids) == [fee(1000, 2), fee(1001, 9), fee(1002, 2)]
    flagged = Supersession.objects.get(of_correction=True)
    assert flagged.transaction_id == ids[1]
    result = verified(plan.case, engineer)
    assert result["problems"] == []
    assert {name: part["rows"] for name, part in result["classes"].items() if part["rows"]} == {
        "matches": 2,
        "superseded": 1,
    }


def test_a_revert_leaves_alone_what_has_moved_on_and_never_hides_a_newer_report(
    engineer: User, approver: User
) -> None:
    ids = report(4)
    before = pointers(ids)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    recalculate(ids[0], fee_percent=9, at=START + timedelta(hours=1))  # held back by the correction
    moved_on = recalculate(ids[1], fee_percent=9, at=plan.requested_at + timedelta(milliseconds=1))
    revert = reverted(plan, engineer, approver)
    counts = {name: revert.manifest[name] for name in ("scanned", "proposed", "failed", "moved_since")}
    assert counts == {"scanned": 4, "proposed": 2, "failed": 1, "moved_since": 1}
    held_back = Outcome.objects.get(kind="failed")
    assert held_back.transaction_id == ids[0]
    assert "newer calculation" in held_back.reason
    assert totals(ids)[0] == fee(1000, 2)
    assert pointers(ids) == before | {ids[0]: pointers(ids)[ids[0]], ids[1]: moved_on}
    assert verified(plan.case, engineer)["problems"] == []


def test_what_arrives_after_the_preview_is_left_out_and_reported(engineer: User, approver: User) -> None:
    report(5)
    plan = previewed(engineer)
    late = report(2, first=5)
    applied(approved(plan, approver), engineer)
    assert totals(late) == [fee(1005, 1), fee(1006, 1)]
    result = verified(plan.case, engineer)
    assert result["problems"] == []
    assert result["classes"]["arrived_since"]["rows"] == 2
    assert result["differing"] == 2
    follow_up = request_preview(plan.case, acting_user=engineer)
    work_until_ended(follow_up.jobs.get(kind="preview"))
    follow_up.refresh_from_db()
    applied(approved(follow_up, approver), engineer)
    result = verified(plan.case, engineer)
    assert (result["differing"], result["reconciled"]) == (0, True), result


def scan_one_chunk(plan: Plan) -> None:
    turns = iter((True, False))
    work(plan.jobs.get(kind="preview").pk, worker="test", heed=lambda: next(turns))


def test_what_is_recalculated_between_two_chunks_is_in_the_plan_once(engineer: User, settings) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(4)
    plan = request_preview(opened(engineer), acting_user=engineer)
    scan_one_chunk(plan)
    recalculate(
        ids[0], fee_percent=1, at=START + timedelta(days=2)
    )  # moves into a part that is yet to be scanned
    work_until_ended(plan.jobs.get())
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY, plan.failure
    assert plan.manifest["proposed"] == 4


def test_a_preview_that_met_a_transaction_twice_is_given_up(engineer: User, approver: User) -> None:
    ids = report(3)
    first = approved(previewed(engineer), approver)
    both = Selection("fee", services=("payments",), versions=("1.0.0", "2.0.0"))
    second = request_preview(opened(engineer, target="3.0.0", selection=both), acting_user=engineer)
    scan_one_chunk(second)
    applied(first, engineer)  # moves what was scanned to calculations that the second chunk covers
    work_until_ended(second.jobs.get())
    second.refresh_from_db()
    assert second.status == Plan.Status.FAILED
    assert second.failure.startswith("3 transactions were recalculated while the preview ran")
    assert totals(ids) == [fee(1000 + i, 2) for i in range(3)]


def test_overlapping_cases_do_not_overwrite_each_other_and_both_reconcile(
    engineer: User, approver: User
) -> None:
    ids = report(6)
    first = approved(previewed(engineer), approver)
    second = approved(previewed(engineer, target="3.0.0", reason="Another view of it."), approver)
    applied(first, engineer)
    job = applied(second, engineer)
    assert totals(ids) == [fee(1000 + i, 2) for i in range(6)]
    assert Outcome.objects.filter(job=job, kind="conflict").count() == 6
    result = verified(second.case, engineer)
    assert result["problems"] == []
    (sums,) = result["plans"]
    assert (sums["previewed"]["rows"], sums["applied"]["rows"], sums["conflicts"]["rows"]) == (6, 0, 6)
    assert sums["previewed"]["money"] == sums["conflicts"]["money"]
    assert verified(first.case, engineer)["reconciled"] is True


@pytest.mark.parametrize(
    "corruption",
    [
        "UPDATE transactions_currentcalculation SET calculation_id = (SELECT replaces_id FROM transactions_calculation"
        " WHERE id = calculation_id) WHERE transaction_id = {0}",
        "UPDATE transactions_currentcalculation SET calculation_id = (SELECT max(id) FROM transactions_calculation)"
        " WHERE transaction_id = {0}",
        "DELETE FROM transactions_currentcalculation WHERE transaction_id = {0}",
        "UPDATE transactions_calculation SET total = total + 1,"
        " amounts = jsonb_set(amounts, '{{total}}', to_jsonb(total + 1))"
        " WHERE transaction_id = {0} AND plan_chunk_id IS NOT NULL",
        "UPDATE transactions_calculation SET total = total + 1,"
        " amounts = jsonb_set(amounts, '{{total}}', to_jsonb(total + 1)) WHERE transaction_id = {0} AND plan_chunk_id IS NULL",
        "DELETE FROM transactions_calculation WHERE transaction_id = {0} AND plan_chunk_id IS NOT NULL",
        'UPDATE transactions_transaction SET inputs = \'{{"net": "1.00"}}\' WHERE id = {0}',
        "UPDATE audit_auditentry SET data = jsonb_set(data, '{{applied}}', '99') WHERE event = 'chunk.applied'",
        "DELETE FROM audit_auditentry WHERE event = 'chunk.applied'",
    ],
)
def test_reconciled_is_false_where_a_pointer_or_a_row_or_an_entry_was_corrupted(
    engineer: User, approver: User, owner_connection, corruption: str
) -> None:
    ids = report(4)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    assert verified(plan.case, engineer)["reconciled"] is True
    tamper(owner_connection, corruption.format(ids[1]))
    result = verified(plan.case, engineer)
    assert result["reconciled"] is False
    assert result["problems"]


def test_reconciled_is_false_where_a_transaction_is_gone_that_no_plan_touched(
    engineer: User, approver: User, owner_connection
) -> None:  # type: ignore[no-untyped-def]
    report(2)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    (late,) = report(1, first=2)
    tamper(owner_connection, f"DELETE FROM transactions_transaction WHERE id = {late}")
    assert verified(plan.case, engineer)["problems"] == [
        "1 transactions in scope are gone, or have facts or a pointer that no record explains."
    ]
