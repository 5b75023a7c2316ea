"""Opening a case from a search."""

import pytest
from django.test import Client

from audit.models import AuditEntry
from remediation.models import Case
from tests.conftest import UserFactory
from tests.remediation.incident import report

QUERY = (
    "calculator=fee&service=payments&from=2026-03-02T09:00:01&to=2026-03-02T09:00:04&zone=Europe/Zurich"
    "&at_least=10.12&reference=o-2,o-3"
)
PAGE = f"/remediation/case/open/?{QUERY}"
GIVEN = {
    "target": "2.0.0",
    "incident": "Fees were too low",
    "reason": "One percent instead of two.",
    "ticket": "T-1",
}


@pytest.fixture
def engineer_page(client: Client, users: UserFactory, db: None) -> Client:
    client.force_login(users("engineer"))
    report(6)
    return client


def test_find_leads_to_it_with_the_whole_search(engineer_page: Client) -> None:
    found = engineer_page.get(f"/find/?{QUERY}").content.decode()
    link = (
        found.split(">Open a case for these")[0]
        .rpartition('href="')[2]
        .partition('"')[0]
        .replace("&amp;", "&")
    )
    page = engineer_page.get(link).content.decode()
    assert "2 transactions match" in found
    assert "2 transactions match" in page
    for words in (
        "payments",
        "o-2, o-3",
        "2026-03-02 09:00:01 CET",
        "10.12 in the transaction's own currency",
    ):
        assert words in page


def test_it_opens_a_case_of_exactly_what_was_searched_and_goes_there(engineer_page: Client) -> None:
    answer = engineer_page.post(PAGE, GIVEN)
    case = Case.objects.get()
    assert answer["Location"] == f"/remediation/case/{case.pk}/"
    assert (case.incident, case.reason, case.ticket) == (GIVEN["incident"], GIVEN["reason"], GIVEN["ticket"])
    criteria = {
        "calculator": "fee",
        "services": ["payments"],
        "calculated_from": "2026-03-02T08:00:01+00:00",
        "calculated_before": "2026-03-02T08:00:04+00:00",
        "references": ["o-2", "o-3"],
        "total_from": "10.12",
    }
    assert case.revisions.get().criteria == criteria
    assert AuditEntry.objects.get(event="case.opened").data["criteria"] == criteria
    engineer_page.post(PAGE, GIVEN)
    assert Case.objects.count() == 1, "asked twice, the same case"


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"target": ""}, "Choose the version whose amounts would be right."),
        ({"target": "7"}, "There is no code for version “7”."),
        ({"reason": " "}, "Say why the amounts are to be corrected"),
        ({"incident": "x" * 201}, "shorten it"),
        ({"ticket": "a\0b"}, "shorten it"),
    ],
)
def test_what_is_missing_is_said_and_what_was_written_is_kept(
    engineer_page: Client, wrong: dict[str, str], remedy: str
) -> None:
    answer = engineer_page.post(PAGE, GIVEN | wrong)
    assert answer.status_code == 400
    page = answer.content.decode()
    assert remedy in page
    if "incident" not in wrong:
        assert 'value="Fees were too low"' in page
    assert not Case.objects.exists()


def test_a_search_that_is_none_opens_nothing(engineer_page: Client) -> None:
    assert engineer_page.get("/remediation/case/open/?calculator=tax").status_code == 400
    assert engineer_page.post("/remediation/case/open/?calculator=tax", GIVEN).status_code == 400
    assert not Case.objects.exists()


@pytest.mark.parametrize("role", ["support", "approver", "auditor"])
def test_who_may_not_open_cases_sees_neither_link_nor_page(
    client: Client, users: UserFactory, db: None, role: str
) -> None:
    report(1)
    client.force_login(users(role))
    page = client.get("/find/").content.decode()
    assert "Open a case for these" not in page
    assert "Engineers open cases" in page
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, GIVEN).status_code == 403
    assert not Case.objects.exists()
