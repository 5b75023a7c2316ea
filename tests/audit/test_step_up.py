"""Whoever decides shows once more that it is they: by the password, checked and told to the trail, never kept."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from audit.models import AuditEntry
from audit.step_up import (
    FAILURES_WITHIN,
    GOOD_FOR,
    MOST_FAILURES,
    Confirmation,
    NotConfirmed,
    TooManyFailures,
    confirm_by_password,
    demand_confirmation,
)
from backoffice.sign_in import FAILURES
from tests.conftest import PASSWORD, UserFactory


@pytest.mark.django_db
def test_the_right_password_confirms_and_leaves_no_entry(approver: User) -> None:
    confirmation = confirm_by_password(approver, PASSWORD)
    assert (confirmation.user, confirmation.by) == (approver.pk, "password")
    demand_confirmation(confirmation, approver)
    assert not AuditEntry.objects.filter(event="user.not_confirmed").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["", "not it", PASSWORD.upper()])
def test_another_one_does_not(approver: User, given: str) -> None:
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, given)


@pytest.mark.django_db
def test_a_wrong_password_stands_in_the_trail_and_is_not_written_down(approver: User) -> None:
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, "a-wrong-secret")
    entry = AuditEntry.objects.get(event="user.not_confirmed")
    assert (entry.subject_id, entry.actor_id, entry.data) == (approver.pk, approver.pk, {"by": "password"})


@pytest.mark.django_db
def test_after_too_many_wrong_ones_none_is_checked_for_a_while(approver: User, users: UserFactory) -> None:
    for _ in range(MOST_FAILURES):
        with pytest.raises(NotConfirmed):
            confirm_by_password(approver, "guess")
    with pytest.raises(TooManyFailures):
        confirm_by_password(approver, PASSWORD)
    other = users("approver", name="cleo")
    assert confirm_by_password(other, PASSWORD).user == other.pk


@pytest.mark.django_db
def test_failed_sign_ins_neither_use_up_nor_hide_wrong_confirmations(approver: User, client: Client) -> None:
    for attempt in range(MOST_FAILURES + 1):
        client.login(username=approver.username, password=f"a stranger's guess {attempt}")
    assert confirm_by_password(approver, PASSWORD).user == approver.pk
    for attempt in range(FAILURES.in_all + 1):  # from here on none is written
        client.login(username=f"nobody-{attempt}", password="guess")
    for _ in range(MOST_FAILURES):
        with pytest.raises(NotConfirmed):
            confirm_by_password(approver, "guess")
    with pytest.raises(TooManyFailures):
        confirm_by_password(approver, PASSWORD)


@pytest.mark.django_db
def test_wrong_ones_stop_counting_after_ten_minutes(approver: User) -> None:
    for _ in range(MOST_FAILURES):
        AuditEntry.objects.create(
            event="user.not_confirmed",
            actor_id=approver.pk,
            actor_label=approver.username,
            subject_type="auth.user",
            subject_id=approver.pk,
            occurred_at=timezone.now() - FAILURES_WITHIN - timedelta(seconds=5),
            data={"by": "password"},
        )
    assert confirm_by_password(approver, PASSWORD).user == approver.pk


def test_of_many_guesses_at_once_no_more_are_checked_than_one_after_another(
    committed_db: None, users: UserFactory
) -> None:
    approver = users("approver")
    at_once = 24
    begin = Barrier(at_once)

    def guess(attempt: int) -> str:
        try:
            User.objects.exists()  # connected before they all begin
            begin.wait(timeout=60)
            confirm_by_password(approver, f"guess {attempt}")
        except NotConfirmed as refused:
            return type(refused).__name__
        finally:
            connection.close()
        return "confirmed"

    with ThreadPoolExecutor(at_once) as threads:
        answers = sorted(threads.map(guess, range(at_once)))
    assert answers == ["NotConfirmed"] * MOST_FAILURES + ["TooManyFailures"] * (at_once - MOST_FAILURES)
    assert AuditEntry.objects.filter(event="user.not_confirmed").count() == MOST_FAILURES


@pytest.mark.django_db
def test_the_password_that_counts_is_the_one_in_force_now(approver: User) -> None:
    changed = User.objects.get(pk=approver.pk)
    changed.set_password("another-one-9")
    changed.save()
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, PASSWORD)
    assert confirm_by_password(approver, "another-one-9").user == approver.pk


@pytest.mark.django_db
def test_somebody_who_was_made_inactive_confirms_nothing(approver: User) -> None:
    approver.is_active = False
    approver.save()
    with pytest.raises(NotConfirmed):
        confirm_by_password(approver, PASSWORD)


@pytest.mark.django_db
def test_a_confirmation_is_good_for_whoever_gave_it_and_not_for_long(approver: User, engineer: User) -> None:
    confirmation = confirm_by_password(approver, PASSWORD)
    with pytest.raises(NotConfirmed, match="somebody else"):
        demand_confirmation(confirmation, engineer)
    old = Confirmation(approver.pk, "password", timezone.now() - GOOD_FOR - timedelta(seconds=1))
    with pytest.raises(NotConfirmed, match="too long ago"):
        demand_confirmation(old, approver)
