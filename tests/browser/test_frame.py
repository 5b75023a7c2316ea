"""The frame of all pages, the first page and the jobs': by keyboard, without JavaScript, on paper, in the reader's zone.

And how much a page loads at first.
"""

from typing import Any

from playwright.sync_api import Browser, Response, expect

from remediation.apply import start_apply
from remediation.control import pause_job, tune_job
from remediation.models import Job
from remediation.runner import work
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import ALL_SCREENS, colours_along, picture, too_wide, wrong_on_screens
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import report

MOST_BYTES = 300_000
"""Of everything that a page's first load takes over the wire."""


def staged(users: UserFactory, *, turns: int) -> Job:
    """An apply of forty rows in stages, of which some chunks are done and the rest waits."""
    ana = users("engineer", name="ana")
    report(40)
    job = start_apply(
        approved(previewed(ana), users("approver", name="ben")), acting_user=ana, stages=[1, 10]
    )
    tune_job(job, acting_user=ana, chunk_rows=3)
    left = iter([True] * turns + [False] * 100)
    work(job.pk, worker="checkout-host:4711", heed=lambda: next(left))
    return job


def test_jobs_in_each_state_are_fit_to_be_seen(signed_in: ReaderFactory, users: UserFactory) -> None:
    job = staged(users, turns=3)
    reader = signed_in("engineer", name="ana")
    wrong = []
    for name, path in (
        ("job in stages", f"/remediation/job/{job.pk}/"),
        ("home with a job", "/"),
        ("workers", "/remediation/job/workers/?ask=1&hours=1"),
        ("jobs", "/remediation/job/"),
        ("jobs none", "/remediation/job/?status__exact=failed"),
        ("preferences", "/preferences/"),
        ("keyboard", "/keyboard/"),
    ):
        wrong += wrong_on_screens(reader.open(path), name, ALL_SCREENS)
    stages = reader.open(f"/remediation/job/{job.pk}/").locator(".stages li")
    expect(stages).to_have_count(3)
    expect(stages.first).to_contain_text("done")
    pause_job(job, acting_user=users("approver", name="ben"), reason="Customers call.")
    expect(reader.page.locator("#state")).to_contain_text("ben paused it")
    wrong += wrong_on_screens(reader.page, "job paused", ALL_SCREENS)
    reader.open("/")
    expect(reader.page.locator("#alerts")).to_contain_text("is paused. Customers call.")
    assert wrong == []


def test_shortcuts_lead_about_and_leave_fields_alone(signed_in: ReaderFactory, users: UserFactory) -> None:
    staged(users, turns=1)
    reader = signed_in("engineer", name="ana")
    page = reader.page
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    picture(page, "shortcuts")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(dialog).to_be_visible()  # nothing leads away while it is open
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url(f"{reader.address}/remediation/job/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("#result_list tbody tr").nth(1).locator("a").first).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{reader.address}/remediation/job/*/")
    why = page.get_by_label("Why (may be empty)")
    why.fill("")
    why.press_sequentially("g h?")
    expect(why).to_have_value("g h?")
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Change").focus()
    page.keyboard.press("Control+g")
    page.keyboard.press("h")
    assert "/remediation/job/" in page.url
    reader.open("/preferences/").get_by_role("group", name="Keyboard shortcuts").get_by_label("Off").check()
    page.get_by_role("button", name="Show pages so").click()
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()


def test_times_are_of_the_device_until_another_zone_is_chosen(
    browser: Browser, server: str, users: UserFactory
) -> None:
    job = staged(users, turns=1)
    users("support", name="sue")
    context = browser.new_context(timezone_id="Asia/Tokyo", viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{server}/login/")
    page.get_by_label("Username").fill("sue")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.goto(f"{server}/remediation/job/{job.pk}/")
    shown = page.locator("time").last
    expect(shown).to_contain_text("JST")
    assert shown.get_attribute("title") == f"{job.requested_at:%Y-%m-%d %H:%M:%S} UTC"
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Time zone").select_option("UTC")
    page.get_by_role("button", name="Show pages so").click()
    page.wait_for_url(f"{server}/remediation/job/{job.pk}/")
    expect(page.locator("time").last).to_have_text(f"{job.requested_at:%Y-%m-%d %H:%M:%S} UTC")
    context.close()


def test_dark_is_chosen_against_the_device_without_javascript_and_the_menu_opens(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    reader = signed_in("support", width=360, javascript=False)
    page = reader.open("/remediation/job/")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 22, 27)")
    assert page.url == f"{reader.address}/remediation/job/"
    page.locator("details.menu > summary").click()
    page.get_by_role("link", name="Plans").click()
    page.wait_for_url(f"{reader.address}/remediation/plan/")
    page.get_by_role("link", name="Keyboard shortcuts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keyboard shortcuts")
    assert too_wide(page) == []


def test_a_page_on_paper_has_no_controls_and_fits(signed_in: ReaderFactory, users: UserFactory) -> None:
    job = staged(users, turns=3)
    reader = signed_in("engineer", name="ana", color_scheme="dark")
    for name, path in (("job", f"/remediation/job/{job.pk}/"), ("home", "/"), ("jobs", "/remediation/job/")):
        page = reader.open(path)
        page.emulate_media(media="print", color_scheme="dark")
        page.set_viewport_size({"width": 720, "height": 1000})
        for hidden in ("#header", "#footer", ".site-nav"):
            expect(page.locator(hidden)).to_be_hidden()
        expect(page.locator("body")).to_have_css("color", "rgb(22, 32, 42)")
        assert page.get_by_role("button").count() == 0
        picture(page, f"{name} printed")
        assert too_wide(page) == []
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1440, "height": 900})


def test_how_far_a_job_is_and_how_much_was_done_are_seen_in_forced_colours(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    job = staged(users, turns=3)
    reader = signed_in("engineer", name="ana")
    reader.page.emulate_media(forced_colors="active", reduced_motion="reduce")
    page = reader.open(f"/remediation/job/{job.pk}/")
    bar = page.locator("progress")
    done = bar.evaluate("(bar) => bar.position")
    colours = colours_along(bar)
    assert 0.05 < done < 0.95
    assert colours[int(done / 2 * len(colours))] != colours[int((1 + done) / 2 * len(colours))]
    picture(page, "job in forced colours")
    ink = page.locator("body").evaluate("(body) => getComputedStyle(body).color")
    page = reader.open("/remediation/job/workers/?hours=1")
    bars = page.locator(".throughput rect")
    assert bars.count() > 0
    assert {bars.nth(n).evaluate("(bar) => getComputedStyle(bar).stroke") for n in range(bars.count())} == {
        ink
    }
    picture(page, "workers in forced colours")


def test_a_first_load_is_small(signed_in: ReaderFactory, users: UserFactory) -> None:
    job = staged(users, turns=3)
    reader = signed_in("engineer", name="ana")
    page, taken = reader.page, dict[str, int]()
    # Each page is loaded as for the first time: nothing is in the cache.
    session: Any = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    heard: list[Response] = []
    page.on("response", lambda response: heard.append(response))  # noqa: PLW0108 (Playwright writes on what it is given)
    for path in (
        "/",
        "/remediation/job/",
        f"/remediation/job/{job.pk}/",
        "/remediation/job/workers/",
        "/find/",
    ):
        heard.clear()
        reader.open(path)
        page.wait_for_load_state("load")
        taken[path] = sum(
            sum(response.request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))
            for response in list(heard)
        )
    print("bytes at first load:", taken)  # noqa: T201
    assert max(taken.values()) <= MOST_BYTES, taken
