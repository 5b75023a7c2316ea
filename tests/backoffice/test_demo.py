"""The demo's story with real workers, from an empty database, and what it says against what the rows say."""

import json
from collections import Counter
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings
from rich.console import Console

from audit.command_line import AmendsCommand
from audit.errors import Refused
from audit.models import AuditEntry
from backoffice.demo.generator import SEED, UPGRADE, UPGRADE_OF_PAYMENTS, DemoTransaction, generate
from backoffice.demo.landing import Size, land
from backoffice.demo.narration import Narrator
from backoffice.demo.people import make_people
from backoffice.demo.proof import DemoDoesNotAddUp, check_applied, check_books
from backoffice.demo.story import Story
from backoffice.roles import ROLES
from remediation.following import follow
from remediation.models import Approval, Case, Plan
from remediation.preview import request_preview
from remediation.stage import Stage, stage_of
from tests.conftest import WorkerFactory
from tests.remediation.incident import report
from transactions.calculators import calculator
from transactions.models import Transaction

SIZE = {"transactions": 10_000, "stores": 1_000}


def demo(**options: Any) -> dict[str, Any]:
    """What the demo answers to scripts."""
    out = StringIO()
    call_command("demo", as_json=True, stdout=out, stderr=StringIO(), **(SIZE | options))
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def was_missed(order: DemoTransaction) -> bool:
    return order.service == "payments" and UPGRADE <= order.calculated_at < UPGRADE_OF_PAYMENTS


