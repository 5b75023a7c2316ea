"""The trail's pages: readable, asked for by what happened, who did it, to what, when and why, and never counted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.admin import trail_page
from audit.models import AuditEntry
from remediation.models import Case, JobChunk
from tests.audit.trail import LIST, told, write
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, previewed, verified
from tests.remediation.incident import report


@pytest.fixture
def auditor(db: None, client: Client, users: UserFactory) -> Client:
    client.force_login(users("auditor"))
    return client


def ask(**values: Any) -> str:
    return f"?{urlencode(values)}"


def at(entry: AuditEntry) -> datetime:
    entry.refresh_from_db()
    return entry.occurred_at


def test_entries_are_sentences_asked_for_by_event_actor_and_subject(
    auditor: Client, users: UserFactory
) -> None:
    ben = users("approver", name="ben")
    write(ben)
    assert told(auditor, ask(about=f"user {ben.pk}")) == ["Amends gave up on ben", "ben approved ben"]
    assert told(auditor, ask(event="plan.approved")) == ["ben approved ben"]
    assert told(auditor, ask(actor=ben.pk)) == ["ben approved ben"]
    assert told(auditor, ask(actor="ben", event="plan.approved")) == ["ben approved ben"]
    assert told(auditor, ask(actor="ben", event="job.failed")) == []
    assert told(auditor, ask(actor="amends", event="job.failed")) == ["Amends gave up on ben"]
    assert told(auditor, ask(subject_type="auth.user", subject_id=ben.pk, event="job.failed")) == [
        "Amends gave up on ben"
    ]


def test_a_thing_is_asked_for_by_its_name_and_number(auditor: Client, users: UserFactory) -> None:
    report(1)
    case = opened(users("engineer"))
    assert told(auditor, ask(about=f"case {case.pk}")) == [f"test-engineer opened {case}"]
    assert told(auditor, ask(about=f"remediation.case {case.pk}")) == [f"test-engineer opened {case}"]
    assert told(auditor, ask(about="plan 999999")) == []


def test_a_part_of_the_reason_finds_entries_in_whatever_case_it_is_written(
    auditor: Client, users: UserFactory
) -> None:
    write(users("approver", name="ben"), reason="The contract says 100 % of it_all.")
    write(users("approver", name="ben"), reason="Other.")
    assert told(auditor, ask(reason="CONTRACT")) == ["ben approved ben"]
    assert told(auditor, ask(reason="100 % of it_")) == ["ben approved ben"]
    assert told(auditor, ask(reason="100x%")) == []


def test_a_period_is_read_in_the_zone_that_it_says_and_ends_before_its_end(
    auditor: Client, users: UserFactory
) -> None:
    first, second = write(users("approver", name="ben"))
    begin, end = at(first), at(second)
    assert begin < end
    assert told(auditor, ask(**{"from": begin.isoformat(), "to": end.isoformat()})) == ["ben approved ben"]
    assert "Amends gave up on ben" in told(auditor, ask(**{"from": end.isoformat()}))
    local = (datetime.now(UTC) + timedelta(hours=9) - timedelta(minutes=5)).replace(tzinfo=None)
    tokyo = {"from": f"{local:%Y-%m-%dT%H:%M:%S}", "zone": "Asia/Tokyo", "event": "plan.approved"}
    assert told(auditor, ask(**tokyo)) == ["ben approved ben"]
    assert told(auditor, ask(**(tokyo | {"zone": "UTC"}))) == []
    page = auditor.get(LIST + ask(**tokyo)).content.decode()
    assert " JST</time>" in page
    assert " UTC)</span>" in page


def test_where_clocks_were_set_back_a_period_holds_both_hours(auditor: Client) -> None:
    # In Zurich 02:30 came twice on 2025-10-26: at 00:30 and at 01:30 UTC.
    form = auditor.get(
        LIST + ask(**{"from": "2025-10-26T02:30", "to": "2025-10-26T02:30", "zone": "Europe/Zurich"})
    ).context["form"]
    assert form.problems == []
    assert (form.wanted.occurred_from, form.wanted.occurred_before) == (
        datetime(2025, 10, 26, 0, 30, tzinfo=UTC),
        datetime(2025, 10, 26, 1, 30, tzinfo=UTC),
    )


def test_a_cases_trail_is_everything_about_it_its_plans_jobs_and_chunks_and_nothing_else(
    auditor: Client, users: UserFactory, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    report(6)
    ana = users("engineer", name="ana")
    plan = approved(previewed(ana), users("approver", name="ben"))
    applied(plan, ana)
    verified(plan.case, ana)
    report(1, first=100, service="refunds")
    opened(ana, reason="Another.", target="2.0.0")
    mine = Case.objects.get(pk=plan.case_id)
    assert Case.objects.exclude(pk=mine.pk).exists()
    lines = auditor.get(LIST + ask(case=mine.pk)).context["lines"]
    found = [entry for entry, *_ in lines]
    expected = [
        entry
        for entry in AuditEntry.objects.all()
        if (entry.subject_type, entry.subject_id)
        in {("remediation.case", mine.pk), ("remediation.plan", plan.pk)}
        or (
            entry.subject_type == "remediation.job"
            and entry.subject_id in mine.jobs.values_list("pk", flat=True)
        )
        or (
            entry.subject_type == "remediation.planchunk"
            and entry.subject_id in plan.chunks.values_list("pk", flat=True)
        )
        or (
            entry.subject_type == "remediation.jobchunk"
            and JobChunk.objects.filter(pk=entry.subject_id, job__case=mine).exists()
        )
    ]
    assert sum(entry.event == "chunk.scanned" for entry in expected) == 3
    assert sum(entry.event == "chunk.applied" for entry in expected) == 3
    assert {entry.pk for entry in found} == {entry.pk for entry in expected}
    assert [entry.occurred_at for entry in found] == sorted((e.occurred_at for e in found), reverse=True)
    assert told(auditor, ask(case=mine.pk, event="chunk.applied", actor="ana")) == [
        f"ana applied Job {plan.jobs.get(kind='apply').pk}, chunk {position}" for position in (2, 1, 0)
    ]


@pytest.mark.parametrize(
    "asked", [{}, {"event": "job.failed"}, {"actor": "ben"}, {"reason": "so"}, {"subject": True}]
)
def test_every_page_is_read_once_going_back_and_again_going_on(
    auditor: Client, users: UserFactory, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.admin.entry.AuditEntryAdmin.list_per_page", 4)
    ben = users("approver", name="ben")
    write(ben, 7, reason="So.")
    query = ask(about=f"user {ben.pk}") if asked.get("subject") else ask(**asked)
    seen: list[list[int]] = []
    context = auditor.get(LIST + query).context
    seen.append([entry.pk for entry, *_ in context["lines"]])
    while context["older_page"]:
        context = auditor.get(LIST + context["older_page"]).context
        seen.append([entry.pk for entry, *_ in context["lines"]])
    flat = [pk for page in seen for pk in page]
    assert len(flat) == len(set(flat)) >= 7
    assert flat == sorted(flat, reverse=True)
    back = [seen[-1]]
    while context["newer_page"]:
        context = auditor.get(LIST + context["newer_page"]).context
        back.append([entry.pk for entry, *_ in context["lines"]])
    assert [pk for page in reversed(back) for pk in page] == flat


def test_what_no_index_answers_is_looked_for_in_a_bounded_number_of_entries_and_the_page_says_so(
    auditor: Client, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_page, "LOOKED_THROUGH", 10)
    ben = users("approver", name="ben")
    write(ben, 1, reason="The needle.")
    write(ben, 12, reason="Hay.")
    answer = auditor.get(LIST + ask(reason="needle"))
    assert [*answer.context["lines"]] == []
    assert "Look further back" in answer.content.decode()
    answer = auditor.get(LIST + answer.context["older_page"])
    assert [entry.reason for entry, *_ in answer.context["lines"]] == ["The needle."]
    assert not answer.context["older_page"]


def test_an_entrys_page_says_its_data_to_people_and_folds_what_is_stored(
    auditor: Client, users: UserFactory, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    report(2)
    ana = users("engineer", name="ana")
    plan = approved(previewed(ana), users("approver", name="ben"))
    job = applied(plan, ana)
    entry = AuditEntry.objects.get(event="chunk.applied")
    page = auditor.get(f"{LIST}{entry.pk}/").content.decode()
    assert f'<a href="/remediation/job/{job.pk}/">Job {job.pk}</a>' in page
    assert f'<a href="/remediation/plan/{plan.pk}/">Plan {plan.pk}</a>' in page
    assert '<span class="money">USD\N{NO-BREAK SPACE}+0.20</span>' in page
    assert "<dt>Merkle root</dt>" in page
    assert "<details" in page
    assert "&quot;USD:2&quot;: 20" in page
    sealed = AuditEntry.objects.get(event="plan.sealed")
    shown = auditor.get(f"{LIST}{sealed.pk}/").content.decode()
    assert 'before <span class="money">USD\N{NO-BREAK SPACE}20.21</span>' in shown
    assert (
        shown.index("before <span")
        < shown.index("after <span")
        < shown.index("delta <span")
        < shown.index("largest <span")
    )
    assert shown.index("<dt>Digest</dt>") < shown.index("<dt>Scanned</dt>") < shown.index("<dt>Money</dt>")


def test_an_entrys_page_escapes_its_data(auditor: Client, users: UserFactory) -> None:
    write(users("approver", name="ben"))
    entry = AuditEntry.objects.get(event="plan.approved")
    page = auditor.get(f"{LIST}{entry.pk}/").content.decode()
    assert "<dt>Comment</dt><dd>&lt;0&gt;</dd>" in page
    assert "&quot;comment&quot;: &quot;&lt;0&gt;&quot;" in page
    assert "ben approved ben" in page


def test_the_list_asks_no_more_for_more_entries_and_counts_nothing(
    auditor: Client, users: UserFactory, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    ben = users("approver", name="ben")
    write(ben, 5)
    with django_assert_max_num_queries(20) as few:
        told(auditor)
    write(ben, 25)
    with django_assert_max_num_queries(len(few)) as many:
        assert len(told(auditor)) == 50
    assert not [
        query for query in many if "COUNT(" in query["sql"].upper() or "OFFSET" in query["sql"].upper()
    ]


def test_a_cases_trail_asks_no_more_for_more_plans(auditor: Client, users: UserFactory) -> None:
    report(2)
    ana = users("engineer", name="ana")
    plan = previewed(ana)
    with CaptureQueriesContext(connection) as few:
        told(auditor, ask(case=plan.case_id))
    applied(approved(plan, users("approver", name="ben")), ana)
    verified(plan.case, ana)
    with CaptureQueriesContext(connection) as many:
        assert len(told(auditor, ask(case=plan.case_id))) > 6
    assert len(many) == len(few)


@pytest.mark.parametrize(
    "query",
    [
        "data__plan=3",
        "actor__username=ben",
        "request_id=1",
        "event=nothing.happened",
        "actor=nobody-here",
        "about=flower+3",
        "about=plan+x",
        "about=plan+99999999999999999999",
        "subject_id=3",
        "case=x",
        "from=yesterday",
        "from=2026-03-02T10:00&to=2026-03-02T09:00",
        "zone=Middle/Earth",
        "zone=../etc",
        "reason=%00",
        "after=xyz",
        "after=WyJ4IiwgMV0",
        "before=WzEsIDFd",
    ],
)
def test_what_cannot_be_asked_is_refused_with_words(auditor: Client, query: str) -> None:
    answer = auditor.get(f"{LIST}?{query}")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert answer.context["form"].problems


def test_the_trail_is_read_by_whoever_has_a_role_and_by_nobody_else(
    db: None, client: Client, users: UserFactory
) -> None:
    nobody = users("support", name="nobody")
    nobody.groups.clear()
    client.force_login(nobody)
    assert client.get(LIST).status_code == 403
    client.force_login(users("support"))
    assert client.get(LIST).status_code == 200
