"""A cause, a store or outliers are left out: they are not proposed, they are counted, and the digest covers what was left out."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import Error, connection, transaction

from audit.models import AuditEntry
from audit.permission import NotPermitted
from audit.step_up import confirmed_by_operator
from remediation.apply import start_apply
from remediation.approval import OwnWork, approve
from remediation.case import ReasonMissing, edit_case
from remediation.digest import chunks_digest_in_python, digest_of, manifest_with
from remediation.exclusions import Exclusions, InvalidExclusions
from remediation.leave_out import leave_out, take_in
from remediation.models import Case, CaseRevision, Outcome, Plan
from remediation.preview import PlanUnderWay, request_preview
from remediation.retry import NotRetriable, request_retry, rows_to_retry
from remediation.stage import Stage, stage_of
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, digest, opened, previewed, verified, work_until_ended
from tests.remediation.incident import recalculate, report, totals

pytestmark = pytest.mark.usefixtures("db")

UP, DOWN = "fee up, total up", "fee down, total down"


def wrong() -> tuple[list[int], list[int]]:
    """Transactions that the target corrects upwards by 10 each, and downwards by 10 each."""
    return report(4), report(3, fee_percent=3, first=10, store="s-2")


def done(plan: Plan) -> Plan:
    work_until_ended(plan.jobs.get(kind="preview"))
    plan.refresh_from_db()
    return plan


def without(case: Case, user: User, **exclusions: Any) -> Plan:
    return done(leave_out(case, Exclusions(**exclusions), reason="They are right.", acting_user=user))


def counted(plan: Plan) -> dict[str, int]:
    assert plan.manifest is not None
    names = ("scanned", "unchanged", "proposed", "failed", "moved_since", "left_out")
    return {name: plan.manifest[name] for name in names if plan.manifest.get(name)}


def test_a_cause_is_left_out_and_counted_by_a_new_plan(engineer: User, approver: User) -> None:
    up, down = wrong()
    first = approved(previewed(engineer), approver)
    plan = without(first.case, engineer, causes=(DOWN,))
    first.refresh_from_db()
    assert first.status == Plan.Status.SUPERSEDED
    assert counted(plan) == {"scanned": 7, "proposed": 4, "left_out": 3}
    assert plan.manifest is not None
    assert plan.manifest["format"] == "plan/2"
    assert plan.manifest["exclusions"] == {"causes": [DOWN]}
    assert plan.manifest["left_out_money"] == {
        "USD:2": {"before": 3 * 1040 + 3, "after": 3 * 1030 + 3, "delta": -30, "largest": 10}
    }
    chunk = plan.chunks.get(left_out=3)
    assert chunk.left_out_sums["causes"] == {DOWN: {"count": 3, "delta": {"USD:2": -30}, "example": down[0]}}
    assert applied(approved(plan, approver), engineer).status == "finished"
    assert totals(up) == [1020, 1021, 1022, 1023]
    assert totals(down) == [1040, 1041, 1042]


def test_what_was_sealed_without_exclusions_keeps_its_format(engineer: User) -> None:
    wrong()
    manifest = previewed(engineer).manifest
    assert manifest is not None
    assert manifest["format"] == "plan/1"
    assert not manifest.keys() & {"exclusions", "left_out", "left_out_money"}


def test_stores_and_larger_changes_are_left_out_and_each_row_is_counted_once(engineer: User) -> None:
    wrong()
    report(1, first=5000, fee_percent=1)
    case = previewed(engineer).case
    plan = without(case, engineer, stores=("s-2",), larger_than={"USD:2": 10})
    assert counted(plan) == {"scanned": 8, "proposed": 4, "left_out": 4}
    sums = [chunk.left_out_sums for chunk in plan.chunks.exclude(left_out=0)]
    assert {kind for each in sums for kind in each} == {"money", "stores", "larger_than"}
    assert sum(each.get("stores", {}).get("s-2", {"count": 0})["count"] for each in sums) == 3
    assert sum(each.get("larger_than", {}).get("USD:2", {"count": 0})["count"] for each in sums) == 1


def test_the_digest_is_the_same_in_sql_and_python_and_covers_what_was_left_out(engineer: User) -> None:
    wrong()
    plan = without(previewed(engineer).case, engineer, causes=(DOWN,))
    chunks = list(plan.chunks.order_by("position"))
    made_here = chunks_digest_in_python(chunks, with_exclusions=True)
    assert plan.manifest == manifest_with(plan, chunks, made_here)
    assert digest_of(plan.manifest).hex() == digest(plan)
    chunks[-1].left_out_sums = {}
    assert chunks_digest_in_python(chunks, with_exclusions=True) != made_here


def test_asked_twice_it_is_one_revision_and_one_plan(engineer: User) -> None:
    wrong()
    case = previewed(engineer).case
    plan = leave_out(case, Exclusions(causes=(DOWN,)), reason="Right.", acting_user=engineer)
    assert leave_out(case, Exclusions(causes=(DOWN,)), reason="Right.", acting_user=engineer) == plan
    assert done(plan) == leave_out(case, Exclusions(causes=(DOWN,)), reason="Right.", acting_user=engineer)
    assert case.revisions.count() == 2
    assert case.plans.count() == 2


def test_what_was_left_out_can_be_taken_in_again(engineer: User) -> None:
    wrong()
    case = previewed(engineer).case
    without(case, engineer, causes=(DOWN,), larger_than={"USD:2": 1000})
    plan = done(
        take_in(
            case,
            Exclusions(causes=(DOWN,), larger_than={"USD:2": 0}),
            reason="Wrong after all.",
            acting_user=engineer,
        )
    )
    assert counted(plan) == {"scanned": 7, "proposed": 7}
    assert case.revisions.latest("number").exclusions == {}
    entry = AuditEntry.objects.filter(event="case.edited").latest("pk")
    assert entry.data["exclusions"] == {}
    assert (entry.data["revision"], entry.reason, entry.actor_label) == (
        3,
        "Wrong after all.",
        "test-engineer",
    )


def test_whoever_leaves_something_out_may_not_decide(engineer: User, users: UserFactory) -> None:
    wrong()
    case = previewed(engineer).case
    both = users("engineer", name="both")
    both.groups.add(users("approver").groups.get())
    without(case, both, causes=(DOWN,))
    plan = done(take_in(case, Exclusions(causes=(DOWN,)), reason="Again.", acting_user=engineer))
    with pytest.raises(OwnWork, match="You edited"):
        approve(plan, digest(plan), acting_user=both, confirmed=confirmed_by_operator(both))


def test_only_who_may_edit_and_preview_leaves_out_and_says_why(engineer: User, approver: User) -> None:
    wrong()
    case = previewed(engineer).case
    with pytest.raises(NotPermitted):
        leave_out(case, Exclusions(causes=(DOWN,)), reason="No.", acting_user=approver)
    with pytest.raises(ReasonMissing):
        leave_out(case, Exclusions(causes=(DOWN,)), reason=" ", acting_user=engineer)
    with pytest.raises(InvalidExclusions, match="It has: fee down, total down; fee up, total up"):
        leave_out(case, Exclusions(causes=("fee dwon",)), reason="No.", acting_user=engineer)
    with pytest.raises(InvalidExclusions, match="no store s-9"):
        leave_out(case, Exclusions(stores=("s-9",)), reason="No.", acting_user=engineer)
    assert (case.revisions.count(), case.plans.count()) == (1, 1)


@pytest.mark.parametrize(
    "given",
    [
        {"causes": ("",)},
        {"larger_than": {"USD": 5}},
        {"larger_than": {"USD:2": -1}},
        {"larger_than": {"USD:2": True}},
    ],
)
def test_criteria_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidExclusions):
        Exclusions(**given)


def test_nothing_is_edited_while_a_plan_is_being_applied(engineer: User, approver: User) -> None:
    wrong()
    plan = approved(previewed(engineer), approver)
    start_apply(plan, acting_user=engineer)
    with pytest.raises(PlanUnderWay):
        edit_case(plan.case, leave_out=Exclusions(causes=(DOWN,)), reason="No.", acting_user=engineer)
    assert plan.case.revisions.count() == 1


def test_a_verification_finds_the_rest_excluded_and_nothing_left(engineer: User, approver: User) -> None:
    _, down = wrong()
    plan = without(previewed(engineer).case, engineer, causes=(DOWN,))
    applied(approved(plan, approver), engineer)
    result = verified(plan.case, engineer)
    assert (result["differing"], result["excluded"], result["problems"]) == (0, 3, [])
    assert result["classes"]["excluded"] == {"rows": 3, "money": {"USD:2": -30}}
    found = Outcome.objects.filter(kind="excluded").order_by("transaction_id")
    assert [each.transaction_id for each in found] == down
    assert {each.reason for each in found} == {f"The case leaves out the cause “{DOWN}”."}
    assert stage_of(plan.case) == Stage.VERIFIED


def test_a_retry_leaves_out_what_its_plan_does(engineer: User, approver: User) -> None:
    up, _ = wrong()
    plan = approved(without(previewed(engineer).case, engineer, causes=(DOWN,)), approver)
    recalculate(up[0], fee_percent=5, at=plan.requested_at)
    applied(plan, engineer)
    retry = done(request_retry(plan, acting_user=engineer))
    assert counted(retry) == {"scanned": 1, "left_out": 1}


def test_what_was_edited_since_is_not_tried_again_as_it_was(engineer: User, approver: User) -> None:
    up, _ = wrong()
    plan = approved(previewed(engineer), approver)
    recalculate(up[0], fee_percent=5, at=plan.requested_at)
    applied(plan, engineer)
    plan.refresh_from_db()
    assert rows_to_retry(plan) == 1
    without(plan.case, engineer, causes=(DOWN,))
    assert rows_to_retry(plan) == 0
    with pytest.raises(NotRetriable, match="preview the case again"):
        request_retry(plan, acting_user=engineer)


def test_the_database_takes_no_rows_left_out_of_a_plan_whose_case_leaves_nothing_out(engineer: User) -> None:
    wrong()
    plan = request_preview(opened(engineer), acting_user=engineer)
    with (
        pytest.raises(Error, match="leaves nothing out"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE remediation_planchunk SET left_out = 1 WHERE plan_id = %s", [plan.pk])
    revision = CaseRevision.objects.get()
    with pytest.raises(Error), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            'UPDATE remediation_caserevision SET exclusions = \'{"stores": ["s-1"]}\' WHERE id = %s',
            [revision.pk],
        )
