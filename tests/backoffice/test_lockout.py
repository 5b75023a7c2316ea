"""Ten wrong passwords for a name from one address, and none from there is looked at for a quarter of an hour."""

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from audit.command_line import authenticated_user
from audit.errors import Refused
from audit.models import AuditEntry
from audit.sentence import sentence
from backoffice.settings import _whole
from tests.conftest import PASSWORD, UserFactory

LIMIT = 10


@pytest.fixture
def ana(db: None, users: UserFactory) -> User:
    return users("engineer", name="ana")


def from_address(address: str, **headers: str) -> Client:
    return Client(REMOTE_ADDR=address, headers=headers)


def try_passwords(client: Client, *, times: int, name: str = "ana", password: str = "wrong") -> list[int]:
    return [
        client.post("/login/", {"username": name, "password": password}).status_code for _ in range(times)
    ]


def locked(client: Client, name: str = "ana") -> bool:
    return try_passwords(client, times=1, name=name, password=PASSWORD) == [429]


def lockouts() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event="user.locked_out").order_by("id"))


def test_the_tenth_wrong_password_locks_and_then_the_right_one_is_not_looked_at(ana: User) -> None:
    client = from_address("192.0.2.1")
    assert try_passwords(client, times=LIMIT) == [200] * (LIMIT - 1) + [429]
    answer = client.post("/login/", {"username": "ana", "password": PASSWORD})
    assert answer.status_code == 429
    assert "_auth_user_id" not in client.session
    assert 0 < int(answer["Retry-After"]) <= 15 * 60
    page = answer.content.decode()
    assert "Try again in 15 minutes, after" in page
    assert "10 wrong passwords were given for this name" in page
    assert "default-src 'self'" in answer["Content-Security-Policy"]


def test_nine_wrong_passwords_lock_nobody_out_and_the_right_one_begins_the_count_anew(ana: User) -> None:
    client = from_address("192.0.2.1")
    for _ in range(2):
        assert try_passwords(client, times=LIMIT - 1) == [200] * (LIMIT - 1)
        assert not locked(client)
        client.post("/logout/")


def test_nobody_is_locked_out_elsewhere_and_no_other_name_is(ana: User, users: UserFactory) -> None:
    users("engineer", name="ben")
    stranger = from_address("198.51.100.66")
    try_passwords(stranger, times=3 * LIMIT)
    assert locked(stranger)
    assert not locked(from_address("192.0.2.1"))
    assert not locked(stranger, "ben")


def test_another_browser_at_the_same_address_does_not_begin_anew(ana: User) -> None:
    assert try_passwords(from_address("192.0.2.1", user_agent="one"), times=6) == [200] * 6
    assert try_passwords(from_address("192.0.2.1", user_agent="two"), times=4) == [200] * 3 + [429]


def test_a_quarter_of_an_hour_later_the_right_password_signs_in_and_nothing_is_kept(ana: User) -> None:
    client = from_address("192.0.2.1")
    try_passwords(client, times=LIMIT)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert locked(client)  # trying meanwhile made it no longer either
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15))
    assert not locked(client)
    assert not AccessAttempt.objects.exists()


def test_attempts_that_no_longer_count_are_deleted_with_the_next_failure_of_anybody(ana: User) -> None:
    try_passwords(from_address("192.0.2.1"), times=3)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    try_passwords(from_address("192.0.2.2"), times=1)
    assert [attempt.ip_address for attempt in AccessAttempt.objects.all()] == ["192.0.2.2"]


def test_a_lockout_stands_in_the_trail_once_with_the_account_and_the_address(ana: User) -> None:
    try_passwords(from_address("192.0.2.1"), times=LIMIT + 3)
    (entry,) = lockouts()
    assert (entry.actor_id, entry.subject_id, entry.data) == (
        None,
        ana.pk,
        {"address": "192.0.2.1", "name_hash": "", "failures": 10, "minutes": 15},
    )
    assert sentence(entry).startswith("nobody can sign in as ana from one address for a while")


