"""The buttons to leave something out and to take it in again, and what pages say of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from remediation.models import Plan
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, verified, work_until_ended
from tests.remediation.incident import START, report

pytestmark = pytest.mark.usefixtures("db")

DOWN = "fee down, total down"


@pytest.fixture
def plan(engineer: User) -> Plan:
    report(4)
    report(3, fee_percent=3, first=10, store="s-2")
    return previewed(engineer)


def press(client: Client, plan: Plan, button: str, **fields: Any) -> Any:
    return client.post(f"/remediation/case/{plan.case_id}/{button}/", fields, follow=True)


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def test_a_cause_is_left_out_from_the_plan_page_and_taken_in_again_from_the_next(
    client: Client, engineer: User, plan: Plan
) -> None:
    client.force_login(engineer)
    page = client.get(f"/remediation/plan/{plan.pk}/").content.decode()
    assert "Leave out 3 transactions" in page
    answer = press(client, plan, "leave_out", cause=DOWN, reason="Agreed so.", standing=plan.pk)
    assert f"it leaves out the cause “{DOWN}”" in said(answer)
    newer = Plan.objects.latest("pk")
    work_until_ended(newer.jobs.get())
    page = client.get(f"/remediation/plan/{newer.pk}/").content.decode()
    assert "Left out" in page
    assert f"Cause “{DOWN}”" in page
    case_page = client.get(f"/remediation/case/{plan.case_id}/").content.decode()
    assert "What is left out" in case_page
    assert "Take in again" in case_page
    assert "Agreed so." in case_page
    press(client, plan, "take_in", cause=DOWN, reason="No.", standing=newer.pk)
    assert plan.case.revisions.latest("number").exclusions == {}


def test_outliers_are_left_out_by_an_amount(client: Client, engineer: User, plan: Plan) -> None:
    client.force_login(engineer)
    press(client, plan, "leave_out", amount="0.05", currency="USD:2", reason="Look first.", standing=plan.pk)
    assert plan.case.revisions.latest("number").exclusions == {"larger_than": {"USD:2": 5}}
    newer = Plan.objects.latest("pk")
    press(client, plan, "take_in", larger_than="USD:2", reason="Looked.", standing=newer.pk)
    assert plan.case.revisions.latest("number").exclusions == {}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "Name a cause"),
        ({"cause": DOWN, "reason": ""}, "Say why"),
        ({"cause": "nonsense"}, "has no cause"),
        ({"amount": "much", "currency": "USD:2"}, "much"),
        ({"amount": "1", "currency": "dollars"}, "no limit"),
        ({"larger_than": "USD:2"}, "no limit"),
        ({"cause": DOWN, "standing": ""}, "not as your page showed"),
    ],
)
def test_what_cannot_be_left_out_is_told_and_nothing_changes(
    client: Client, engineer: User, plan: Plan, fields: dict[str, str], why: str
) -> None:
    client.force_login(engineer)
    answer = press(client, plan, "leave_out", **{"reason": "So.", "standing": plan.pk} | fields)
    assert why in said(answer)
    assert (plan.case.revisions.count(), plan.case.plans.count()) == (1, 1)


def test_who_may_not_edit_sees_no_button(client: Client, users: UserFactory, plan: Plan) -> None:
    for role in ("support", "approver", "auditor"):
        client.force_login(users(role))
        assert "Leave out 3" not in client.get(f"/remediation/plan/{plan.pk}/").content.decode()
        assert "lacks the permission" in said(
            press(client, plan, "leave_out", cause=DOWN, reason="So.", standing=plan.pk)
        )


def test_what_arrived_since_is_told_with_a_follow_up_plan_on_offer(
    client: Client, engineer: User, approver: User, plan: Plan
) -> None:
    applied(approved(plan, approver), engineer)
    report(2, first=50, start=START + timedelta(hours=1))
    verified(plan.case, engineer)
    client.force_login(engineer)
    page = client.get(f"/remediation/case/{plan.case_id}/").content.decode()
    assert "2 transactions arrived after the last applied plan was previewed" in page
    assert "Preview a follow-up plan" in page
    press(client, plan, "preview", standing="")
    follow_up = Plan.objects.latest("pk")
    work_until_ended(follow_up.jobs.get())
    follow_up.refresh_from_db()
    assert follow_up.manifest is not None
    assert follow_up.manifest["proposed"] == 2


def test_a_case_comes_to_look_at_something_else(client: Client, engineer: User, plan: Plan) -> None:
    client.force_login(engineer)
    assert 'value="payments"' in client.get(f"/remediation/case/{plan.case_id}/").content.decode()
    fields = {"services": "payments", "versions": "1.0.0", "stores": "s-2, s-1,", "target_version": "3.0.0"}
    press(client, plan, "edit", reason="Three percent.", standing=plan.pk, total_from="10.10", **fields)
    revision = plan.case.revisions.latest("number")
    assert (revision.number, revision.target_version, revision.edited_by) == (2, "3.0.0", engineer)
    assert revision.criteria == {
        "calculator": "fee",
        "services": ["payments"],
        "versions": ["1.0.0"],
        "stores": ["s-1", "s-2"],
        "total_from": "10.1",
    }
    newer = Plan.objects.latest("pk")
    work_until_ended(newer.jobs.get())
    newer.refresh_from_db()
    assert newer.manifest is not None
    assert (newer.manifest["target_version"], newer.manifest["format"]) == ("3.0.0", "plan/1")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"calculated_from": "yesterday"}, "no time or amount"),
        ({"calculated_from": "2026-03-02T08:00:00"}, "explicit offset"),
        ({"versions": "9.9.9"}, "No release matches"),
        ({"target_version": "9.9.9"}, "9.9.9"),
        ({"total_from": "ten"}, "total_from"),
        ({"reason": ""}, "Say why"),
    ],
)
def test_an_edit_that_makes_no_sense_is_told_and_nothing_changes(
    client: Client, engineer: User, plan: Plan, fields: dict[str, str], why: str
) -> None:
    client.force_login(engineer)
    same = {"services": "payments", "versions": "1.0.0", "reason": "So.", "standing": str(plan.pk)}
    answer = press(client, plan, "edit", **(same | {"target_version": "3.0.0"} | fields))
    assert why in said(answer)
    plan.refresh_from_db()
    assert (plan.case.revisions.count(), plan.status) == (1, Plan.Status.READY)
