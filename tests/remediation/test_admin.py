"""The pages of cases, plans, jobs and outcomes: what they show, and that showing more rows asks no more."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from remediation.models import Case, Outcome, Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from remediation.runner import work
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, previewed, verified, work_until_ended
from tests.remediation.incident import START, recalculate, report
from transactions.selection import Selection

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def support(committed_db: None, client: Client, users: UserFactory) -> Client:
    client.force_login(users("support"))
    return client


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer)
    return " ".join(answer.content.decode().split())


def test_a_plans_page_says_what_would_change_and_why(support: Client, users: UserFactory) -> None:
    ids = report(4)
    report(2, first=50, currency="JPY", scale=0)
    plan = previewed(users("engineer"), target="raises-on-odd")
    context = support.get(f"/remediation/plan/{plan.pk}/").context
    assert (context["totals"].scanned, context["totals"].proposed, context["totals"].failed) == (6, 3, 3)
    assert [
        (row.currency, row.scale, row.before, row.after, row.delta, row.largest) for row in context["money"]
    ] == [
        ("JPY", 0, 1060, 1071, 11, 11),
        ("USD", 2, 2022, 2042, 20, 10),
    ]
    (cause,) = context["causes"]
    assert (cause.cause, cause.count, cause.example.reference) == ("fee up, total up", 3, "o-50")
    assert context["corrections_in_words"] == (
        "3 corrections, JPY\N{NO-BREAK SPACE}+11 and USD\N{NO-BREAK SPACE}+0.20 in all"
    )
    failed = support.get(f"/remediation/outcome/?job={context['preview_job'].pk}&kind__exact=failed").context[
        "cl"
    ]
    assert [outcome.transaction_id for outcome in failed.result_list][:2] == [ids[1], ids[3]]


def test_every_row_of_a_plan_is_shown_once_across_its_chunks(
    support: Client, users: UserFactory, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 60
    report(130)
    plan = previewed(users("engineer"))
    sizes, seen, address = [], [], f"/remediation/plan/{plan.pk}/rows/"
    while True:
        context = support.get(address).context
        sizes.append(len(context["rows"]))
        seen += [row.transaction.reference for row in context["rows"]]
        assert all(row.delta > 0 and row.changed == "fee" for row in context["rows"])
        if not context["older"]:
            break
        address = f"/remediation/plan/{plan.pk}/rows/{context['older']}"
    assert sizes == [50, 10, 50, 10, 10]
    assert sorted(seen) == sorted(f"o-{index}" for index in range(130))
    assert support.get(f"/remediation/plan/{plan.pk}/rows/?chunk=x").status_code == 404
    assert support.get(f"/remediation/plan/{plan.pk}/rows/?after=x").status_code == 404


def test_a_case_leads_from_stage_to_stage(support: Client, users: UserFactory) -> None:
    engineer, approver = users("engineer"), users("approver")
    ids = report(6)
    case = opened(engineer)
    address = f"/remediation/case/{case.pk}/"
    assert "opened, not previewed yet" in text(support, address)
    plan = previewed(engineer)
    assert "waiting for approval" in text(support, address)
    approved(plan, approver)
    assert "An engineer applies the plan." in text(support, address)
    recalculate(ids[0], fee_percent=3, at=START + timedelta(days=1))
    applied(plan, engineer)
    assert "applied, not verified yet" in text(support, address)
    verified(case, engineer)
    page = text(support, address)
    assert "everything adds up" in page
    context = support.get(address).context
    assert [(row.name, row.rows) for row in context["classes"]] == [
        ("matches", 5),
        ("differs", 0),
        ("conflict", 1),
    ]
    assert context["revertible"].back_in_words == "USD\N{NO-BREAK SPACE}−0.50"
    revert = request_revert(case, acting_user=engineer)
    work_until_ended(revert.jobs.get())
    applied(approved(Plan.objects.get(pk=revert.pk), approver), engineer)
    page = text(support, address)
    assert "taken back" in page
    assert f"{revert} was applied since: verify again" in page
    assert support.get(address).context["revertible"].plan == revert


def test_a_jobs_page_shows_chunks_in_trouble_and_says_when_nobody_works(
    support: Client, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(4)
    job = request_preview(opened(users("engineer")), acting_user=users("engineer")).jobs.get()
    address = f"/remediation/job/{job.pk}/"
    assert "It is stuck" not in text(support, address)
    assert "No worker has been at it" not in text(support, address)
    monkeypatch.setattr("remediation.progress._MOMENT_SECONDS", 0.0)
    assert "One that was lost is replaced by itself" in text(support, address)
    monkeypatch.setattr("remediation.progress.STUCK_SECONDS", 0.0)
    assert "It is stuck: nobody has been at it for" in text(support, address)
    assert "stuck" in text(support, "/")
    job.chunks.update(failure="The calculator's server did not answer.", attempts=2)
    assert "The calculator&#x27;s server did not answer." in text(support, address)
    work(job.pk, worker="test")
    context = support.get(f"/remediation/job/{job.pk}/live/").context
    assert (context["work"].percent, context["work"].progress.rows, context["troubled"]) == (100, 4, [])


def test_the_first_page_tells_approvers_what_they_can_decide(client: Client, users: UserFactory) -> None:
    report(4)
    ana = users("engineer")
    plan = previewed(ana)
    report(2, first=50, service="refunds")
    waiting = opened(ana, selection=Selection("fee", services=("refunds",)), reason="Another.")
    running = request_preview(waiting, acting_user=ana).jobs.get()
    for role, yours in (("approver", True), ("engineer", False), ("auditor", False)):
        client.force_login(users(role))
        context = client.get("/").context
        assert [(each["plan"], each["yours"]) for each in context["to_decide"]] == [(plan, yours)]
        assert [work.job for work in context["running"]] == [running]
    assert "being previewed" not in client.get("/home/running_jobs/").content.decode()
    approved(plan, users("approver"))
    client.force_login(ana)
    assert [(each["plan"], each["yours"]) for each in client.get("/").context["to_apply"]] == [(plan, True)]
    assert client.get("/home/no-such-part/").status_code == 404


@pytest.mark.parametrize("model", ["case", "plan", "job", "outcome"])
def test_lists_ask_no_more_for_more_rows(
    support: Client, users: UserFactory, django_assert_max_num_queries: Callable[..., Any], model: str
) -> None:
    engineer = users("engineer")
    report(60)
    address = f"/remediation/{model}/"

    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            if model == "outcome":
                job = previewed(engineer).jobs.get()
                Outcome.objects.create(
                    job=job, transaction_id=number + 1, kind="conflict", reason="It moved."
                )
            else:
                case = opened(engineer, reason=f"Reason {number}.")
                request_preview(case, acting_user=engineer)

    fill(0, 10)
    with django_assert_max_num_queries(30) as few:
        assert len(support.get(address).context["cl"].result_list) == 10
    fill(10, 60)
    with django_assert_max_num_queries(len(few)) as many:
        assert len(support.get(address).context["cl"].result_list) == 50
    for query in many:
        assert "COUNT(" not in query["sql"] or "FILTER" in query["sql"]
        assert "OFFSET" not in query["sql"]


def test_pages_of_things_ask_no_more_for_more_rows(
    support: Client, users: UserFactory, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    engineer, approver = users("engineer"), users("approver")
    asked: list[list[int]] = []
    for rows, service in ((10, "payments"), (60, "refunds")):
        report(rows, first=1000 * rows, service=service)
        selection = Selection("fee", services=(service,), versions=("1.0.0",))
        plan = approved(previewed(engineer, selection=selection), approver)
        job = applied(plan, engineer)
        verified(plan.case, engineer)
        counts = []
        for address in (
            f"/remediation/case/{plan.case_id}/",
            f"/remediation/plan/{plan.pk}/",
            f"/remediation/plan/{plan.pk}/rows/",
            f"/remediation/job/{job.pk}/",
            f"/remediation/job/{job.pk}/live/",
        ):
            support.get(address)
            with django_assert_max_num_queries(30) as queries:
                assert support.get(address).status_code == 200
            counts.append(len(queries))
        asked.append(counts)
    few, many = asked
    # Only the last page of a chunk's rows asks whether a further chunk has any.
    assert all(later <= earlier for earlier, later in zip(few, many, strict=True)), asked
    assert Case.objects.count() == 2
