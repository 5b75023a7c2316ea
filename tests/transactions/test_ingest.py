"""What services report, taken in: counted exactly, landed once, never overwriting, and audited."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.models import AuditEntry
from audit.permission import NotPermitted
from tests.conftest import UserFactory
from transactions.canonical import FloatRefused
from transactions.ingest import IngestResult, ReportedTransaction, ingest
from transactions.models import (
    Calculation,
    CurrentCalculation,
    IngestBatch,
    PersonalData,
    Release,
    Supersession,
    Transaction,
)

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def engineer(db: None, users: UserFactory) -> User:
    return users("engineer")


def reported(position: int = 0, **facts: Any) -> ReportedTransaction:
    """A parking ticket of 4.50, or what `facts` say otherwise."""
    ticket: dict[str, Any] = {
        "reference": f"ticket-{position}",
        "store": "garage-1",
        "currency": "USD",
        "scale": 2,
        "occurred_at": NOON,
        "inputs": {"hours": "1.5"},
        "service": "parking",
        "calculator": "parking",
        "version": "1.0.0",
        "calculated_at": NOON + timedelta(hours=1),
        "amounts": {"fee": 450, "total": 450},
    }
    return ReportedTransaction(position=position, **(ticket | facts))


def taken_in(user: User, *records: ReportedTransaction, source: str = "tickets") -> IngestResult:
    return ingest(records, source=source, origin="a test", acting_user=user)


def totals() -> dict[str, int]:
    """What every transaction stands on."""
    standing = CurrentCalculation.objects.select_related("transaction", "calculation")
    return {each.transaction.reference: each.calculation.total for each in standing}


def test_facts_results_pointers_and_the_audit_entry_land_together(engineer: User) -> None:
    result = taken_in(
        engineer,
        reported(0, store_name="Garage One", store_country="US", personal={"plate": "ZÜ 1"}),
        reported(1, reference="ticket-1", currency="KWD", scale=3, amounts={"fee": -1500, "total": -1500}),
    )
    assert (result.imported, result.unchanged, result.recalculated, result.rejections) == (2, 0, 0, [])
    ticket = Transaction.objects.get(reference="ticket-0")
    assert (ticket.source, ticket.currency, ticket.scale, ticket.occurred_at) == ("tickets", "USD", 2, NOON)
    assert ticket.inputs == {"hours": "1.5"}
    assert (ticket.store.reference, ticket.store.name, ticket.store.country) == (
        "garage-1",
        "Garage One",
        "US",
    )
    calculation = Calculation.objects.get(transaction=ticket)
    assert (calculation.amounts, calculation.total) == ({"fee": 450, "total": 450}, 450)
    assert calculation.calculated_at == NOON + timedelta(hours=1)
    release = Release.objects.get()
    assert calculation.release == release
    assert (release.service, release.calculator, release.version) == ("parking", "parking", "1.0.0")
    assert totals() == {"ticket-0": 450, "ticket-1": -1500}
    assert PersonalData.objects.get().data == {"plate": "ZÜ 1"}
    entry = AuditEntry.objects.get(event="transactions.imported")
    assert entry.actor == engineer
    assert {key: entry.data[key] for key in ("source", "origin", "imported", "unchanged")} == {
        "source": "tickets",
        "origin": "a test",
        "imported": 2,
        "unchanged": 0,
    }


def test_the_hash_of_the_facts_is_the_one_that_the_database_computes(engineer: User) -> None:
    inputs = {"b": "ß", "aa": [{"x": None, "y": True}], "": '\\ \t \n \r " \x7f 😀', "z": {"n": "1"}}
    taken_in(engineer, reported(0, reference="a\tb\\N\nc\r", store="\\.", inputs=inputs))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.reference, s.reference, t.inputs::text, t.facts_hash = amends_facts_hash("
            "t.source, t.reference, s.reference, t.currency, t.scale, t.occurred_at, t.inputs)"
            " FROM transactions_transaction t JOIN transactions_store s ON s.id = t.store_id"
        )
        reference, store, _, same = cursor.fetchone()
    assert (reference, store, same) == ("a\tb\\N\nc\r", "\\.", True)
    assert Transaction.objects.get().inputs == inputs


def test_the_same_again_changes_nothing_and_writes_nothing(engineer: User) -> None:
    records = [reported(i) for i in range(5)]
    taken_in(engineer, *records)
    again = taken_in(engineer, *records)
    assert (again.imported, again.unchanged, again.rejections, again.batch_id) == (0, 5, [], None)
    assert IngestBatch.objects.count() == 1
    assert Calculation.objects.count() == 5
    assert AuditEntry.objects.filter(event="transactions.imported").count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"store": "garage-2"},
        {"currency": "EUR"},
        {"scale": 3},
        {"occurred_at": NOON + timedelta(microseconds=1)},
        {"inputs": {"hours": "1.50"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_facts_of_a_known_reference_are_rejected_and_not_overwritten(
    engineer: User, other: dict[str, Any]
) -> None:
    taken_in(engineer, reported(0))
    before = Transaction.objects.values().get()
    later = NOON + timedelta(days=1)
    result = taken_in(engineer, reported(7, reference="ticket-0", calculated_at=later, **other), reported(8))
    assert (result.imported, result.unchanged, len(result.rejections)) == (1, 0, 1)
    assert (result.rejections[0].position, result.rejections[0].column) == (7, "reference")
    assert "other facts" in result.rejections[0].reason
    assert Transaction.objects.values().get(reference="ticket-0") == before
    assert totals() == {"ticket-0": 450, "ticket-8": 450}


def test_other_amounts_of_the_same_calculation_are_rejected(engineer: User) -> None:
    taken_in(engineer, reported(0))
    result = taken_in(engineer, reported(3, reference="ticket-0", amounts={"fee": 451, "total": 451}))
    assert (result.imported, result.unchanged) == (0, 0)
    (rejection,) = result.rejections
    assert (rejection.position, rejection.column) == (3, "amounts")
    assert "450" in rejection.reason
    assert totals() == {"ticket-0": 450}
    assert Calculation.objects.count() == 1


def test_of_two_mentions_in_one_import_the_first_counts(engineer: User) -> None:
    result = taken_in(
        engineer,
        reported(0),
        reported(1, reference="ticket-0"),
        reported(2, reference="ticket-0", amounts={"fee": 1, "total": 1}),
        reported(3, reference="ticket-0", inputs={"hours": "9"}),
    )
    assert (result.imported, result.unchanged) == (1, 1)
    assert [(each.position, each.column) for each in result.rejections] == [(2, "amounts"), (3, "reference")]
    assert totals() == {"ticket-0": 450}


def test_a_later_calculation_moves_the_pointer_and_an_older_one_does_not(engineer: User) -> None:
    taken_in(engineer, reported(0))
    later = reported(0, version="2.0.0", calculated_at=NOON + timedelta(days=1), amounts={"total": 500})
    older = reported(1, reference="ticket-0", calculated_at=NOON, amounts={"total": 1})
    result = taken_in(engineer, later)
    assert (result.imported, result.recalculated, result.superseding_corrections) == (1, 1, 0)
    assert totals() == {"ticket-0": 500}
    result = taken_in(engineer, older)
    assert (result.imported, result.recalculated) == (1, 1)
    assert totals() == {"ticket-0": 500}
    assert Calculation.objects.count() == 3
    moved = Supersession.objects.get()
    assert (moved.superseded_by.total, moved.superseded.total, moved.of_correction) == (500, 450, False)


def test_a_transaction_new_with_two_calculations_stands_on_the_newest(engineer: User) -> None:
    newer = {"calculated_at": NOON + timedelta(hours=5), "amounts": {"total": 7}}
    result = taken_in(engineer, reported(0, **newer), reported(1, reference="ticket-0"))
    assert (result.imported, result.recalculated, result.unchanged) == (2, 1, 0)
    assert totals() == {"ticket-0": 7}


def test_one_source_does_not_know_the_references_of_another(engineer: User) -> None:
    taken_in(engineer, reported(0), source="east")
    result = taken_in(engineer, reported(0, store="garage-9", inputs={}), source="west")
    assert (result.imported, result.rejections) == (1, [])
    assert Transaction.objects.filter(reference="ticket-0").count() == 2


def test_what_was_erased_does_not_come_back_with_its_file(engineer: User) -> None:
    record = reported(0, personal={"name": "Ada"})
    taken_in(engineer, record)
    PersonalData.objects.all().delete()
    taken_in(engineer, record)
    taken_in(engineer, record._replace(calculated_at=NOON + timedelta(days=1)))
    assert not PersonalData.objects.exists()


def test_personal_data_is_in_no_hash(engineer: User) -> None:
    taken_in(engineer, reported(0, personal={"name": "Ada"}))
    result = taken_in(engineer, reported(0, personal={"name": "Ben"}))
    assert (result.imported, result.unchanged) == (0, 1)
    assert PersonalData.objects.get().data == {"name": "Ada"}


def test_a_float_in_the_inputs_lands_nothing(engineer: User) -> None:
    with pytest.raises(FloatRefused), transaction.atomic():
        taken_in(engineer, reported(0), reported(1, inputs={"hours": 1.5}))
    assert not Transaction.objects.exists()


@pytest.mark.parametrize("role", ["support", "approver", "auditor"])
def test_only_who_may_import_does(db: None, users: UserFactory, role: str) -> None:
    with pytest.raises(NotPermitted):
        taken_in(users(role), reported(0))
    assert not Transaction.objects.exists()
    assert not AuditEntry.objects.filter(event="transactions.imported").exists()


def test_nothing_at_all_is_no_batch(engineer: User) -> None:
    result = taken_in(engineer)
    assert (result.imported, result.unchanged, result.batch_id) == (0, 0, None)
    assert not IngestBatch.objects.exists()


def test_more_than_one_slice_of_pointers_is_pointed_at(
    engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transactions.ingest.POINTED_AT_A_TIME", 3)
    taken_in(engineer, *(reported(i) for i in range(10)))
    later = NOON + timedelta(days=1)
    again = [
        reported(i, calculated_at=later + timedelta(minutes=k), amounts={"total": 100 * i + k})._replace(
            position=10 * i + k
        )
        for i in range(10)
        for k in (2, 1)
    ]
    result = taken_in(engineer, *again)
    assert (result.imported, result.recalculated) == (20, 20)
    assert totals() == {f"ticket-{i}": 100 * i + 2 for i in range(10)}
