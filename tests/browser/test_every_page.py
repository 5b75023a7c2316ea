"""Every page, on a wide and a narrow screen, in light and dark: it fits, it is titled, and the browser complains of nothing.

With AMENDS_SCREENSHOTS naming a folder, a picture of each is left there.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from audit.models import AuditEntry
from tests.browser.conftest import ReaderFactory
from tests.browser.incident_on_pages import Incident, incident
from tests.conftest import UserFactory
from transactions.models import Release, Store


def too_wide(page: Page) -> list[str]:
    """What makes the page wider than the screen, outside of the parts that scroll by themselves."""
    found: list[str] = page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            return [...document.querySelectorAll("body *")]
                .filter((each) => each.getBoundingClientRect().right > width + 1 && !each.closest(".table-scroll, .site-nav, pre"))
                .map((each) => `${each.tagName} ${each.id} ${each.className}`);
        }"""
    )
    return found


def pages(shown: Incident) -> dict[str, str]:
    """Addresses of all pages, by a name for each."""
    return {
        "home": "/",
        "transactions": "/transactions/transaction/",
        "transactions of a store": "/transactions/transaction/?q=tokyo-7",
        "transactions not found": "/transactions/transaction/?q=nowhere",
        "transaction": f"/transactions/transaction/{shown.transaction}/",
        "transaction corrected": f"/transactions/transaction/{shown.transaction + 1}/",
        "stores": "/transactions/store/",
        "store": f"/transactions/store/{Store.objects.get(reference='kuwait-city-flagship-store-12').pk}/",
        "releases": "/transactions/release/",
        "release": f"/transactions/release/{Release.objects.get(service='payments', version='1.0.0').pk}/",
        "calculations": "/transactions/calculation/",
        "cases": "/remediation/case/",
        "case": f"/remediation/case/{shown.case.pk}/",
        "case with an open plan": f"/remediation/case/{shown.ready.case_id}/",
        "plans": "/remediation/plan/",
        "plan applied": f"/remediation/plan/{shown.applied.pk}/",
        "plan of a revert": f"/remediation/plan/{shown.revert.pk}/",
        "plan ready": f"/remediation/plan/{shown.ready.pk}/",
        "plan being previewed": f"/remediation/plan/{shown.running.plan_id}/",
        "rows of a plan": f"/remediation/plan/{shown.applied.pk}/rows/",
        "rows of a revert": f"/remediation/plan/{shown.revert.pk}/rows/",
        "jobs": "/remediation/job/",
        "job finished": f"/remediation/job/{shown.conflicted.pk}/",
        "job running": f"/remediation/job/{shown.running.pk}/",
        "outcomes": "/remediation/outcome/",
        "outcomes of a job": f"/remediation/outcome/?job={shown.conflicted.pk}&kind__exact=conflict",
        "trail": "/audit/auditentry/",
        "trail of a plan": f"/audit/auditentry/?subject_type=remediation.plan&subject_id={shown.applied.pk}",
        "entry": f"/audit/auditentry/{AuditEntry.objects.latest('pk').pk}/",
        "password": "/password_change/",
    }


@pytest.mark.parametrize("role", ["engineer", "approver"])
@pytest.mark.parametrize(("width", "color_scheme"), [(1440, "light"), (360, "dark")])
def test_every_page_fits_and_the_browser_complains_of_nothing(
    signed_in: ReaderFactory, users: UserFactory, role: str, width: int, color_scheme: str
) -> None:
    shown = incident(users)
    reader = signed_in(
        role, name={"engineer": "ana", "approver": "cleo"}[role], width=width, color_scheme=color_scheme
    )
    for name, path in pages(shown).items():
        page = reader.open(path)
        assert page.locator("h1").count() == 1, f"{name} has no heading of its own"
        assert too_wide(page) == [], f"{name} does not fit {width} px"
        if folder := os.environ.get("AMENDS_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(
                path=str(Path(folder) / f"{name} {role} {width} {color_scheme}.png"), full_page=True
            )


@pytest.mark.parametrize("role", ["administrator"])
@pytest.mark.parametrize(("width", "color_scheme"), [(1440, "dark"), (360, "light")])
def test_the_pages_of_people_fit(
    signed_in: ReaderFactory, users: UserFactory, role: str, width: int, color_scheme: str
) -> None:
    ana = users("engineer", name="ana")
    reader = signed_in(role, width=width, color_scheme=color_scheme)
    for name, path in {
        "people": "/auth/user/",
        "person": f"/auth/user/{ana.pk}/change/",
        "new person": "/auth/user/add/",
        "home empty": "/",
    }.items():
        page = reader.open(path)
        assert too_wide(page) == [], f"{name} does not fit {width} px"
        if folder := os.environ.get("AMENDS_SCREENSHOTS"):
            page.screenshot(
                path=str(Path(folder) / f"{name} {role} {width} {color_scheme}.png"), full_page=True
            )


@pytest.mark.parametrize(("width", "color_scheme"), [(1440, "light"), (360, "dark")])
def test_signing_in_and_what_is_not_there_fit_too(
    signed_in: ReaderFactory, width: int, color_scheme: str
) -> None:
    reader = signed_in("support", width=width, color_scheme=color_scheme)
    page = reader.page
    for name, path, heading in (
        ("not there", "/remediation/plan/999999/", "There is no such page"),
        ("not permitted", "/auth/user/", "You may not see this"),
    ):
        page.goto(f"{reader.address}{path}")
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        assert too_wide(page) == []
        if folder := os.environ.get("AMENDS_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / f"{name} {width} {color_scheme}.png"))
    # The browser itself notes in its console that a page was not found, or forbidden.
    assert all("Failed to load resource" in complaint for complaint in reader.complaints)
    reader.complaints.clear()
    reader.open("/")
    page.get_by_role("button", name="Log out").click()
    reader.open("/login/")
    assert too_wide(page) == []
    if folder := os.environ.get("AMENDS_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"login {width} {color_scheme}.png"))
