"""Looking into a plan before deciding on it: why, whether that is proved, for whom, and which rows."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import violations
from tests.browser.conftest import ReaderFactory
from tests.conftest import UserFactory
from tests.remediation.driving import previewed
from tests.remediation.incident import START, report


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_an_engineer_follows_a_cause_to_its_lines_a_bar_to_its_rows_and_keeps_an_open_form(
    signed_in: ReaderFactory, users: UserFactory, width: int, scheme: str
) -> None:
    report(12, version="1.0.0")
    report(3, first=9000, fee_percent=3, store="s-2", start=START + timedelta(hours=1))
    plan = previewed(users("engineer", name="ana"), target="explaining")
    reader = signed_in("engineer", name="ana")
    page = reader.page
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    reader.open(f"/remediation/plan/{plan.pk}/")
    causes = page.get_by_role("region", name="Causes")
    expect(causes.get_by_text("proved: 3 of 3 reproduced")).to_be_visible()
    expect(causes.get_by_text("0 of 3 reproduced")).to_be_visible()
    expect(page.get_by_text("Transactions by how much their total changes, USD")).to_be_visible()
    assert violations(page) == []

    causes.get_by_role("link", name="Fee goes up, total goes up").click()
    expect(page.get_by_role("heading", name="The 3 examples that change most, line by line")).to_be_visible()
    page.get_by_role("button", name="Ask it for 12 rows at random").click()
    expect(page.get_by_text("A random sample of 12 of 12 rows")).to_be_visible()
    expect(page.get_by_text("proved: 12 of 12 reproduced")).to_be_visible()
    assert violations(page) == []

    reader.open(f"/remediation/plan/{plan.pk}/figures/")
    page.get_by_text("The numbers as a table").click()
    page.get_by_role("region", name="Changes by size, USD").get_by_role("link", name="3", exact=True).click()
    expect(page.get_by_text("total changes by −1.00 to −1.99")).to_be_visible()
    expect(page.get_by_role("link", name="o-9002")).to_be_visible()
    assert violations(page) == []
