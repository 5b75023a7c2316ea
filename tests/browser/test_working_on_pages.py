"""What people do on the pages, in a real browser."""

from playwright.sync_api import expect

from audit.models import AuditEntry
from audit.step_up import confirmed_by_operator
from remediation.approval import approve
from remediation.models import Plan
from remediation.preview import request_preview
from remediation.runner import work
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import wrong_with
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import applied, approved, digest, opened, previewed
from tests.remediation.incident import report


def test_an_approver_approves_exactly_what_was_previewed(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    report(12)
    plan = previewed(users("engineer", name="ana"))
    ben = signed_in("approver", name="ben")
    ben.page.get_by_role("link", name=f"Plan {plan.pk} (apply)").click()
    expect(ben.page.get_by_text(digest(plan))).to_be_visible()
    ben.page.get_by_role("link", name=f"Decide on plan {plan.pk}").click()
    ben.page.get_by_label("Comment (may be empty)").fill("As the contract says.")
    ben.page.get_by_label("Your password, to show that it is you").fill("not mine")
    ben.page.get_by_role("button", name="Approve 12 corrections, USD +1.20 in all").click()
    expect(ben.page.get_by_text("Nothing was done: that is not your password.")).to_be_visible()
    expect(ben.page.get_by_label("Comment (may be empty)")).to_have_value("As the contract says.")
    assert wrong_with(ben.page, "decide after a wrong password") == []
    ben.page.get_by_label("Your password, to show that it is you").fill(PASSWORD)
    ben.page.get_by_role("button", name="Approve 12 corrections, USD +1.20 in all").click()
    expect(ben.page.get_by_text(f"You approved Plan {plan.pk} (apply): 12 corrections")).to_be_visible()
    plan.refresh_from_db()
    assert plan.status == Plan.Status.APPROVED
    entry = AuditEntry.objects.get(event="plan.approved")
    assert (entry.actor_label, entry.data["digest"], entry.data["comment"]) == (
        "ben",
        digest(plan),
        "As the contract says.",
    )


def test_whoever_asked_for_a_plan_is_told_why_they_cannot_decide(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    report(3)
    both = users("engineer", name="ana")
    both.groups.add(users("approver").groups.get())
    plan = previewed(both)
    ana = signed_in("engineer", name="ana")
    ana.open(f"/remediation/plan/{plan.pk}/")
    expect(ana.page.get_by_text("You asked for Plan")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Approve")).to_have_count(0)


def test_support_finds_a_transaction_and_sees_it_before_and_after(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    report(3)
    applied(approved(previewed(users("engineer")), users("approver")), users("engineer"))
    support = signed_in("support")
    support.page.get_by_role("link", name="Transactions", exact=True).first.click()
    support.page.get_by_label("Search").fill("o-2")
    support.page.get_by_role("button", name="Search").click()
    support.page.get_by_role("link", name="o-2").click()
    calculations = support.page.get_by_role("region", name="Calculations").locator("tbody tr")
    expect(calculations).to_have_count(2)
    expect(calculations.nth(0)).to_contain_text("10.12")
    expect(calculations.nth(1)).to_contain_text("10.22")
    expect(calculations.nth(1)).to_contain_text("+0.10")
    expect(calculations.nth(1)).to_contain_text("current")
    expect(support.page.get_by_text("test-engineer applied Plan")).to_be_visible()


def test_a_jobs_progress_moves_without_reloading(signed_in: ReaderFactory, users: UserFactory) -> None:
    report(9)
    ana = signed_in("engineer", name="ana")
    job = request_preview(
        opened(users("engineer", name="ana")), acting_user=users("engineer", name="ana")
    ).jobs.get()
    ana.open(f"/remediation/job/{job.pk}/")
    expect(ana.page.locator("#percent")).to_have_text("0 %")
    ana.page.evaluate("window.neverReloaded = true")
    work(job.pk, worker="test")
    expect(ana.page.locator("#percent")).to_have_text("100 %")
    expect(ana.page.locator("#rows")).to_have_text("9")
    expect(ana.page.locator("#job-live")).not_to_have_attribute("hx-trigger", "every 1s")
    assert ana.page.evaluate("window.neverReloaded") is True


def test_without_javascript_a_jobs_page_shows_the_progress_when_reloaded(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    report(4)
    ana = signed_in("engineer", name="ana", javascript=False)
    job = request_preview(
        opened(users("engineer", name="ana")), acting_user=users("engineer", name="ana")
    ).jobs.get()
    ana.open(f"/remediation/job/{job.pk}/")
    expect(ana.page.locator("#percent")).to_have_text("0 %")
    work(job.pk, worker="test")
    ana.page.reload()
    expect(ana.page.locator("#percent")).to_have_text("100 %")


def test_a_stale_button_answers_with_what_happened_meanwhile(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    report(3)
    plan = previewed(users("engineer"))
    ben = signed_in("approver", name="ben")
    ben.open(f"/remediation/plan/{plan.pk}/decide/")
    approve(
        plan,
        digest(plan),
        acting_user=users("approver", name="cleo"),
        confirmed=confirmed_by_operator(users("approver", name="cleo")),
    )
    ben.page.get_by_label("What has to change").fill("Wait for the contract.")
    ben.page.get_by_label("Your password, to reject it").fill(PASSWORD)
    ben.page.get_by_role("button", name=f"Reject plan {plan.pk}").click()
    expect(ben.page.get_by_text("only a plan that is ready can be decided on")).to_be_visible()
    expect(ben.page.get_by_text(f"cleo approved Plan {plan.pk} (apply)")).to_be_visible()
    plan.refresh_from_db()
    assert plan.status == Plan.Status.APPROVED


def test_an_engineer_applies_an_approved_plan_and_plans_to_take_it_back(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    report(5)
    plan = approved(previewed(users("engineer", name="ana")), users("approver"))
    ana = signed_in("engineer", name="ana")
    ana.open(f"/remediation/plan/{plan.pk}/")
    ana.page.get_by_role("button", name="Apply 5 corrections, USD +0.50 in all").click()
    job = plan.jobs.get(kind="apply")
    assert ana.page.url.endswith(f"/remediation/job/{job.pk}/")
    work(job.pk, worker="test")
    expect(ana.page.locator("#percent")).to_have_text("100 %")
    ana.open(f"/remediation/case/{plan.case_id}/")
    expect(ana.page.get_by_text("USD −0.50 in all")).to_be_visible()
    ana.page.locator("#revert-reason").fill("It was right before.")
    ana.page.get_by_role("button", name="Plan to take back 5 corrections").click()
    revert = Plan.objects.get(kind="revert")
    assert (revert.source_plan_id, revert.reason) == (plan.pk, "It was right before.")
    assert ana.page.url.endswith(f"/remediation/plan/{revert.pk}/")