def test_no_password_is_stored_not_even_one_typed_as_a_name(ana: User) -> None:
    secret = "hunter2-hunter2"
    client = from_address("192.0.2.1")
    assert try_passwords(client, times=LIMIT, name=secret, password="x")[-1] == 429
    client.post(f"/login/?password={secret}", {"username": "ana", "password": secret})
    stored = list(AccessAttempt.objects.order_by("pk").values())
    assert [attempt["failures_since_start"] for attempt in stored] == [LIMIT, 1]
    assert secret not in f"{stored} {[vars(entry) for entry in AuditEntry.objects.all()]}"
    (entry,) = lockouts()
    assert (entry.subject_id, len(entry.data["name_hash"])) == (0, 16)


def test_a_name_with_what_a_database_cannot_hold_fails_like_any_other(ana: User) -> None:
    assert try_passwords(from_address("192.0.2.1"), times=2, name="a\0na" * 90) == [200, 200]


def test_commands_are_neither_counted_nor_locked_out_but_told(
    ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_passwords(from_address("127.0.0.1"), times=LIMIT)
    monkeypatch.setenv("AMENDS_PASSWORD", "wrong")
    for _ in range(LIMIT + 1):
        with pytest.raises(Refused, match="no active user “ana” with that password"):
            authenticated_user("ana")
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    assert authenticated_user("ana") == ana
    assert AccessAttempt.objects.get().failures_since_start == LIMIT
    assert AuditEntry.objects.filter(event="trail.flooded").exists()


def test_a_refused_command_says_nothing_of_how_attempts_are_counted(
    ana: User, capfd: pytest.CaptureFixture[str]
) -> None:
    assert authenticate(username="ana", password="wrong") is None
    assert "AXES" not in "".join(capfd.readouterr())


def test_what_is_said_to_be_forwarded_is_believed_of_ones_own_proxies_only(ana: User, settings: Any) -> None:
    stranger = from_address("10.0.0.1", x_forwarded_for="198.51.100.66")
    try_passwords(stranger, times=LIMIT)
    assert AccessAttempt.objects.get().ip_address == "10.0.0.1"
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    assert not locked(stranger)
    stranger.post("/logout/")
    # What was there before our own proxy added to it is whoever's who asks.
    for made_up in range(LIMIT):
        try_passwords(from_address("10.0.0.1", x_forwarded_for=f"192.0.2.{made_up}, 198.51.100.66"), times=1)
    assert locked(stranger)
    assert not locked(from_address("10.0.0.1", x_forwarded_for="192.0.2.7"))
    assert [entry.data["address"] for entry in lockouts()] == ["10.0.0.1", "198.51.100.66"]


def test_the_log_tells_no_address_that_whoever_asks_made_up(
    ana: User, caplog: pytest.LogCaptureFixture
) -> None:
    try_passwords(from_address("10.0.0.1", x_forwarded_for="198.51.100.66"), times=LIMIT)
    told = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [line["ip"] for line in told if line["event"] == "request_finished"] == ["10.0.0.1"]


def test_an_address_that_is_none_is_not_kept(ana: User, settings: Any) -> None:
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    assert try_passwords(from_address("", x_forwarded_for="<nonsense>"), times=LIMIT)[-1] == 429
    assert AccessAttempt.objects.get().ip_address is None


def test_how_many_and_for_how_long_must_be_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_SIGN_IN_FAILURES", "0")
    with pytest.raises(ImproperlyConfigured, match="AMENDS_SIGN_IN_FAILURES is “0”"):
        _whole("AMENDS_SIGN_IN_FAILURES", 10, least=1)
    monkeypatch.setenv("AMENDS_SIGN_IN_FAILURES", "3")
    assert _whole("AMENDS_SIGN_IN_FAILURES", 10, least=1) == 3


def test_another_limit_is_kept_exactly(ana: User, settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    assert try_passwords(from_address("192.0.2.1"), times=3) == [200, 200, 429]
