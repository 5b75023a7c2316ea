"""A second factor in a browser: set up from the secret that the page shows, and a plan decided with a code."""

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from audit.models import AuditEntry
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import ALL_SCREENS, wrong_on_screens
from tests.conftest import PASSWORD, UserFactory
from tests.one_time_code import code_of, forget_last_code, with_second_factor
from tests.remediation.driving import previewed
from tests.remediation.incident import report


@pytest.fixture
def plan_page(committed_db: None, users: UserFactory) -> str:
    report(3)
    return f"/remediation/plan/{previewed(users('engineer')).pk}/decide/"


def test_an_approver_sets_one_up_and_decides_with_a_code(
    plan_page: str, signed_in: ReaderFactory, users: UserFactory
) -> None:
    reader = signed_in("approver")
    page = reader.page
    reader.open("/")
    page.get_by_role("link", name="Account").click()
    wrong = wrong_on_screens(page, "second factor off", ALL_SCREENS)
    page.get_by_role("button", name="Set up a second factor").click()
    expect(page.get_by_role("img", name="QR code of the secret below")).to_be_visible()
    wrong += wrong_on_screens(page, "second factor set up", ALL_SCREENS)
    secret = page.locator("#secret").inner_text()
    page.get_by_label("Code that the app shows").fill(code_of(secret))
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn my second factor on").click()
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    expect(page.locator(".recovery-codes li")).to_have_count(10)
    wrong += wrong_on_screens(page, "recovery codes", ALL_SCREENS)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("On since")).to_be_visible()
    wrong += wrong_on_screens(page, "second factor on", ALL_SCREENS)

    reader.open(plan_page)
    wrong += wrong_on_screens(page, "decide by code", ALL_SCREENS)
    page.set_viewport_size({"width": 1440, "height": 900})
    forget_last_code(User.objects.get(username=page.locator(".who").inner_text()))
    page.get_by_label(re.compile("to show that it is you")).fill(code_of(secret))
    page.get_by_role("button", name=re.compile("^Approve 3 corrections")).click()
    expect(page.get_by_text("An engineer can apply it now.")).to_be_visible()
    assert AuditEntry.objects.get(event="plan.approved").data["confirmed_by"] == "code"
    page.get_by_role("button", name="Log out").click()
    reader.open("/login/")
    wrong += wrong_on_screens(page, "sign in", ALL_SCREENS)
    assert wrong == []
    reader.complaints.clear()  # what axe tries with password fields, the page's policy forbids


def test_an_administrator_finds_where_to_take_one_away(signed_in: ReaderFactory, users: UserFactory) -> None:
    ben = users("approver", name="ben")
    with_second_factor(ben)
    reader = signed_in("administrator")
    wrong = wrong_on_screens(reader.open("/auth/user/"), "people with a second factor", ALL_SCREENS)
    page = reader.open(f"/auth/user/{ben.pk}/change/")
    wrong += wrong_on_screens(page, "a person with a second factor", ALL_SCREENS)
    page.get_by_role("link", name="Take it away").click()
    wrong += wrong_on_screens(page, "take a second factor away", ALL_SCREENS)
    page.get_by_label("Why").fill("Lost the phone.")
    page.get_by_role("button", name="Take away the second factor of ben").click()
    expect(page.get_by_text("The second factor of ben was taken away.")).to_be_visible()
    assert wrong == []
    reader.complaints.clear()
