"""The search box: straight to what is meant, and otherwise what begins so."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.models import AuditEntry
from remediation.models import Job, Plan
from tests.conftest import UserFactory
from tests.remediation.driving import previewed
from tests.remediation.incident import report
from transactions.lookup import kinds_for, look_up
from transactions.models import Store, Transaction

pytestmark = pytest.mark.django_db
SEARCH = "/search/"


@pytest.fixture
def support(client: Client, users: UserFactory) -> Client:
    client.force_login(users("support"))
    return client


@pytest.fixture
def plan(engineer: User) -> Plan:
    report(12)
    report(1, first=500, store="tokyo-7")
    return previewed(engineer)


def led_to(client: Client, text: str) -> str:
    """The address that a search leads to, "" where it shows what it found."""
    answer = client.get(SEARCH, {"q": text})
    assert answer.status_code in (200, 302), (text, answer)
    return answer.headers["Location"] if answer.status_code == 302 else ""


def test_a_whole_name_leads_straight_to_what_it_is(support: Client, plan: Plan) -> None:
    order = Transaction.objects.get(reference="o-1")
    store = Store.objects.get(reference="tokyo-7")
    for text in ("o-1", " o-1 ", "#o-1", "order o-1", "Transaction #o-1"):
        assert led_to(support, text) == f"/transactions/transaction/{order.pk}/", text
    for text in ("tokyo-7", "store tokyo-7", "Shop: tokyo-7"):
        assert led_to(support, text) == f"/transactions/store/{store.pk}/", text
    for text in (f"case {plan.case_id}", f"Case{plan.case_id}", f"CASE #{plan.case_id}"):
        assert led_to(support, text) == f"/remediation/case/{plan.case_id}/", text
    assert led_to(support, f"plan {plan.pk}") == f"/remediation/plan/{plan.pk}/"
    job = Job.objects.get()
    assert led_to(support, f"job {job.pk}") == f"/remediation/job/{job.pk}/"
    entry = AuditEntry.objects.latest("pk")
    assert led_to(support, f"entry {entry.pk}") == f"/audit/auditentry/{entry.pk}/"


def test_how_a_name_begins_leads_nowhere_but_shows_what_begins_so(support: Client, plan: Plan) -> None:
    page = support.get(SEARCH, {"q": "o-"})
    assert [hit.title for found, _ in page.context["groups"] for hit in found.hits] == [
        "o-0", "o-1", "o-10", "o-11", "o-2", "o-3", "o-4", "o-5", "o-500", "o-6",
    ]  # fmt: skip
    assert [all_of for _, all_of in page.context["groups"]] == ["/transactions/transaction/?q=o-"]
    assert led_to(support, "tokyo") == "", "the only one that begins so may still be another than was meant"
    assert "tokyo-7" in support.get(SEARCH, {"q": "tokyo"}).content.decode()


def test_a_name_of_several_things_shows_them_all_in_groups(
    support: Client, plan: Plan, engineer: User
) -> None:
    Store.objects.create(reference=f"{plan.pk}")
    page = support.get(SEARCH, {"q": f"{plan.pk}"})
    assert page.status_code == 200
    names = [str(found.kind.name) for found, _ in page.context["groups"]]
    assert {"Stores", "Plans"} <= set(names)
    Store.objects.create(reference=f"plan {plan.pk}")
    assert led_to(support, f"plan {plan.pk}") == "", "a store is called like that too"


def test_a_number_that_is_one_things_alone_leads_there(support: Client, plan: Plan) -> None:
    Store.objects.create(reference="987654321")
    store = Store.objects.get(reference="987654321")
    assert led_to(support, "987654321") == f"/transactions/store/{store.pk}/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "o-%",
        "nothing",
        "case 0",
        "case 99999999999999999999999",
        "plan ٣",
        "job",
        "a\0b",
        "x" * 300,
        "#",
        "'; --",
    ],
)
def test_what_is_not_there_is_said_with_what_can_be_looked_up(support: Client, plan: Plan, text: str) -> None:
    page = support.get(SEARCH, {"q": text})
    assert page.status_code == 200
    assert page.context["groups"] == []
    shown = page.content.decode()
    assert "What can be looked up" in shown
    assert "case 3" in shown
    assert ("Nothing" in shown) == bool(text.strip().replace("\0", ""))


def test_nothing_is_found_that_the_reader_may_not_see(client: Client, plan: Plan) -> None:
    stranger = User.objects.create_user("stranger", password="x", is_staff=True)
    assert kinds_for(stranger) == []
    assert look_up("o-1", acting_user=stranger).found == []
    client.force_login(stranger)
    assert client.get(SEARCH, {"q": "o-1"}).status_code == 403
    client.logout()
    assert client.get(SEARCH, {"q": "o-1"}).status_code == 302


def test_every_page_has_the_box(support: Client, plan: Plan) -> None:
    for address in ("/", "/find/", f"/remediation/plan/{plan.pk}/", "/transactions/store/"):
        assert 'id="search-box"' in support.get(address).content.decode(), address


def test_a_search_takes_few_queries_however_much_there_is(
    support: Client, plan: Plan, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    support.get(SEARCH, {"q": "o-"})
    with django_assert_max_num_queries(14) as asked:
        support.get(SEARCH, {"q": f"plan {plan.pk}"})
    assert not [each["sql"] for each in asked.captured_queries if "COUNT(" in each["sql"]]
