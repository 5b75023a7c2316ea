"""Find in a real browser: live counts, a window taken on the chart by mouse, touch and keys, answers in place, a case opened."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Route, expect

from remediation.models import Case
from tests.browser.accessibility import violations
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import ALL_SCREENS, wrong_on_screens
from tests.conftest import UserFactory
from tests.remediation.incident import START, report
from transactions.models import SavedSearch


@pytest.fixture
def ten_hours(committed_db: None) -> None:
    """Five transactions an hour, of which the fourth to sixth hours are wrong; and another service's."""
    for hour in range(10):
        report(
            5,
            first=hour * 5,
            start=START + timedelta(hours=hour),
            fee_percent=1 if 3 <= hour < 6 else 2,
        )
    report(
        7,
        service="checkout",
        first=100,
        start=START,
        currency="JPY",
        scale=0,
        store="a-store-with-a-long-name-in-tokyo",
    )


def matching(page: Page, count: int) -> None:
    expect(page.locator("#found h2.count")).to_have_text(f"{count} transactions match")


@pytest.mark.usefixtures("ten_hours")
def test_the_count_follows_the_form_and_the_address_follows_the_count(signed_in: ReaderFactory) -> None:
    page = signed_in("engineer").open("/find/")
    matching(page, 57)
    page.get_by_label("checkout").check()
    matching(page, 7)
    expect(page).to_have_url(re.compile(r"/find/\?calculator=fee&service=checkout$"))
    page.get_by_label("checkout").uncheck()
    matching(page, 57)
    page.get_by_label("From", exact=True).fill("2026-03-02T10:00:00")
    page.get_by_label("From", exact=True).blur()
    matching(page, 40)
    page.get_by_label("Times are of").fill("Europe/Zurich")
    page.get_by_label("Times are of").press("Tab")
    matching(page, 45)
    page.go_back()
    matching(page, 40)
    page.go_back()
    matching(page, 57)
    expect(page.get_by_label("Times are of")).to_have_value("UTC")


@pytest.mark.usefixtures("ten_hours")
def test_a_window_is_taken_by_mouse_and_by_keys(signed_in: ReaderFactory) -> None:
    page = signed_in("engineer").open("/find/?service=payments")
    matching(page, 50)
    box = page.locator(".histogram .overlay").bounding_box()
    assert box is not None
    hour, middle = box["width"] / 10, box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 3.3 * hour, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 5.6 * hour, middle, steps=5)
    page.mouse.up()
    matching(page, 15)
    assert page.get_by_label("From", exact=True).input_value() == "2026-03-02T11:00"
    assert "from=2026-03-02T11%3A00%3A00&to=2026-03-02T14%3A00%3A00" in page.url
    begin = page.get_by_role("slider", name="Begin of the window")
    begin.focus()
    begin.press("ArrowRight")
    assert begin.get_attribute("aria-valuetext") == "2026-03-02 12:00:00"
    begin.press("Enter")
    matching(page, 10)
    expect(page.get_by_role("slider", name="Begin of the window")).to_be_focused()


@pytest.mark.usefixtures("ten_hours")
def test_an_engineer_asks_when_it_began_takes_the_window_keeps_it_and_opens_a_case(
    signed_in: ReaderFactory,
) -> None:
    reader = signed_in("engineer")
    page = reader.open("/find/?service=payments")
    page.get_by_label("What version would have been right?").select_option("2.0.0")
    page.get_by_role("button", name="Estimate how many are wrong").click()
    expect(page.locator("#answer")).to_contain_text("15 of the 50 transactions")
    page.get_by_role("button", name="Show when it began and ended").click()
    expect(page.locator("#answer")).to_contain_text("It began at 2026-03-02 11:00:15 UTC")
    assert violations(page) == []
    page.get_by_role("link", name="Take this window").click()
    matching(page, 15)
    page.get_by_text("Keep this search").click()
    page.get_by_label("Name").fill("The bad three hours")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("“The bad three hours” is kept")).to_be_visible()
    assert SavedSearch.objects.get().query in page.url
    page.get_by_role("link", name="Open a case for these").click()
    expect(page.get_by_label("The version whose amounts would be right")).to_have_value("2.0.0")
    page.get_by_label("What happened").fill("Fees were too low")
    page.get_by_label("Why these amounts").fill("One percent instead of two.")
    assert violations(page) == []
    page.get_by_role("button", name="Open the case").click()
    page.wait_for_url(f"**/remediation/case/{Case.objects.get().pk}/")


@pytest.mark.usefixtures("ten_hours")
def test_what_is_asked_while_a_new_search_is_being_counted_is_asked_of_the_new_one(
    signed_in: ReaderFactory,
) -> None:
    page = signed_in("engineer").open("/find/?service=payments")
    matching(page, 50)

    def late(route: Route) -> None:
        page.wait_for_timeout(1_500)
        route.continue_()

    page.route(re.compile(r"/find/\?"), late)
    page.get_by_label("What version would have been right?").select_option("2.0.0")
    page.get_by_label("From", exact=True).fill("2026-03-02T10:00:00")
    page.get_by_label("From", exact=True).blur()
    page.get_by_role("button", name="Estimate how many are wrong").click()
    matching(page, 40)
    expect(page.locator("#answer")).to_contain_text("15 of the 40 transactions")


@pytest.mark.usefixtures("ten_hours")
def test_without_scripts_all_of_it_works_by_links_and_buttons(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    page = signed_in("support", javascript=False).open("/find/")
    page.get_by_label("payments").check()
    page.get_by_role("button", name="Find").click()
    matching(page, 50)
    page.get_by_label("What version would have been right?").select_option("2.0.0")
    page.get_by_role("button", name="Show when it began and ended").click()
    page.get_by_role("link", name="Take this window").click()
    matching(page, 15)
    page.get_by_role("button", name="last 24 hours").click()
    expect(page.get_by_text("No transaction stands on a calculation like that")).to_be_visible()


@pytest.mark.usefixtures("ten_hours")
def test_the_pages_fit_and_axe_finds_nothing(signed_in: ReaderFactory) -> None:
    reader = signed_in("engineer")
    owner = User.objects.get(username="test-engineer")
    SavedSearch.objects.create(
        owner=owner, name="Something long that is kept by everybody for ever", query="", shared=True
    )
    for path in (
        "/find/",
        "/find/?currency=JPY&at_least=1000&window=month",
        "/find/?store=a-store-with-a-long-name-in-tokyo&country=US&zone=Europe/Zurich",
        "/find/estimate/?target=2.0.0",
        "/find/onset/?target=2.0.0&service=payments",
        "/remediation/case/open/?target=2.0.0&store=a-store-with-a-long-name-in-tokyo",
    ):
        page = reader.open(path)
        assert wrong_on_screens(page, path, ALL_SCREENS) == []
