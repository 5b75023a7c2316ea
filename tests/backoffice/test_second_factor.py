"""A second factor: set up, asked for at decisions, on signing in and by commands, taken away, and each code good once."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from audit.command_line import authenticated
from audit.errors import Refused
from audit.models import AuditEntry
from audit.one_time_codes import accept_code, has_second_factor
from audit.permission import NotPermitted
from audit.second_factor import (
    NoSecondFactor,
    SecondFactorIsOn,
    make_recovery_codes,
    new_secret,
    take_away,
    turn_off,
    turn_on,
)
from audit.sentence import sentence
from audit.step_up import (
    MOST_FAILURES,
    Confirmation,
    NotConfirmed,
    SecondFactorMissing,
    TooManyFailures,
    confirm_by_code,
    confirm_by_password,
    demand_confirmation,
)
from tests.conftest import PASSWORD, UserFactory
from tests.one_time_code import code_of, forget_last_code, with_second_factor


@pytest.fixture
def ben(db: None, users: UserFactory) -> User:
    return users("approver", name="ben")


@pytest.fixture
def page_of_ben(ben: User, client: Client) -> Client:
    client.force_login(ben)
    return client


def entries(event: str) -> list[tuple[str, int | None, dict[str, Any]]]:
    found = AuditEntry.objects.filter(event=event).order_by("id")
    return [(entry.actor_label, entry.subject_id, entry.data) for entry in found]


def press(client: Client, do: str, **fields: str) -> str:
    return client.post("/second_factor/", {"do": do, **fields}, follow=True).content.decode()


def test_it_is_set_up_on_a_page_with_a_code_and_ones_password(page_of_ben: Client, ben: User) -> None:
    assert 'href="/second_factor/"' in page_of_ben.get("/").content.decode()
    shown = press(page_of_ben, "begin")
    secret = re.search(r'id="secret">([A-Z2-7 ]+)<', shown)[1]
    assert "<svg" in shown
    assert 'style="' not in shown
    assert not has_second_factor(ben)
    assert "that is not your password" in press(page_of_ben, "on", code=code_of(secret), password="guess")
    assert "not the code that your app shows" in press(page_of_ben, "on", code="abcdef", password=PASSWORD)
    assert not has_second_factor(ben)
    assert not AuditEntry.objects.filter(event="user.second_factor_on").exists()
    done = press(page_of_ben, "on", code=code_of(secret), password=PASSWORD)
    codes = re.findall(r"<code>([a-z2-7]{4}-[a-z2-7]{4})</code>", done)
    assert len(set(codes)) == 10
    assert entries("user.second_factor_on") == [("ben", ben.pk, {"recovery_codes": 10})]
    later = page_of_ben.get("/second_factor/").content.decode()
    assert "On since" in later
    assert secret not in later
    assert codes[0] not in later
    assert secret.replace(" ", "") not in str([*AuditEntry.objects.values()])


def test_nothing_is_turned_on_twice_or_off_where_there_is_none(ben: User) -> None:
    with pytest.raises(NoSecondFactor):
        turn_off(acting_user=ben, code="123456", password=PASSWORD)
    with pytest.raises(NoSecondFactor):
        make_recovery_codes(acting_user=ben, code="123456")
    with_second_factor(ben)
    secret = new_secret()
    with pytest.raises(SecondFactorIsOn):
        turn_on(acting_user=ben, secret=secret, code=code_of(secret), password=PASSWORD)
    assert TOTPDevice.objects.count() == 1


def test_a_code_is_accepted_once_and_an_older_one_no_more(ben: User) -> None:
    secret, _codes = with_second_factor(ben)
    now, before = code_of(secret), code_of(secret, steps=-1)
    assert confirm_by_code(ben, f"{now[:3]} {now[3:]}").by == "code"
    with pytest.raises(NotConfirmed, match="used before"):
        confirm_by_code(ben, now)
    TOTPDevice.objects.update(throttling_failure_count=0)
    with pytest.raises(NotConfirmed, match="used before"):
        confirm_by_code(ben, before)
    assert entries("user.not_confirmed") == [("ben", ben.pk, {"by": "code"})] * 2


def test_the_code_that_turned_it_on_is_used_up_too(ben: User) -> None:
    secret = new_secret()
    code = code_of(secret)
    turn_on(acting_user=ben, secret=secret, code=code, password=PASSWORD)
    with pytest.raises(NotConfirmed):
        confirm_by_code(ben, code)


def test_of_one_code_given_many_times_at_once_one_is_accepted(committed_db: None, users: UserFactory) -> None:
    ben = users("approver", name="ben")
    secret, _codes = with_second_factor(ben)
    code, begin = code_of(secret), Barrier(8)

    def give(_number: int) -> str:
        try:
            User.objects.exists()
            begin.wait(timeout=60)
            return str(accept_code(ben, code))
        except Refused as refused:
            return type(refused).__name__
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(give, range(8)))
    assert answers.count("code") == 1


def test_a_recovery_code_is_good_once_and_the_trail_says_how_many_are_left(ben: User) -> None:
    _secret, codes = with_second_factor(ben)
    assert confirm_by_code(ben, codes[3].upper()).by == "recovery code"
    assert entries("user.recovery_code_used") == [("ben", ben.pk, {"left": 9})]
    with pytest.raises(NotConfirmed):
        confirm_by_code(ben, codes[3])


def test_wrong_codes_and_wrong_passwords_are_counted_together(ben: User) -> None:
    secret, _codes = with_second_factor(ben)
    for attempt in range(MOST_FAILURES):
        confirm = confirm_by_password if attempt % 2 else confirm_by_code
        with pytest.raises(NotConfirmed):
            confirm(ben, "a guess")
        forget_last_code(ben)
        TOTPDevice.objects.update(throttling_failure_count=0)
        StaticDevice.objects.update(throttling_failure_count=0)
    with pytest.raises(TooManyFailures):
        confirm_by_code(ben, code_of(secret))


def test_after_a_wrong_code_the_next_is_not_looked_at_for_a_moment_nor_counted(ben: User) -> None:
    secret, _codes = with_second_factor(ben)
    TOTPDevice.objects.update(throttling_failure_count=5, throttling_failure_timestamp=timezone.now())
    with pytest.raises(NotConfirmed, match=r"Wait 1\d seconds"):
        confirm_by_code(ben, code_of(secret))
    assert entries("user.not_confirmed") == []


def test_a_password_alone_decides_nothing_where_there_is_a_second_factor(ben: User) -> None:
    by_password = Confirmation(ben.pk, "password", timezone.now())
    demand_confirmation(by_password, ben)
    secret, _codes = with_second_factor(ben)
    with pytest.raises(NotConfirmed, match="its code is asked for"):
        demand_confirmation(by_password, ben)
    demand_confirmation(confirm_by_code(ben, code_of(secret)), ben)


def test_where_it_is_required_who_has_none_decides_nothing(ben: User, settings: Any) -> None:
    settings.AMENDS_SECOND_FACTOR = "required-to-decide"
    with pytest.raises(SecondFactorMissing, match="Set one up"):
        demand_confirmation(confirm_by_password(ben, PASSWORD), ben)
    secret, _codes = with_second_factor(ben)
    demand_confirmation(confirm_by_code(ben, code_of(secret)), ben)


def test_signing_in_asks_for_the_code_too_and_counts_wrong_ones(ben: User, client: Client) -> None:
    secret, codes = with_second_factor(ben)

    def sign_in(**given: str) -> str:
        return client.post("/login/", {"username": "ben", "password": PASSWORD, **given}).content.decode()

    assert "This account has a second factor" in sign_in()
    assert "do not belong together" in sign_in(password="wrong", code=code_of(secret))
    assert "_auth_user_id" not in client.session
    assert entries("user.sign_in_failed")[0][1] == ben.pk
    assert "That code is wrong" in sign_in(code="not-one")
    assert len(entries("user.sign_in_failed")) == 2
    assert sign_in(code=code_of(secret)) == ""
    assert client.session["_auth_user_id"] == str(ben.pk)
    client.post("/logout/")
    assert "That code is wrong" in sign_in(code=code_of(secret))
    StaticDevice.objects.update(throttling_failure_count=0)
    assert sign_in(code=codes[0]) == ""


def test_wrong_codes_lock_out_as_wrong_passwords_do(ben: User, client: Client) -> None:
    secret, _codes = with_second_factor(ben)
    answers = []
    for _attempt in range(10):
        TOTPDevice.objects.update(throttling_failure_count=0)
        wrong = f"{(int(code_of(secret)) + 500_000) % 1_000_000:06d}"
        given = {"username": "ben", "password": PASSWORD, "code": wrong}
        answers.append(client.post("/login/", given).status_code)
    assert answers == [200] * 9 + [429]
    TOTPDevice.objects.update(throttling_failure_count=0)
    given["code"] = code_of(secret)
    assert client.post("/login/", given).status_code == 429


def test_who_has_none_signs_in_as_before(ben: User, client: Client) -> None:
    assert client.post("/login/", {"username": "ben", "password": PASSWORD}).status_code == 302


def test_commands_ask_for_the_code(ben: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    monkeypatch.delenv("AMENDS_CODE", raising=False)
    assert authenticated("ben")[1].by == "password"
    secret, _codes = with_second_factor(ben)
    with pytest.raises(Refused, match="set AMENDS_CODE"):
        authenticated("ben")
    monkeypatch.setenv("AMENDS_CODE", code_of(secret))
    user, confirmation = authenticated("ben")
    assert (user, confirmation.by) == (ben, "code")
    with pytest.raises(NotConfirmed):
        authenticated("ben")


def test_it_is_turned_off_by_password_and_code(page_of_ben: Client, ben: User) -> None:
    secret, _codes = with_second_factor(ben)
    assert "that is not your password" in press(page_of_ben, "off", code=code_of(secret), password="x")
    assert has_second_factor(ben)
    assert "that code is wrong" in press(page_of_ben, "off", code="zzz", password=PASSWORD)
    assert has_second_factor(ben)
    assert "Your second factor is off." in press(page_of_ben, "off", code=code_of(secret), password=PASSWORD)
    assert not has_second_factor(ben)
    assert not StaticToken.objects.exists()
    assert entries("user.second_factor_off") == [("ben", ben.pk, {"confirmed_by": "code"})]


def test_new_recovery_codes_end_the_old_ones(page_of_ben: Client, ben: User) -> None:
    secret, codes = with_second_factor(ben)
    shown = press(page_of_ben, "codes", code=code_of(secret))
    new = re.findall(r"<code>([a-z2-7]{4}-[a-z2-7]{4})</code>", shown)
    assert len(new) == 10
    assert entries("user.recovery_codes_made") == [
        ("ben", ben.pk, {"recovery_codes": 10, "confirmed_by": "code"})
    ]
    with pytest.raises(NotConfirmed):
        confirm_by_code(ben, codes[0])
    StaticDevice.objects.update(throttling_failure_count=0)
    assert confirm_by_code(ben, new[0]).by == "recovery code"


def test_an_administrator_takes_a_lost_one_away_and_says_why(
    ben: User, client: Client, users: UserFactory
) -> None:
    with_second_factor(ben)
    key = TOTPDevice.objects.get().key
    client.force_login(users("administrator"))
    page = f"/auth/user/{ben.pk}/second_factor/"
    for shown in ("/auth/user/", f"/auth/user/{ben.pk}/change/", page):
        assert key not in client.get(shown).content.decode()
    assert "Take it away" in client.get(f"/auth/user/{ben.pk}/change/").content.decode()
    assert "Say why" in client.post(page, {"reason": " "}).content.decode()
    assert has_second_factor(ben)
    assert client.post(page, {"reason": "Lost the phone on a train."}).status_code == 302
    assert not has_second_factor(ben)
    entry = AuditEntry.objects.get(event="user.second_factor_taken_away")
    assert (entry.subject_id, entry.data, entry.reason) == (ben.pk, {}, "Lost the phone on a train.")
    assert sentence(entry) == "test-administrator took away the second factor of ben"


def test_nobody_else_takes_one_away_nor_their_own_nor_a_superusers(
    ben: User, client: Client, users: UserFactory
) -> None:
    with_second_factor(ben)
    for role in ("approver", "engineer", "auditor", "support"):
        with pytest.raises(NotPermitted):
            take_away(ben, acting_user=users(role), reason="x")
    administrator = users("administrator")
    with_second_factor(administrator)
    with pytest.raises(NotPermitted, match="Your own"):
        take_away(administrator, acting_user=administrator, reason="x")
    User.objects.filter(pk=ben.pk).update(is_superuser=True)
    ben.refresh_from_db()
    with pytest.raises(NotPermitted):
        take_away(ben, acting_user=administrator, reason="x")
    client.force_login(administrator)
    assert client.post(f"/auth/user/{ben.pk}/second_factor/", {"reason": "x"}).status_code == 404
    client.force_login(users("engineer"))
    assert client.post(f"/auth/user/{ben.pk}/second_factor/", {"reason": "x"}).status_code == 403
    assert TOTPDevice.objects.count() == 2


def test_the_list_of_people_shows_who_has_one(ben: User, client: Client, users: UserFactory) -> None:
    client.force_login(users("administrator"))
    cell = re.compile(r'<td class="field-second_factor">([^<]*)</td>')
    assert cell.findall(client.get("/auth/user/").content.decode()) == ["–", "–"]
    with_second_factor(ben)
    assert sorted(cell.findall(client.get("/auth/user/").content.decode())) == ["on", "–"]


def test_the_librarys_own_pages_which_show_secrets_are_not_there(client: Client) -> None:
    assert not admin.site.is_registered(TOTPDevice)
    assert [model._meta.label for model in admin.site._registry if "otp" in model._meta.app_label] == []
