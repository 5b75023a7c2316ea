"""Trying failed and conflicting rows again: a new plan of those alone, approved and applied like any other."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client

from audit.models import AuditEntry
from audit.permission import NotPermitted
from remediation.models import Outcome, Plan
from remediation.preview import PlanUnderWay, RetryOpen, request_preview
from remediation.retry import NothingToRetry, NotRetriable, request_retry, rows_to_retry
from remediation.revert import request_revert
from tests.commands import asked
from tests.conftest import PASSWORD, UserFactory
from tests.remediation import calculators
from tests.remediation.driving import applied, approved, digest, previewed, verified, work_until_ended
from tests.remediation.incident import START, fee, pointers, recalculate, report, totals

pytestmark = pytest.mark.usefixtures("committed_db")
LATER = START + timedelta(days=1)


@pytest.fixture
def ada(users: UserFactory) -> User:
    return users("engineer", name="ada")


@pytest.fixture
def ben(users: UserFactory) -> User:
    return users("approver", name="ben")


@pytest.fixture(autouse=True)
def broken_again() -> Iterator[None]:
    yield
    calculators.MENDED.clear()


def scanned(retry: Plan) -> Plan:
    work_until_ended(retry.jobs.get(kind="preview"))
    retry.refresh_from_db()
    return retry


def test_rows_whose_calculator_was_mended_are_corrected_by_a_plan_of_their_own(
    ada: User, ben: User, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 4
    ids = report(10)
    plan = approved(previewed(ada, target="mendable"), ben)
    applied(plan, ada)
    odd, even = ids[1::2], ids[0::2]
    assert totals(odd) == [fee(1000 + index, 1) for index in range(1, 10, 2)]
    plan.refresh_from_db()
    assert rows_to_retry(plan) == 5

    calculators.MENDED.add("mendable")
    before = pointers(ids)
    retry = scanned(request_retry(plan, acting_user=ada))
    assert request_retry(plan, acting_user=ada).pk == retry.pk
    assert (retry.kind, retry.retries_id, retry.status) == ("apply", plan.pk, "ready")
    manifest = retry.manifest or {}
    delta = sum(fee(1000 + index, 2) - fee(1000 + index, 1) for index in range(1, 10, 2))
    assert {
        name: manifest[name] for name in ("scanned", "proposed", "failed", "unchanged", "moved_since")
    } == {
        "scanned": 5,
        "proposed": 5,
        "failed": 0,
        "unchanged": 0,
        "moved_since": 0,
    }
    assert (manifest["retries"], manifest["money"]["USD:2"]["delta"]) == (plan.pk, delta)
    assert pointers(ids) == before
    entry = AuditEntry.objects.get(event="plan.preview_requested", subject_id=retry.pk)
    assert (entry.actor_label, entry.data["retries"]) == ("ada", plan.pk)

    job = applied(approved(retry, ben), ada)
    assert sum(chunk.result["applied"] for chunk in job.chunks.all() if chunk.result) == 5
    assert totals(ids) == [fee(1000 + index, 2) for index in range(10)]
    assert {known: now for known, now in pointers(ids).items() if known in even} == {
        known: was for known, was in before.items() if known in even
    }
    found = verified(plan.case, ada)
    assert (found["problems"], found["differing"], found["reconciled"]) == ([], 0, True)
    with pytest.raises(NothingToRetry, match=r"5 rows .* none stands on"):
        request_retry(plan, acting_user=ada)

    revert = scanned(request_revert(plan.case, acting_user=ada))
    assert revert.source_plan_id == retry.pk
    applied(approved(revert, ben), ada)
    assert totals(odd) == [fee(1000 + index, 1) for index in range(1, 10, 2)]
    assert verified(plan.case, ada)["problems"] == []


def test_conflicts_are_tried_again_where_a_suspect_release_made_them(ada: User, ben: User) -> None:
    ids = report(6)
    plan = approved(previewed(ada), ben)
    recalculate(ids[0], fee_percent=5, at=LATER)
    recalculate(ids[1], fee_percent=2, at=LATER)
    recalculate(ids[2], fee_percent=7, at=LATER, version="9.9.9")
    applied(plan, ada)
    assert Outcome.objects.filter(kind="conflict").count() == 3
    plan.refresh_from_db()
    assert rows_to_retry(plan) == 2
    retry = scanned(request_retry(plan, acting_user=ada))
    manifest = retry.manifest or {}
    assert {
        name: manifest[name] for name in ("scanned", "proposed", "unchanged", "moved_since", "failed")
    } == {
        "scanned": 3,
        "proposed": 1,
        "unchanged": 1,
        "moved_since": 1,
        "failed": 0,
    }
    assert manifest["money"]["USD:2"]["delta"] == fee(1000, 2) - fee(1000, 5)
    applied(approved(retry, ben), ada)
    assert totals(ids) == [
        fee(1000, 2),
        fee(1001, 2),
        fee(1002, 7),
        *(fee(1000 + index, 2) for index in range(3, 6)),
    ]
    assert verified(plan.case, ada)["problems"] == []


def test_what_fails_again_can_be_tried_again(ada: User, ben: User) -> None:
    ids = report(4)
    plan = previewed(ada, target="mendable")
    applied(approved(plan, ben), ada)
    plan.refresh_from_db()
    retry = scanned(request_retry(plan, acting_user=ada))
    assert ((retry.manifest or {})["failed"], (retry.manifest or {})["proposed"]) == (2, 0)
    calculators.MENDED.add("mendable")
    second = scanned(request_retry(plan, acting_user=ada, again=True))
    assert Plan.objects.get(pk=retry.pk).status == "superseded"
    applied(approved(second, ben), ada)
    assert totals(ids) == [fee(1000 + index, 2) for index in range(4)]


def test_nothing_to_retry_is_refused_with_the_reason(ada: User, ben: User, users: UserFactory) -> None:
    report(2)
    plan = previewed(ada)
    with pytest.raises(NotRetriable, match="ready for approval"):
        request_retry(plan, acting_user=ada)
    applied(approved(plan, ben), ada)
    plan.refresh_from_db()
    with pytest.raises(NothingToRetry, match="No row of"):
        request_retry(plan, acting_user=ada)
    with pytest.raises(NotPermitted):
        request_retry(plan, acting_user=ben)
    revert = scanned(request_revert(plan.case, acting_user=ada))
    with pytest.raises(NotRetriable):
        request_retry(revert, acting_user=ada)
    assert not Plan.objects.filter(retries__isnull=False).exists()


def test_an_open_retry_and_other_open_plans_do_not_push_each_other_aside(ada: User, ben: User) -> None:
    ids = report(3)
    plan = approved(previewed(ada), ben)
    recalculate(ids[0], fee_percent=5, at=LATER)
    applied(plan, ada)
    plan.refresh_from_db()
    retry = scanned(request_retry(plan, acting_user=ada))
    with pytest.raises(RetryOpen):
        request_preview(plan.case, acting_user=ada)
    whole = scanned(request_preview(plan.case, acting_user=ada, again=True))
    assert Plan.objects.get(pk=retry.pk).status == "superseded"
    with pytest.raises(PlanUnderWay, match=f"Plan {whole.pk}"):
        request_retry(plan, acting_user=ada)


def test_the_database_holds_what_a_retry_names(ada: User, ben: User) -> None:
    ids = report(3)
    plan = approved(previewed(ada), ben)
    recalculate(ids[0], fee_percent=5, at=LATER)
    applied(plan, ada)
    plan.refresh_from_db()
    retry = scanned(request_retry(plan, acting_user=ada))
    with pytest.raises(DatabaseError, match="is frozen"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE remediation_plan SET retries_id = NULL WHERE id = %s", [retry.pk])
    with (
        pytest.raises(DatabaseError, match="nothing to try again"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO remediation_plan (revision_id, case_id, kind, retries_id, reason, targets, calculator_digest,"
            " high_water, policy, requested_by_id, status, failure)"
            " SELECT revision_id, case_id, kind, id, reason, targets, calculator_digest, high_water, policy, requested_by_id,"
            " 'previewing', '' FROM remediation_plan WHERE id = %s",
            [retry.pk],
        )


def test_a_retry_is_asked_for_by_command_and_by_button(
    ada: User, ben: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    ids = report(4)
    plan = previewed(ada, target="mendable")
    applied(approved(plan, ben), ada)
    calculators.MENDED.add("mendable")
    client.force_login(ben)
    assert "Try again" not in client.get(f"/remediation/plan/{plan.pk}/").content.decode()
    client.force_login(ada)
    page = client.get(f"/remediation/plan/{plan.pk}/").content.decode()
    assert "Plan to try 2 transactions again" in page
    answer = client.post(f"/remediation/plan/{plan.pk}/retry/", follow=True)
    retry = Plan.objects.get(retries=plan)
    assert answer.redirect_chain[-1][0] == f"/remediation/plan/{retry.pk}/"
    assert (
        f'Try the failed and conflicting rows of <a href="/remediation/plan/{plan.pk}/"'
        in answer.content.decode()
    )
    told = asked("retry", str(plan.pk), "--as", "ada", "--work")
    assert (told["plan"], told["retries"], told["proposed"], told["status"]) == (
        retry.pk,
        plan.pk,
        2,
        "ready",
    )
    assert asked("approve", str(retry.pk), "--digest", told["digest"], "--as", "ben")["status"] == "approved"
    assert asked("apply", str(retry.pk), "--as", "ada", "--work")["applied"] == 2
    assert totals(ids) == [fee(1000 + index, 2) for index in range(4)]
    assert told["digest"] == digest(retry) or digest(Plan.objects.get(pk=retry.pk)) == told["digest"]
