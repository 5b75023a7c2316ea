"""The first page: what needs the reader, what is wrong, how things stand; each number leads to what it counts."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client

from backoffice import alerts
from backoffice.alerts import Alert, tells_alerts
from remediation.apply import start_apply
from remediation.control import pause_job
from remediation.corrections import Mismatch, mismatches, moved_since
from remediation.models import Job, Plan
from tests.conftest import UserFactory
from tests.page_text import words
from tests.remediation.driving import applied, approved, opened, previewed, verified
from tests.remediation.incident import START, recalculate, report
from transactions.models import Release
from transactions.selection import Selection

pytestmark = pytest.mark.usefixtures("committed_db")
WEEK_AGO = timedelta(days=7)


def home(client: Client, person: User) -> str:
    client.force_login(person)
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_with_nothing_there_it_says_what_to_do_first(client: Client, engineer: User) -> None:
    page = words(home(client, engineer))
    assert "Bring transactions: manage.py import_transactions" in page
    assert "Nothing was corrected." in page
    assert "Nobody has previewed anything yet" in page
    report(1)
    assert "Transactions are there." in words(home(client, engineer))
    opened(engineer)
    assert "What to do first" not in home(client, engineer)


def test_what_waits_for_whom_is_told_to_each(client: Client, engineer: User, approver: User) -> None:
    report(4)
    plan = previewed(engineer)
    waiting = opened(engineer, reason="Another.", target="2.0.0")
    asker, decider = home(client, engineer), home(client, approver)
    assert "You can decide" not in asker
    assert "You can decide" in decider
    assert f'href="/remediation/plan/{plan.pk}/rows/"' in decider
    # The other case waits to be previewed: for an engineer, and shown to all.
    for page in (asker, decider):
        assert f'href="/remediation/case/{waiting.pk}/"' in page
        assert f'href="/remediation/case/{plan.case_id}/"' not in page
    approved(plan, approver)
    assert "You can apply it" in home(client, engineer)
    assert "You can apply it" not in home(client, approver)


def test_many_plans_take_no_more_queries_and_who_has_decided_need_not_again(
    client: Client, engineer: User, approver: User, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.AMENDS_APPROVAL_POLICY = {"approvals": 2, "approvals_for_large": 2}
    plans = []
    for number in range(6):
        report(1, first=100 * number, service=f"service-{number}")
        plans.append(previewed(engineer, selection=Selection("fee", services=(f"service-{number}",))))
    client.force_login(approver)
    client.get("/")
    with django_assert_max_num_queries(24):
        answer = client.get("/")
    assert sum(each["yours"] for each in answer.context["to_decide"]) == 6
    approved(plans[0], approver)
    told = {each["plan"]: each["yours"] for each in client.get("/").context["to_decide"]}
    assert told.get(plans[0], False) is False
    assert sum(told.values()) == 5


def test_support_gets_a_search_box_and_nobody_else_needs_one_in_the_middle(
    client: Client, users: UserFactory
) -> None:
    assert 'class="large-search"' in home(client, users("support"))
    for role in ("engineer", "approver", "auditor"):
        assert 'class="large-search"' not in home(client, users(role))


def test_money_of_this_week_is_what_finished_chunks_moved(
    client: Client, engineer: User, approver: User
) -> None:
    ids = report(6)
    plan = approved(previewed(engineer), approver)
    recalculate(ids[5], fee_percent=4, at=START + timedelta(days=1))
    job = applied(plan, engineer)
    (moved,) = moved_since(datetime.now(UTC) - WEEK_AGO)
    assert (moved.kind, moved.applied, moved.conflicts, moved.jobs) == (Plan.Kind.APPLY, 5, 1, (job.pk,))
    # Five fees of one percent too few, of 10.00 to 10.04.
    assert moved.money == {"USD:2": 50}
    assert moved_since(datetime.now(UTC) + timedelta(hours=1)) == []
    page = home(client, engineer)
    assert "5 transactions; totals changed by USD +0.50" in words(page)
    assert f'<a href="/remediation/job/{job.pk}/">job {job.pk}</a>' in page


def test_a_releases_rate_is_of_its_newest_preview_and_says_what_was_verified_since(
    client: Client, engineer: User, approver: User
) -> None:
    report(4)
    plan = approved(previewed(engineer), approver)
    (before,) = mismatches()
    assert (before.plan, before.scanned, before.differing, before.failed, before.verification) == (
        plan,
        4,
        4,
        0,
        None,
    )
    assert "100.0 %" in home(client, engineer)
    applied(plan, engineer)
    found = verified(plan.case, engineer)
    (after,) = mismatches()
    assert after.verification is not None
    assert (after.differing, after.verification.result) == (4, found)
    assert f"0 still differ in case {plan.case_id}" in words(home(client, engineer))


@pytest.mark.parametrize(
    ("differing", "scanned", "told"),
    [(0, 7, "0.0 %"), (1, 9_999, "< 0.1 %"), (999, 1_000, "99.9 %"), (9_999, 10_000, "99.9 %")],
)
def test_a_rate_is_never_rounded_to_none_or_all(differing: int, scanned: int, told: str) -> None:
    found = Mismatch(Release(), Plan(), scanned, differing, 0, START, None)
    assert found.share_in_words == told


def test_jobs_that_stand_still_are_alerts_and_a_gates_come_before_a_persons(
    client: Client, engineer: User, approver: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(6)
    job = start_apply(approved(previewed(engineer), approver), acting_user=engineer, stages=[1])
    assert "Nothing is alarming" in home(client, engineer)
    pause_job(job, acting_user=engineer, reason="Customers call.")
    assert f"{job} is paused. Customers call." in words(home(client, engineer))
    Job.objects.filter(pk=job.pk).update(held_at_stage=0, pause_reason="Stage 1 of 2: it is red.")
    page = home(client, engineer)
    assert f"A gate holds {job}. Stage 1 of 2: it is red." in words(page)
    assert "Something is wrong" in page
    part = client.get("/home/alerts/").content.decode()
    assert f'<a href="/remediation/job/{job.pk}/">' in part


def test_other_floors_tell_alerts_by_the_same_registry(
    client: Client, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "_sources", [])

    @tells_alerts
    def source(request: HttpRequest) -> Iterator[Alert]:
        yield Alert("It can wait.", "/waits/", tone="waiting", since=START)
        yield Alert("The shadow checks are red.", "/red/", "Look at them.")

    page = home(client, engineer)
    assert page.index("The shadow checks are red.") < page.index("It can wait.")
    assert "Look at them." in page


def test_auditors_see_who_took_and_who_tried(client: Client, engineer: User, users: UserFactory) -> None:
    client.force_login(engineer)
    assert client.get("/auth/user/").status_code == 403
    auditor = users("auditor")
    client.force_login(auditor)
    b"".join(client.post("/audit/auditentry/export/", {"format": "csv"}))  # type: ignore[arg-type]
    page = words(home(client, auditor))
    assert "Test-auditor took a copy of the trail" in page
    assert "Test-engineer tried what they may not do" in page
    assert "Tried, and not permitted" not in home(client, engineer)


@pytest.mark.parametrize("role", ["support", "engineer", "approver", "auditor", "administrator"])
def test_it_takes_few_queries_and_leads_nowhere_dead(
    client: Client,
    engineer: User,
    approver: User,
    users: UserFactory,
    role: str,
    django_assert_max_num_queries: Any,
) -> None:
    report(4)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    verified(plan.case, engineer)
    report(4, first=100, service="refunds")
    opened(engineer, reason="Another.", target="2.0.0")
    client.force_login(users(role))
    client.get("/")
    with django_assert_max_num_queries(30):
        page = client.get("/").content.decode()
    links = {
        link.partition("#")[0].replace("&amp;", "&") for link in re.findall(r'<a [^>]*href="(/[^"]*)"', page)
    }
    assert len(links) > 8
    for link in links:
        assert client.get(link).status_code == 200, link
