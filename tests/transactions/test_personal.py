"""Personal data is masked, shown to those who may and say why, and every look stands in the trail."""

from typing import Any

import pytest
from django.test import Client

from audit.models import AuditEntry
from audit.permission import NotPermitted
from tests.conftest import UserFactory
from tests.remediation.incident import report
from transactions.models import PersonalData, Transaction
from transactions.personal import NothingPersonal, PurposeMissing, masked, reveal_personal_data

PERSON = {
    "name": "Adaline Mueller",
    "phone": 41791234567,
    "address": {"city": "Bern", "lines": ["Gasse 1", "3011"]},
}


@pytest.fixture
def sold(db: None) -> Transaction:
    transaction = Transaction.objects.get(pk=report(1)[0])
    PersonalData.objects.create(transaction=transaction, data=PERSON)
    return transaction


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Adaline Mueller", "A•••"),
        ("Bern", "B•••"),
        ("Ada", "•••"),
        (41791234567, "•••"),
        (True, "•••"),
        ("", ""),
        (None, None),
        (["a@b.example", "c@d.example"], ["a•••"]),
        ({"city": "Bern"}, {"city": "B•••"}),
    ],
)
def test_every_value_is_masked_and_none_shows_how_long_it_is(value: Any, shown: Any) -> None:
    assert masked(value) == shown


@pytest.mark.parametrize("role", ["support", "auditor", "engineer", "approver", "administrator"])
def test_a_transactions_page_shows_nobody_more_than_the_mask(
    client: Client, users: UserFactory, sold: Transaction, role: str
) -> None:
    client.force_login(users(role))
    page = client.get(f"/transactions/transaction/{sold.pk}/").content.decode()
    assert "A•••" in page
    assert "Adaline" not in page
    assert "4179" not in page
    assert ("Show what is behind the dots" in page) == (role in ("support", "auditor"))


def test_support_sees_it_once_they_say_why_and_the_trail_says_so_without_the_data(
    client: Client, users: UserFactory, sold: Transaction
) -> None:
    client.force_login(users("support", name="sue"))
    answer = client.post(f"/transactions/transaction/{sold.pk}/reveal/", {"reason": " She calls. "})
    assert "Adaline Mueller" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    entry = AuditEntry.objects.get(event="transaction.personal_data_revealed")
    assert (entry.actor_label, entry.subject_id, entry.reason) == ("sue", sold.pk, "She calls.")
    assert entry.data == {"fields": ["address", "name", "phone"]}
    again = client.get(f"/transactions/transaction/{sold.pk}/reveal/")
    assert (again.status_code, again["Location"]) == (302, f"/transactions/transaction/{sold.pk}/#person")


def test_without_a_reason_a_permission_or_anything_to_see_nothing_is_shown(
    client: Client, users: UserFactory, sold: Transaction
) -> None:
    with pytest.raises(PurposeMissing):
        reveal_personal_data(sold, reason="  ", acting_user=users("support"))
    with pytest.raises(NotPermitted):
        reveal_personal_data(sold, reason="Why not", acting_user=users("engineer"))
    client.force_login(users("engineer"))
    refused = client.post(f"/transactions/transaction/{sold.pk}/reveal/", {"reason": "x"}, follow=True)
    assert "Adaline" not in refused.content.decode()
    assert AuditEntry.objects.filter(
        event="access.denied", data__tried="can see personal data unmasked"
    ).exists()
    PersonalData.objects.all().delete()
    with pytest.raises(NothingPersonal):
        reveal_personal_data(sold, reason="She calls.", acting_user=users("support"))
    assert not AuditEntry.objects.filter(event="transaction.personal_data_revealed").exists()
