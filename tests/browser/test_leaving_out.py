"""An engineer leaves a cause out, compares both plans, takes it in again and comments: without JavaScript, and every page fits.

With AMENDS_SCREENSHOTS naming a folder, a picture of each is left there.
"""

from datetime import timedelta

from playwright.sync_api import expect

from remediation.comment import comment_on
from remediation.exclusions import Exclusions
from remediation.leave_out import leave_out, take_in
from remediation.models import Plan
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import wrong_on_screens
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, verified, work_until_ended
from tests.remediation.incident import START, report

DOWN = "fee down, total down"


def two_causes(users: UserFactory) -> Plan:
    report(12)
    report(5, fee_percent=3, first=100, store="kuwait-city-flagship-store-12", currency="KWD", scale=3)
    return previewed(users("engineer"), reason="Checkout charged one percent where the contract says two.")


def test_a_cause_is_left_out_compared_and_taken_in_again_without_javascript(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    plan = two_causes(users)
    page = signed_in("engineer", javascript=False).open(f"/remediation/plan/{plan.pk}/")
    offer = page.locator("details.leave-out").filter(has_text=DOWN)
    offer.locator("summary").click()
    expect(offer).to_contain_text("5 transactions are not corrected then: KWD")
    expect(offer).to_contain_text(f"A new plan replaces {plan}")
    offer.get_by_label("Why").fill("The stores agreed to it.")
    offer.get_by_role("button", name="Leave out 5 transactions").click()
    newer = Plan.objects.latest("pk")
    expect(page).to_have_url(page.url.partition("/remediation/")[0] + f"/remediation/plan/{newer.pk}/")
    expect(page.locator("ul.messagelist")).to_contain_text(f"it leaves out the cause “{DOWN}”")
    work_until_ended(newer.jobs.get())
    page.reload()
    expect(page.get_by_role("region", name="What is left out")).to_contain_text(DOWN)

    page.get_by_role("link", name="Both plans side by side").click()
    expect(page.locator("dl.figures")).to_contain_text("Only in Plan")
    page.locator("dl.figures").get_by_role("link", name="5", exact=True).click()
    expect(page.get_by_role("region", name="Rows")).to_contain_text("o-104")

    page.goto(page.url.partition("/remediation/")[0] + f"/remediation/case/{plan.case_id}/")
    page.get_by_label("Say something").fill("Told the shop.")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("article.comment")).to_contain_text("Told the shop.")
    back = page.locator("details.leave-out").filter(has_text=DOWN)
    back.locator("summary").click()
    back.get_by_label("Why").fill("They changed their minds.")
    back.get_by_role("button", name="Take in 5 transactions again").click()
    expect(page.locator("ul.messagelist")).to_contain_text("it leaves out nothing")


def test_the_pages_fit_and_everybody_can_use_them(signed_in: ReaderFactory, users: UserFactory) -> None:
    first = two_causes(users)
    plan = leave_out(
        first.case,
        Exclusions(causes=(DOWN,), stores=("s-1",), larger_than={"USD:2": 500, "KWD:3": 1}),
        reason="Agreed.",
        acting_user=users("engineer"),
    )
    work_until_ended(plan.jobs.get())
    third = take_in(plan.case, Exclusions(stores=("s-1",)), reason="No.", acting_user=users("engineer"))
    work_until_ended(third.jobs.get())
    third.refresh_from_db()
    applied(approved(third, users("approver")), users("engineer"))
    report(2, first=50, start=START + timedelta(hours=1))
    verified(third.case, users("engineer"))
    comment_on(third.case, "A-rather-long-word-without-any-space-in-it-" * 4, acting_user=users("support"))
    pages = {
        "case": f"/remediation/case/{third.case_id}/",
        "plan": f"/remediation/plan/{third.pk}/",
        "beside": f"/remediation/plan/{plan.pk}/beside/{third.pk}/",
        "beside_rows": f"/remediation/plan/{first.pk}/beside/{third.pk}/rows/",
    }
    reader = signed_in("engineer")
    for name, path in pages.items():
        page = reader.open(path)
        for details in page.locator("details.leave-out > summary, details.edit-case > summary").all():
            details.click()
        assert wrong_on_screens(page, f"leaving-out-{name}") == []
