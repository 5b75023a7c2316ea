"""The page of policy and people: what is asked, when that changed, what waits for whom, and who may do what."""

from dataclasses import fields
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from backoffice import policy_page
from remediation.models import Plan
from remediation.policy import Policy
from tests.conftest import UserFactory
from tests.page_text import words
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import report

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def reader(client: Client, users: UserFactory) -> Client:
    client.force_login(users("auditor", name="carl"))
    return client


def page(reader: Client) -> str:
    answer = reader.get("/policy/")
    assert answer.status_code == 200
    return answer.content.decode()


def part(html: str, heading: str) -> str:
    return words(html.split(f">{heading}</h2>")[1].split("<h2")[0])


def role(html: str, name: str) -> str:
    return words(html.split(f'<th scope="row"><strong>{name}</strong>')[1].split("</tr>")[0])


def test_every_rule_of_the_policy_has_its_words() -> None:
    assert set(policy_page.RULES) == {each.name for each in fields(Policy)}


def test_a_change_of_rules_is_told_from_what_to_what_and_by_which_plan(
    reader: Client, engineer: User, settings: Any
) -> None:
    report(2)
    settings.AMENDS_APPROVAL_POLICY = {"large_count": 5000}
    previewed(engineer, reason="One.")
    settings.AMENDS_APPROVAL_POLICY = {
        "approvals_for_large": 2,
        "large_count": 5000,
        "large_money": {"USD": "100.00", "EUR": "90"},
    }
    second = previewed(engineer, reason="Two.")
    settings.AMENDS_APPROVAL_POLICY = {"large_count": 20_000}
    told = part(page(reader), "When it changed")
    assert "Approvals of a large plan: 1 → 2" in words(told)
    assert f"{second}" in told
    assert "Large where totals change by more than: no limit → EUR 90, USD 100.00" in told
    # What is in force by now stands before it: no plan was previewed under it yet.
    next_plan, first_under = told.split(f"{second}")
    assert "The next plan" in next_plan
    assert "Large above so many corrections: 5,000 → 20,000" in next_plan
    assert "Large above" not in first_under
    assert "large_count" not in told
    assert "There are more plans" not in told


def test_a_policy_that_never_changed_says_so_and_how_far_was_looked(
    reader: Client, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(2)
    for reason in ("One.", "Two."):
        previewed(engineer, reason=reason)
    assert "Not since the first plan." in part(page(reader), "When it changed")
    monkeypatch.setattr(policy_page, "MOST_PLANS", 1)
    told = part(page(reader), "When it changed")
    assert "Not within the newest 1 plans." in told
    assert "There are more plans: only the newest 1 were looked through." in told


def test_who_may_decide_on_what_waits_is_told_by_name(
    reader: Client, engineer: User, users: UserFactory
) -> None:
    report(2)
    plan = previewed(engineer)
    users("approver", name="ben")
    both = users("approver", name="cleo")
    Group.objects.get(name="approver").user_set.add(engineer)
    told = part(page(reader), "What waits for a decision, and whose")
    assert f"{plan}" in told
    assert "May decide: ben , cleo" in told
    assert "test-engineer" not in told  # who asked for it
    assert "0 of 1 approval." in told
    User.objects.filter(username__in=["ben"]).update(is_active=False)
    User.objects.filter(pk=both.pk).update(is_superuser=True)
    assert "May decide: cleo superuser" in part(page(reader), "What waits for a decision, and whose")
    User.objects.filter(pk=both.pk).update(is_active=False)
    assert "Nobody may: whoever has the role asked for it" in page(reader)


def test_the_reader_who_may_decide_is_told_so(
    client: Client, engineer: User, approver: User, users: UserFactory
) -> None:
    report(2)
    plan = previewed(engineer)
    client.force_login(approver)
    assert "test-approver you" in part(page(client), "What waits for a decision, and whose")
    approved(plan, approver)
    assert "None." in part(page(client), "What waits for a decision, and whose")


def test_lists_that_are_cut_say_exactly_that_there_are_more(
    reader: Client, engineer: User, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(2)
    for number in range(2):
        previewed(engineer, reason=f"No. {number}.")
        users("approver", name=f"approver-{number}")
    for name in ("MOST_WAITING", "MOST_DECIDERS", "MOST_PEOPLE"):
        monkeypatch.setattr(policy_page, name, 2)
    assert "more" not in page(reader).replace("more than", "")
    for name in ("MOST_WAITING", "MOST_DECIDERS", "MOST_PEOPLE"):
        monkeypatch.setattr(policy_page, name, 1)
    shown = page(reader)
    newest = Plan.objects.latest("pk")
    waiting = part(shown, "What waits for a decision, and whose")
    assert f"{newest}" in waiting
    assert "There are more: only the newest 1 stand here." in waiting
    assert "approver-0 and more: only 1 are told here" in waiting
    assert "approver-1" not in shown
    assert "There are more: only the first 1 stand here." in role(shown, "approver")
    assert "more" not in role(shown, "engineer")


def test_inactive_people_and_superusers_are_told_and_marked(reader: Client, users: UserFactory) -> None:
    User.objects.filter(pk=users("approver", name="gone").pk).update(is_active=False)
    User.objects.filter(pk=users("engineer", name="script").pk).update(is_staff=False)
    User.objects.create_superuser("root", password=None)
    User.objects.create_user("nobody-yet")
    shown = page(reader)
    assert "gone inactive" in role(shown, "approver")
    assert "script opens no pages" in role(shown, "engineer")
    assert "root superuser never signed in" in role(shown, "superuser")
    assert "nobody-yet" in role(shown, "without a role")
    assert "root" not in role(shown, "without a role")


def test_links_to_accounts_lead_where_the_reader_may_go(client: Client, users: UserFactory) -> None:
    root = User.objects.create_superuser("root", password=None)
    ana = users("support", name="ana")
    client.force_login(users("administrator"))
    shown = page(client)
    assert f'href="/auth/user/{ana.pk}/change/"' in shown
    assert f'href="/auth/user/{root.pk}/change/"' not in shown
    client.force_login(root)
    assert f'href="/auth/user/{root.pk}/change/"' in page(client)


def test_it_takes_few_queries_however_much_waits(
    reader: Client, engineer: User, users: UserFactory, django_assert_max_num_queries: Any
) -> None:
    report(2)
    for number in range(7):
        previewed(engineer, reason=f"No. {number}.")
        users("approver", name=f"approver-{number}")
    reader.get("/policy/")
    with django_assert_max_num_queries(30):
        shown = page(reader)
    assert "There are more: only the newest 5 stand here." in shown
