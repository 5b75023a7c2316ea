"""Deciding on a plan in the browser: what is shown, who may, with a password, and with the number typed where there are many."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from remediation.models import Job, Plan, PlanChunkFigures
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import approved, digest, previewed
from tests.remediation.incident import report

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def plan(engineer: User) -> Plan:
    report(3)
    return previewed(engineer)


@pytest.fixture
def ben(users: UserFactory) -> Client:
    client = Client()
    client.force_login(users("approver", name="ben"))
    return client


def decided(client: Client, plan: Plan, action: str = "approve", **fields: str) -> str:
    """What the page that comes next says, after a button was pressed."""
    answer = client.post(
        reverse(f"admin:remediation_plan_{action}", args=[plan.pk]),
        {"digest": digest(plan), "password": PASSWORD, **fields},
        follow=True,
    )
    return answer.content.decode()


def page(client: Client, plan: Plan) -> str:
    return client.get(reverse("admin:remediation_plan_decide", args=[plan.pk])).content.decode()


def test_it_shows_what_would_change_what_the_policy_asks_and_who_may(
    plan: Plan, ben: Client, users: UserFactory
) -> None:
    cleo = users("approver", name="cleo")
    both = users("approver", name="test-engineer")
    both.groups.add(cleo.groups.get())
    shown = page(ben, plan)
    assert "Approve 3 corrections, USD\N{NO-BREAK SPACE}+0.30 in all" in shown
    assert digest(plan) in shown
    assert "0 of 1 approval." in shown
    who = shown.split("Who may decide")[1].split("</details>")[0]
    for name in ("ben", "cleo"):
        assert f'<li>{name} <span class="badge waiting">may decide</span>' in who
    assert '<li>test-engineer <span class="quiet">may not: asked for the plan</span>' in who


def test_it_leads_to_the_largest_change_and_says_who_paid_too_much(plan: Plan, ben: Client) -> None:
    shown = page(ben, plan)
    (largest,) = PlanChunkFigures.objects.get(plan_chunk__plan=plan).spread["USD:2"]["largest"][:1]
    assert largest[0] == 10
    address = reverse("admin:transactions_transaction_change", args=[largest[2]])
    assert "0.10" in shown.split(f'<a href="{address}">')[1].split("</a>")[0]
    assert "approving it would be in vain" not in shown
    assert "What it means for customers" in shown


def test_a_plan_that_is_no_longer_fresh_says_so_before_anybody_decides(
    engineer: User, ben: Client, settings: Any
) -> None:
    report(3)
    settings.AMENDS_APPROVAL_POLICY = {"fresh_hours": 0}
    assert "approving it would be in vain" in page(ben, previewed(engineer))


def test_who_may_decide_comes_first_and_superusers_are_told_too(
    plan: Plan, ben: Client, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediation.admin.decide.MOST_PEOPLE", 2)
    both = users("approver", name="test-engineer")
    both.groups.add(users("approver", name="zoe").groups.get())
    User.objects.create_superuser("root", password=PASSWORD)
    who = page(ben, plan).split("Who may decide")[1].split("</details>")[0]
    assert [name for name in ("ben", "root", "zoe", "test-engineer") if f"<li>{name} " in who] == [
        "ben",
        "root",
    ]
    assert "There are more." in who


def test_with_the_right_password_it_is_approved_and_the_trail_says_how_it_was_confirmed(
    plan: Plan, ben: Client
) -> None:
    assert "An engineer can apply it now." in decided(ben, plan, comment="As agreed.")
    plan.refresh_from_db()
    assert plan.status == Plan.Status.APPROVED
    entry = AuditEntry.objects.get(event="plan.approved")
    assert entry.data == {
        "digest": digest(plan),
        "comment": "As agreed.",
        "status": "approved",
        "confirmed_by": "password",
    }
    assert PASSWORD not in str(entry.data)


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize("password", ["", "guess"])
def test_without_it_nothing_is_decided_and_the_page_is_there_again(
    plan: Plan, ben: Client, action: str, password: str
) -> None:
    shown = decided(ben, plan, action, password=password, comment="No.")
    assert "Nothing was done" in shown
    assert "Decide on Plan" in shown
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY
    assert not plan.approvals.exists()


def test_above_the_policys_limit_the_number_of_corrections_is_typed_to_approve_and_to_apply(
    engineer: User, ben: Client, settings: Any
) -> None:
    settings.AMENDS_APPROVAL_POLICY = {"typed_above": 1000}
    report(1001)
    plan = previewed(engineer)
    assert "Type how many corrections it makes: 1,001" in page(ben, plan)
    for typed in ("", "1000", "1,001 corrections"):
        assert "Nothing was done: type how many" in decided(ben, plan, typed=typed)
    assert "An engineer can apply it now." in decided(ben, plan, typed="1,001")
    ana = Client()
    ana.force_login(engineer)
    assert "Nothing was done: type how many" in decided(ana, plan, "apply", typed="")
    assert not Job.objects.filter(kind="apply").exists()
    decided(ana, plan, "apply", typed="1001")
    assert Job.objects.filter(kind="apply").exists()


def test_where_there_is_nothing_to_decide_it_leads_to_the_plan_which_says_why(
    plan: Plan, ben: Client, engineer: User, users: UserFactory
) -> None:
    ana = Client()
    ana.force_login(engineer)
    address = reverse("admin:remediation_plan_decide", args=[plan.pk])
    answer = ana.get(address, follow=True)
    assert answer.redirect_chain[-1][0] == reverse("admin:remediation_plan_change", args=[plan.pk])
    assert "Your role does not decide on plans" in answer.content.decode()
    approved(plan, users("approver", name="cleo"))
    assert ben.get(address).status_code == 302


def test_the_policy_page_says_what_is_in_force_and_who_has_what(
    ben: Client, engineer: User, settings: Any
) -> None:
    settings.AMENDS_APPROVAL_POLICY = {"approvals_for_large": 2, "large_money": {"CHF": "5000.00"}}
    shown = ben.get("/policy/").content.decode()
    assert "where totals change by more than CHF 5000.00" in shown
    assert "test-engineer" in shown.split("<strong>engineer</strong>")[1].split("</tr>")[0]
    assert "never signed in" in shown
