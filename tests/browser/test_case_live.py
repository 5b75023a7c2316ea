"""A case's page while a job of it works: it follows by itself, and takes nothing out of anybody's hands."""

from playwright.sync_api import expect

from remediation.preview import request_preview
from remediation.runner import work
from tests.browser.conftest import ReaderFactory
from tests.conftest import UserFactory
from tests.remediation.driving import opened
from tests.remediation.incident import report


def test_it_shows_what_others_do_without_being_loaded_again_and_keeps_what_is_being_typed(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    ana = users("engineer", name="ana")
    report(5)
    case = opened(ana, reason="Checkout charged one percent.")
    job = request_preview(case, acting_user=ana).jobs.get()
    page = signed_in("support", name="sue").open(f"/remediation/case/{case.pk}/")
    expect(page.locator(".headline .badge")).to_have_text("being previewed")
    page.evaluate("() => { window.loadedOnce = true; }")
    comment = page.get_by_label("Say something")
    comment.fill("Two shops called.")
    work(job.pk, worker="test")
    page.wait_for_timeout(7_000)  # two turns
    expect(comment).to_have_value("Two shops called.")
    expect(page.locator(".headline .badge")).to_have_text("being previewed")
    comment.fill("")
    comment.blur()
    expect(page.locator(".headline .badge")).to_have_text("waiting for approval", timeout=15_000)
    expect(page.get_by_role("region", name="Plans")).to_contain_text("5")
    assert page.evaluate("() => window.loadedOnce")
    assert page.locator("[hx-get][data-unless-typing]").count() == 0  # nothing works, so nothing is asked for
