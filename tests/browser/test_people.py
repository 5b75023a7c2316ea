"""Accounts, passwords, the policy and the page after too many wrong passwords, in a browser: they fit, and axe finds nothing."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import expect

from tests.browser.conftest import ReaderFactory
from tests.browser.looking import wrong_with
from tests.conftest import PASSWORD, UserFactory

WIDE_AND_NARROW = pytest.mark.parametrize(("width", "color_scheme"), [(1440, "light"), (360, "dark")])


@WIDE_AND_NARROW
def test_an_administrator_makes_an_account_and_sets_a_password(
    signed_in: ReaderFactory, users: UserFactory, width: int, color_scheme: str
) -> None:
    screen = f"{width} {color_scheme}"
    reader = signed_in("administrator", width=width, color_scheme=color_scheme)
    page = reader.open("/auth/user/add/")
    wrong = wrong_with(page, "a new account", screen)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text("Nothing was saved: look at what is said below.")).to_be_visible()
    wrong += wrong_with(page, "a new account that was refused", screen)
    page.get_by_label("Name to sign in").fill("dora")
    for field in ("Password", "Password confirmation"):
        page.get_by_label(field, exact=True).fill("a-new-long-password-7")
    page.get_by_label("approver").check()
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("dora")
    wrong += wrong_with(page, "a person", screen)
    page.get_by_role("link", name="Set another").click()
    wrong += wrong_with(page, "a password", screen)
    for field in ("Password", "Password confirmation"):
        page.get_by_label(field, exact=True).fill("another-long-password-8")
    page.get_by_role("button", name="Set this password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("dora")
    for path in ("/auth/user/", "/auth/user/?is_active__exact=1", "/password_change/", "/policy/"):
        wrong += wrong_with(reader.open(path), path, screen)
    assert wrong == []
    assert User.objects.get(username="dora").check_password("another-long-password-8")
    reader.complaints.clear()  # what axe tries with password fields, the page's policy forbids


@WIDE_AND_NARROW
def test_after_ten_wrong_passwords_a_page_says_when_to_try_again(
    signed_in: ReaderFactory, users: UserFactory, width: int, color_scheme: str
) -> None:
    reader = signed_in("support", width=width, color_scheme=color_scheme)
    page = reader.page
    page.context.clear_cookies()
    users("engineer", name="ana")
    for password in (*["wrong"] * 10, PASSWORD):
        reader.open("/login/")
        page.get_by_label("Username").fill("ana")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Too many wrong passwords")
    expect(page.get_by_text("Try again in 15 minutes, after")).to_be_visible()
    assert wrong_with(page, "too many wrong passwords", f"{width} {color_scheme}") == []
    assert all("429" in complaint for complaint in reader.complaints)
    reader.complaints.clear()


@WIDE_AND_NARROW
def test_an_administrator_sees_where_somebody_is_locked_out_and_ends_it(
    signed_in: ReaderFactory, users: UserFactory, width: int, color_scheme: str
) -> None:
    ana = users("engineer", name="ana")
    for _ in range(10):
        Client(REMOTE_ADDR="192.0.2.1").post("/login/", {"username": "ana", "password": "wrong"})
    page = signed_in("administrator", width=width, color_scheme=color_scheme).open(
        f"/auth/user/{ana.pk}/change/"
    )
    expect(page.locator("#lockouts")).to_contain_text("Locked out from 192.0.2.1 until")
    assert wrong_with(page, "a person locked out", f"{width} {color_scheme}") == []
    page.get_by_role("button", name="End the lockout").click()
    expect(page.get_by_text("Passwords for ana are looked at again from: 192.0.2.1.")).to_be_visible()
    expect(page.locator("#lockouts")).to_have_count(0)
