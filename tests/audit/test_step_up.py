"""Whoever decides shows once more that it is they: by the password, checked and told to the trail, never kept."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from audit.models import AuditEntry
from audit.step_up import (
    GOOD_FOR,
    MOST_FAILURES,
    Confirmation,
    NotConfirmed,
    TooManyFailures,
    confirm_by_password,
    demand_confirmation,
)
from tests.conftest import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def test_the_right_password_confirms_and_leaves_no_entry(approver: User) -> None:
    confirmation = confirm_by_password(approver, PASSWORD)
    assert (confirmation.user, confirmation.by) == (approver.pk, "password")
    demand_confirmation(confirmation, approver)
    assert not AuditEntry.objects.filter(event="user.sign_in_failed").exists()


@pytest.mark.parametrize("given", ["", "not it", PASSWORD.upper()])
def test_another_one_does_not(approver: User, given: str) -> None:
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, given)


def test_a_wrong_password_stands_in_the_trail_and_is_not_written_down(approver: User) -> None:
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, "a-wrong-secret")
    entry = AuditEntry.objects.get(event="user.sign_in_failed")
    assert entry.subject_id == approver.pk
    assert "a-wrong-secret" not in str(entry.data)


def test_after_too_many_wrong_ones_none_is_checked_for_a_while(approver: User, users: UserFactory) -> None:
    for _ in range(MOST_FAILURES):
        with pytest.raises(NotConfirmed):
            confirm_by_password(approver, "guess")
    with pytest.raises(TooManyFailures):
        confirm_by_password(approver, PASSWORD)
    other = users("approver", name="cleo")
    assert confirm_by_password(other, PASSWORD).user == other.pk


def test_somebody_who_was_made_inactive_confirms_nothing(approver: User) -> None:
    approver.is_active = False
    approver.save()
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, PASSWORD)


def test_a_confirmation_is_good_for_whoever_gave_it_and_not_for_long(approver: User, engineer: User) -> None:
    confirmation = confirm_by_password(approver, PASSWORD)
    with pytest.raises(NotConfirmed, match="somebody else"):
        demand_confirmation(confirmation, engineer)
    old = Confirmation(approver.pk, "password", timezone.now() - GOOD_FOR - timedelta(seconds=1))
    with pytest.raises(NotConfirmed, match="too long ago"):
        demand_confirmation(old, approver)
