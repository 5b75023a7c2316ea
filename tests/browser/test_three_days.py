"""A day of each of the people that Amends is for, in a real browser with real workers: from the question to the answer."""

import re

import pytest
from playwright.sync_api import Page, expect

from audit.models import AuditEntry
from remediation.models import Case, Job, Plan
from tests.browser.conftest import ReaderFactory
from tests.conftest import UserFactory, WorkerFactory
from tests.remediation.driving import approved
from tests.remediation.incident import fee, report, totals

TOO_HIGH = "fee down, total down"


@pytest.fixture
def two_faults(committed_db: None) -> dict[str, list[int]]:
    """Forty transactions on one percent instead of two, and five of a store with which three percent were agreed; all by `payments`."""
    return {"too low": report(40), "agreed": report(5, first=100, fee_percent=3, store="s-agreed")}


def test_an_engineer_finds_previews_leaves_a_cause_out_applies_pauses_resumes_and_verifies(
    two_faults: dict[str, list[int]],
    signed_in: ReaderFactory,
    users: UserFactory,
    worker_process: WorkerFactory,
) -> None:
    worker = worker_process(AMENDS_PLAN_CHUNK_ROWS="10")
    ana = signed_in("engineer", name="ana")
    page = ana.page
    page.get_by_role("link", name="Find", exact=True).first.click()
    page.get_by_label("payments").check()
    expect(page).to_have_url(re.compile("service=payments"))
    expect(page.locator("#found h2.count")).to_have_text("45 transactions match")
    page.get_by_label("What version would have been right?").select_option("2.0.0")
    page.get_by_role("button", name="Estimate how many are wrong").click()
    expect(page.locator("#answer")).to_contain_text("45 of the 45 transactions", timeout=30_000)
    page.get_by_role("link", name="Open a case for these").click()
    page.get_by_label("The version whose amounts would be right").select_option("2.0.0")
    page.get_by_label("What happened").fill("Fees were too low")
    page.get_by_label("Why these amounts").fill("One percent was charged where the contract says two.")
    page.get_by_role("button", name="Open the case").click()
    case = Case.objects.get()
    page.wait_for_url(f"**/remediation/case/{case.pk}/")

    page.get_by_role("button", name="Preview", exact=True).click()
    first = _ready(page)
    offer = page.locator("details.leave-out").filter(has_text=TOO_HIGH).first
    offer.locator("summary").click()
    offer.get_by_label("Why").fill("Three percent were agreed with that store.")
    offer.get_by_role("button", name="Leave out 5 transactions").click()
    plan = _ready(page)
    assert plan.pk != first.pk
    assert (plan.manifest or {})["proposed"] == 40

    approved(plan, users("approver", name="ben"))
    worker.kill()  # so that the job can be slowed down before it is over
    page.reload()
    page.get_by_role("button", name="Apply 40 corrections").click()
    job = Job.objects.get(kind=Job.Kind.APPLY)
    page.wait_for_url(f"**/remediation/job/{job.pk}/")
    page.get_by_label("Rows moved at once").fill("2")
    page.get_by_label("A worker's rest after each chunk").fill("300")
    page.get_by_role("button", name="Change limits").click()
    worker_process()
    expect(page.locator("#rows")).not_to_have_text("0 of 40", timeout=60_000)
    page.get_by_role("button", name=f"Pause {job}").click()
    expect(page.get_by_role("button", name=f"Let {job} go on")).to_be_visible()
    moved = _standing_on_two_percent(two_faults["too low"])
    assert 0 < moved < 40
    page.wait_for_timeout(1000)
    assert _standing_on_two_percent(two_faults["too low"]) == moved
    page.get_by_label("A worker's rest after each chunk").fill("")
    page.get_by_label("Rows moved at once").fill("")
    page.get_by_role("button", name="Change limits").click()
    page.get_by_role("button", name=f"Let {job} go on").click()
    expect(page.locator("#percent")).to_have_text("100 %", timeout=60_000)

    ana.open(f"/remediation/case/{case.pk}/")
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#percent")).to_have_text("100 %", timeout=60_000)
    ana.open(f"/remediation/case/{case.pk}/")
    expect(page.get_by_text("everything adds up", exact=True)).to_be_visible()
    assert totals(two_faults["too low"]) == [fee(1000 + index, 2) for index in range(40)]
    assert totals(two_faults["agreed"]) == [fee(1100 + index, 3) for index in range(5)]
    events = list(AuditEntry.objects.filter(actor__username="ana").values_list("event", flat=True))
    for event in ("case.opened", "case.edited", "plan.apply_started", "job.tuned", "job.resumed"):
        assert event in events, event


def _ready(page: Page) -> Plan:
    """The plan that is being previewed, when the preview is done and its page is open."""
    plan = Plan.objects.latest("pk")
    page.wait_for_url(f"**/remediation/plan/{plan.pk}/")
    expect(page.locator("p.headline .badge")).to_have_text("ready for approval", timeout=60_000)
    plan.refresh_from_db()
    return plan


def _standing_on_two_percent(ids: list[int]) -> int:
    return sum(total == fee(1000 + index, 2) for index, total in enumerate(totals(ids)))