def books() -> dict[str, int]:
    """The sum of what all transactions stand on, by currency and scale."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.currency || ':' || t.scale, sum(c.total) FROM transactions_transaction t"
            " JOIN transactions_currentcalculation current ON current.transaction_id = t.id"
            " JOIN transactions_calculation c ON c.id = current.calculation_id GROUP BY 1"
        )
        return {key: int(total) for key, total in cursor.fetchall()}


@pytest.mark.usefixtures("committed_db")
def test_the_story_corrects_exactly_what_was_missed_and_is_told_once(
    worker_process: WorkerFactory, owner_connection: "psycopg.Connection[Any]", settings: Settings
) -> None:
    worker_process(concurrency=2)
    orders = list(generate(**SIZE))
    target = calculator("pricing", "2.0.0")
    right = {
        order.reference: target.calculate(order.inputs, order.scale) if was_missed(order) else order.amounts
        for order in orders
    }
    expected: Counter[str] = Counter()
    for order in orders:
        expected[f"{order.currency}:{order.scale}"] += right[order.reference]["total"]
    wrong = sum(order.amounts != right[order.reference] for order in orders)

    answer = demo()

    assert wrong > 100
    assert answer["applied"] == wrong
    assert books() == expected
    assert Transaction.objects.count() == len(orders)
    plan = Plan.objects.get(pk=answer["plan"])
    assert plan.manifest["proposed"] == wrong
    assert (
        sum(
            each.data["applied"]
            for each in AuditEntry.objects.filter(event="chunk.applied", data__plan=plan.pk)
        )
        == wrong
    )
    stages = {case.incident.split()[0]: stage_of(case) for case in Case.objects.all()}
    assert stages == {"Rehearsal": Stage.REVERTED, "payments": Stage.VERIFIED, "invoicing": Stage.READY}
    assert set(plan.approvals.values_list("decided_by__username", flat=True)) == {"approver"}

    _asked_again_it_changes_nothing(answer)
    _its_people_can_sign_in()
    _a_plan_left_for_too_long_is_previewed_again(answer, settings)
    _it_would_notice_a_pointer_that_was_moved(plan, answer["applied"], owner_connection)


def _asked_again_it_changes_nothing(answer: dict[str, Any]) -> None:
    entries, before = AuditEntry.objects.count(), books()
    again = demo()
    assert (again["new"], again["case"], again["open_digest"]) == (
        False,
        answer["case"],
        answer["open_digest"],
    )
    assert AuditEntry.objects.count() == entries
    assert books() == before


def _its_people_can_sign_in() -> None:
    out = StringIO()
    call_command("demo", stdout=out, stderr=StringIO(), **SIZE)
    password = out.getvalue().partition("password of all five: ")[2].split()[0]
    for role in ROLES:
        user = authenticate(username=role, password=password)
        assert user is not None
        assert [group.name for group in user.groups.all()] == [role]


def _a_plan_left_for_too_long_is_previewed_again(answer: dict[str, Any], settings: Settings) -> None:
    settings.AMENDS_APPROVAL_POLICY = {"fresh_hours": 0}
    case = Case.objects.get(pk=answer["open_case"])
    stale = request_preview(case, acting_user=User.objects.get(username="engineer"), again=True)
    follow(stale.jobs.get(), work_here=False, seen=lambda _: None)
    settings.AMENDS_APPROVAL_POLICY = {}

    again = demo()

    assert again["open_plan"] > stale.pk
    assert (again["open_case"], again["open_status"]) == (case.pk, "ready")
    stale.refresh_from_db()
    assert stale.status == Plan.Status.SUPERSEDED


def _it_would_notice_a_pointer_that_was_moved(
    plan: Plan, applied: int, owner: "psycopg.Connection[Any]"
) -> None:
    deltas = {key: part["delta"] for key, part in plan.manifest["money"].items()}
    assert sum(each.applied for each in check_applied(plan)) == applied
    assert check_books(applied, deltas) == SIZE["transactions"]
    owner.execute(
        "UPDATE transactions_currentcalculation current SET calculation_id = proposal.replaces_id FROM transactions_calculation proposal"
        " WHERE proposal.id = current.calculation_id AND current.transaction_id = (SELECT min(transaction_id)"
        " FROM transactions_calculation JOIN remediation_planchunk chunk ON chunk.id = plan_chunk_id WHERE chunk.plan_id = %s)",
        (plan.pk,),
    )
    with pytest.raises(DemoDoesNotAddUp):
        check_applied(plan)
    with pytest.raises(DemoDoesNotAddUp):
        check_books(applied, deltas)


class BrokenOff(Exception):
    """Somebody pressed Ctrl-C."""


class ImpatientNarrator(Narrator):
    """Stops listening when it comes to the verification."""

    def heading(self, text: str) -> None:
        if text.startswith("Verify"):
            raise BrokenOff
        super().heading(text)


@pytest.mark.usefixtures("committed_db")
def test_a_story_that_was_broken_off_goes_on_where_it_was(worker_process: WorkerFactory) -> None:
    worker_process()
    narrator = ImpatientNarrator(Console(file=StringIO()), AmendsCommand(stderr=StringIO()).progress)
    people = make_people()
    land(Size(**SIZE, seed=SEED), narrator, acting_user=people.user("engineer"))
    with pytest.raises(BrokenOff):
        Story(narrator, people).run()
    plans, approvals = Plan.objects.count(), Approval.objects.count()

    answer = demo()

    assert answer["new"] is True
    assert (Plan.objects.count(), Approval.objects.count()) == (plans + 1, approvals)  # the visitor's plan
    assert Transaction.objects.count() == SIZE["transactions"]
    assert stage_of(Case.objects.get(pk=answer["case"])) == Stage.VERIFIED


@pytest.mark.django_db
def test_production_has_no_demo(settings: Settings) -> None:
    settings.PRODUCTION = True
    with pytest.raises(Refused, match="production"):
        demo()


@pytest.mark.django_db
def test_it_keeps_away_from_transactions_that_are_not_its_own() -> None:
    report(3)
    with pytest.raises(Refused, match="transactions of your own"):
        demo()
    assert Transaction.objects.count() == 3


@pytest.mark.django_db
def test_too_few_transactions_for_a_story_are_wrong_usage() -> None:
    with pytest.raises(CommandError, match="at least") as error:
        demo(transactions=100)
    assert error.value.returncode == 2
