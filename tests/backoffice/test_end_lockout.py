"""Whoever manages accounts ends a lockout before its time, and the trail says so."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.models import AuditEntry
from audit.permission import NotPermitted
from audit.sentence import sentence
from backoffice.end_lockout import NotLockedOut, end_lockouts, lockouts_of
from tests.backoffice.test_lockout import LIMIT, from_address, locked, try_passwords
from tests.conftest import UserFactory

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.66"


@pytest.fixture
def ana(db: None, users: UserFactory) -> User:
    """An engineer who gave as many wrong passwords here as lock her out, and some elsewhere."""
    ana = users("engineer", name="ana")
    for browser in ("one", "two"):
        try_passwords(from_address(HERE, user_agent=browser), times=LIMIT // 2)
    try_passwords(from_address(ELSEWHERE), times=3)
    return ana


@pytest.fixture
def eve(db: None, users: UserFactory) -> User:
    return users("administrator", name="eve")


def ended() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event="user.lockout_ended"))


def test_an_ended_lockout_lets_the_right_password_in_and_forgets_nothing_of_elsewhere(
    ana: User, eve: User
) -> None:
    assert locked(from_address(HERE))
    (lockout,) = end_lockouts(ana, acting_user=eve)
    assert (lockout.address, lockout.failures) == (HERE, LIMIT)
    assert timezone.now() < lockout.until <= timezone.now() + timedelta(minutes=15)
    assert [each.ip_address for each in AccessAttempt.objects.all()] == [ELSEWHERE]
    assert not locked(from_address(HERE))


def test_the_trail_says_who_ended_it_where_and_how_many_were_forgotten(ana: User, eve: User) -> None:
    end_lockouts(ana, acting_user=eve)
    (entry,) = ended()
    assert (entry.actor_id, entry.subject_type, entry.subject_id, entry.data) == (
        eve.pk,
        "auth.user",
        ana.pk,
        {"addresses": [HERE], "failures": LIMIT},
    )
    assert sentence(entry) == "eve let ana sign in again before a lockout was over"


@pytest.mark.parametrize("role", ["support", "engineer", "approver", "auditor"])
def test_nobody_else_ends_a_lockout(ana: User, users: UserFactory, client: Client, role: str) -> None:
    other = users(role)
    with pytest.raises(NotPermitted):
        end_lockouts(ana, acting_user=other)
    client.force_login(other)
    assert client.post(f"/auth/user/{ana.pk}/end_lockout/").status_code == 403
    assert (locked(from_address(HERE)), ended()) == (True, [])
    assert AuditEntry.objects.filter(event="access.denied", actor=other).count() == 1


def test_a_superusers_lockout_is_ended_by_a_superuser(ana: User, eve: User) -> None:
    User.objects.filter(pk=ana.pk).update(is_superuser=True)
    ana.refresh_from_db()
    with pytest.raises(NotPermitted, match="for superusers"):
        end_lockouts(ana, acting_user=eve)
    assert ended() == []
    root = User.objects.create_superuser("root")
    assert [each.address for each in end_lockouts(ana, acting_user=root)] == [HERE]


def test_what_is_over_or_was_ended_already_is_not_ended_again(ana: User, eve: User) -> None:
    end_lockouts(ana, acting_user=eve)
    with pytest.raises(NotLockedOut, match="ana is not locked out anywhere"):
        end_lockouts(ana, acting_user=eve)
    assert len(ended()) == 1


def test_a_lockout_that_is_over_is_not_shown_and_its_count_not_added_to(ana: User) -> None:
    AccessAttempt.objects.filter(user_agent="one").update(
        attempt_time=timezone.now() - timedelta(minutes=15, seconds=1)
    )
    assert lockouts_of(ana) == []


def test_the_accounts_page_says_where_from_and_the_button_ends_it(
    ana: User, eve: User, client: Client
) -> None:
    client.force_login(eve)
    address = f"/auth/user/{ana.pk}/change/"
    page = client.get(address).content.decode()
    assert f"Locked out from {HERE} until" in page
    assert f"{LIMIT} wrong passwords came from there." in page
    assert ELSEWHERE not in page
    told = client.post(f"/auth/user/{ana.pk}/end_lockout/", follow=True).content.decode()
    assert f"Passwords for ana are looked at again from: {HERE}." in told
    assert ("End the lockout" in page, "End the lockout" in told) == (True, False)
    again = client.post(f"/auth/user/{ana.pk}/end_lockout/", follow=True).content.decode()
    assert "Ana is not locked out anywhere: there is nothing to end." in again
    assert client.get(f"/auth/user/{ana.pk}/end_lockout/").status_code == 405
    assert client.post("/auth/user/987654/end_lockout/").status_code == 404


def test_the_list_of_people_offers_to_add_a_person(eve: User, client: Client) -> None:
    client.force_login(eve)
    assert ">Add a person</a>" in client.get("/auth/user/").content.decode()
