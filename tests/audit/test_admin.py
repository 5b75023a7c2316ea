"""The trail's pages: readable, filtered by what happened and who did it, and never counted."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from audit.admin.entry import sentence
from audit.models import AuditEntry
from audit.trail import record
from remediation.events import JOB_FAILED, PLAN_APPROVED, Failed, PlanDecided
from tests.conftest import UserFactory
from tests.remediation.driving import opened
from tests.remediation.incident import report

LIST = "/audit/auditentry/"


@pytest.fixture
def auditor(db: None, client: Client, users: UserFactory) -> Client:
    client.force_login(users("auditor"))
    return client


def write(users: UserFactory, count: int = 1) -> None:
    """Entries of ben, who approves his own account so often, and of Amends."""
    ben = users("approver", name="ben")
    with transaction.atomic():
        for number in range(count):
            record(
                PLAN_APPROVED,
                ben,
                PlanDecided(digest="ab", comment=f"<{number}>", status="approved"),
                actor=ben,
            )
            record(JOB_FAILED, ben, Failed(failure="the reason"), actor=None)


def told(client: Client, query: str = "") -> list[str]:
    return [sentence(entry) for entry in client.get(f"{LIST}{query}").context["cl"].result_list]


def test_entries_are_sentences_filtered_by_event_actor_and_subject(
    auditor: Client, users: UserFactory
) -> None:
    write(users)
    ben = users("approver", name="ben")
    assert told(auditor) == ["Amends gave up on ben", "ben approved ben"]
    assert told(auditor, "?event=plan.approved") == ["ben approved ben"]
    assert told(auditor, f"?actor={ben.pk}") == ["ben approved ben"]
    assert told(auditor, "?actor=amends") == ["Amends gave up on ben"]
    assert told(auditor, f"?subject_type=auth.user&subject_id={ben.pk}&event=job.failed") == [
        "Amends gave up on ben"
    ]
    assert told(auditor, "?q=ben") == ["ben approved ben"]
    assert told(auditor, "?q=be") == []


def test_a_thing_and_its_number_find_its_entries(auditor: Client, users: UserFactory) -> None:
    report(1)
    case = opened(users("engineer"))
    assert told(auditor, f"?q=case+{case.pk}") == [f"test-engineer opened {case}"]
    assert told(auditor, "?q=plan+999999") == []


def test_an_entrys_page_shows_its_data_and_escapes_it(auditor: Client, users: UserFactory) -> None:
    write(users)
    entry = AuditEntry.objects.get(event="plan.approved")
    page = auditor.get(f"{LIST}{entry.pk}/").content.decode()
    assert "&quot;comment&quot;: &quot;&lt;0&gt;&quot;" in page
    assert "ben approved ben" in page


def test_the_list_asks_no_more_for_more_entries_and_counts_nothing(
    auditor: Client, users: UserFactory, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    write(users, 5)
    with django_assert_max_num_queries(20) as few:
        assert len(told(auditor)) == 10
    write(users, 25)
    with django_assert_max_num_queries(len(few)) as many:
        assert len(told(auditor)) == 50
    assert not [
        query for query in many if "COUNT(" in query["sql"].upper() or "OFFSET" in query["sql"].upper()
    ]


@pytest.mark.parametrize("lookup", ["reason=x", "data__plan=3", "actor__username=ben", "request_id=1"])
def test_what_no_index_answers_cannot_be_asked(auditor: Client, lookup: str) -> None:
    assert auditor.get(f"{LIST}?{lookup}").status_code == 400
