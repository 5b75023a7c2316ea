"""A day of support: was order X wrong, and what do we tell its store? From any page, by the box at its top."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import violations
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import picture, too_wide
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import START, report


def a_correction(users: UserFactory) -> None:
    """Orders o-0 to o-3 were corrected; o-50 waits for approval."""
    engineer, approver = users("engineer", name="ana"), users("approver", name="ben")
    report(4)
    applied(approved(previewed(engineer, target="explaining"), approver), engineer)
    report(1, first=50, start=START + timedelta(hours=1))
    previewed(engineer, reason="One came in later.", target="explaining")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_support_answers_for_an_order_and_for_its_store(
    signed_in: ReaderFactory, users: UserFactory, width: int, scheme: str
) -> None:
    a_correction(users)
    reader = signed_in("support", width=width, color_scheme=scheme)
    page = reader.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def fine(name: str) -> None:
        assert too_wide(page) == []
        assert violations(page) == []
        picture(page, f"support {name} {width} {scheme}")

    page.keyboard.press("/")
    page.keyboard.type("o-1")
    page.keyboard.press("Enter")
    answer = page.locator("#answer")
    expect(answer).to_contain_text("it should have been")
    expect(answer).to_contain_text("which ben approved")
    expect(page.get_by_role("region", name="The calculation line by line")).to_be_visible()
    fine("transaction")
    page.get_by_role("button", name="Copy the answer").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == answer.inner_text()

    page.locator("dl.facts").get_by_role("link", name="s-1").click()
    expect(page.locator("#answer")).to_contain_text("Of all 5 orders of s-1, 5 were charged a wrong amount.")
    expect(page.locator("#answer")).to_contain_text("1 is still wrong")
    fine("store")
    page.get_by_role("region", name="What became of them").get_by_role("link", name="1", exact=True).click()
    expect(
        page.get_by_role("region", name="Corrected and still wrong orders").get_by_role("link", name="o-50")
    ).to_be_visible()
    page.get_by_role("link", name="Statement of corrections, to print").click()
    expect(page.get_by_text("End of the statement.")).to_be_visible()
    expect(page.get_by_role("link", name="o-3")).to_be_visible()
    fine("statement")
    page.emulate_media(media="print")
    expect(page.get_by_role("link", name="Amends")).to_be_hidden()
    picture(page, f"support statement print {width} {scheme}")


def test_without_scripts_the_answers_are_there_to_be_marked(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    a_correction(users)
    reader = signed_in("support", javascript=False)
    page = reader.page
    page.locator("#search-box").fill("o-1")
    page.locator("#search-box").press("Enter")
    expect(page.locator("#answer")).to_contain_text("it should have been")
    expect(page.get_by_role("button", name="Copy the answer")).to_be_hidden()
    page.get_by_role("link", name="How it was calculated, line by line").click()
    expect(page.get_by_role("region", name="The calculation line by line")).to_be_visible()
