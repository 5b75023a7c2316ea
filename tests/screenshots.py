"""`python -m tests.screenshots`: the pictures of docs/tour.md and the README, taken of the demo by a real browser.

With `--all FOLDER` every page that anybody can get to is taken into that folder instead, at 1440 and 360 px, light and dark, to be
looked at. The demo is made in AMENDS_HOME where it is not there yet, and kept for the next time.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

os.environ["DJANGO_SETTINGS_MODULE"] = "backoffice.settings"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's event loop runs in this thread
django.setup()

from django.conf import settings  # noqa: E402 (Django is set up above)
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402

from backoffice.roles import ROLES  # noqa: E402
from remediation.models import Plan  # noqa: E402
from tests.browser.chromium import FLAGS, chromium  # noqa: E402
from tests.reachable_pages import reachable_pages  # noqa: E402
from transactions.models import Calculation  # noqa: E402

ROOT = Path(__file__).parent.parent
TOUR = ROOT / "docs" / "img" / "tour"
SCREENS = ((1440, "light"), (1440, "dark"), (360, "light"), (360, "dark"))
MORE_OF = {
    "admin:remediation_plan_change": 6,
    "admin:remediation_job_change": 4,
    "admin:remediation_case_change": 4,
}
_MAKING_SECONDS = 600


@dataclass(frozen=True)
class Shot:
    """A picture of the tour: who looks at which page, and what they do there first. `height` is of the window; None is the whole page."""

    name: str
    role: str
    path: str
    width: int = 1440
    color_scheme: str = "light"
    height: int | None = 900
    first: Callable[[Page], object] | None = None


class DemoDidNotStart(RuntimeError):
    """`manage.py run` ended, or said nothing of where it serves in time. The message is what it said."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.screenshots", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="Take every page, into that folder.")
    options = parser.parse_args()
    found = chromium()
    if found is None:
        raise SystemExit("There is no Chromium here (Debian: apt-get install chromium).")
    with _demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        password = (settings.HOME.path / "demo-password").read_text(encoding="ascii")
        if options.all is None:
            _take_tour(browser, address, password)
        else:
            _take_all(browser, address, password, options.all)
        browser.close()
    return 0


def tour() -> list[Shot]:
    """The pictures, in the order of docs/tour.md."""
    ready = Plan.objects.filter(status=Plan.Status.READY, kind=Plan.Kind.APPLY).latest("pk")
    applied = Plan.objects.filter(status=Plan.Status.EXECUTED, kind=Plan.Kind.APPLY).latest("pk")
    correction = Calculation.objects.filter(plan_chunk_id__in=applied.chunks.values("pk")).order_by("-total")[
        0
    ]
    store = correction.transaction.store_id
    wrong = (
        "/find/?calculator=pricing&service=invoicing&from=2026-03-25T00:00:00&to=2026-03-28T00:00:00&zone=UTC"
    )
    transaction = f"/transactions/transaction/{correction.transaction_id}/"
    job = applied.jobs.get(kind="apply").pk
    return [
        Shot("home", "approver", "/"),
        Shot("find", "engineer", wrong),
        Shot("onset", "engineer", wrong, height=1200, first=_ask_when_it_began),
        Shot("plan", "approver", f"/remediation/plan/{ready.pk}/", height=1400),
        Shot("figures", "engineer", f"/remediation/plan/{ready.pk}/figures/", height=1200),
        Shot("decide", "approver", f"/remediation/plan/{ready.pk}/decide/", height=1300),
        Shot("job", "engineer", f"/remediation/job/{job}/"),
        Shot("case", "engineer", f"/remediation/case/{applied.case_id}/", height=1300),
        Shot("transaction", "support", transaction, height=1200),
        Shot("store", "support", f"/transactions/store/{store}/", height=1100),
        Shot("integrity", "auditor", "/audit/auditentry/integrity/"),
        Shot("trail", "auditor", f"/audit/auditentry/?case={applied.case_id}", color_scheme="dark"),
        Shot("phone", "support", transaction, width=360, color_scheme="dark"),
    ]


def _ask_when_it_began(page: Page) -> None:
    page.get_by_label("What version would have been right?").select_option("2.0.0")
    release = page.get_by_label("Of release")
    if release.count():
        release.select_option(label="invoicing · pricing 1.8.0")
    page.get_by_role("button", name="Show when it began and ended").click()
    page.locator("#answer figure").wait_for(timeout=60_000)
    page.locator("#answer").scroll_into_view_if_needed()


def _take_tour(browser: Browser, address: str, password: str) -> None:
    TOUR.mkdir(parents=True, exist_ok=True)
    for shot in tour():
        with _signed_in(
            browser,
            address,
            shot.role,
            password,
            width=shot.width,
            height=shot.height or 900,
            color_scheme=shot.color_scheme,
        ) as page:
            page.goto(f"{address}{shot.path}")
            page.wait_for_load_state("networkidle")
            if shot.first is not None:
                shot.first(page)
            file = TOUR / f"{shot.name}.png"
            page.screenshot(path=str(file), full_page=shot.height is None, caret="initial")
            sys.stderr.write(f"{file.relative_to(ROOT)}\n")


def _take_all(browser: Browser, address: str, password: str, folder: Path) -> None:
    known: set[str] = set()
    for role in ROLES:
        pages = _pages_of(role, known)
        for width, color_scheme in SCREENS:
            with _signed_in(
                browser, address, role, password, width=width, height=900, color_scheme=color_scheme
            ) as page:
                for name, path in pages:
                    page.goto(f"{address}{path}")
                    into = folder / f"{width}-{color_scheme}"
                    into.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=str(into / f"{name}.png"), full_page=True, caret="initial")
        sys.stderr.write(f"{role}: {len(pages)} pages\n")


def _pages_of(role: str, known: set[str]) -> list[tuple[str, str]]:
    """A name and an address for each page of somebody in that role; those that others see too, once, but for the first page."""
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username=role))
    found: list[tuple[str, str]] = []
    for view, address in reachable_pages(client, each_view=1, more_of=MORE_OF):
        if address == "/" or address not in known:
            found.append((f"{role}-{view.rpartition(':')[2]}-{len(found)}", address))
            known.add(address)
    return found


@contextmanager
def _demo() -> Iterator[str]:
    """Where the demo is served, made first where it was not."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    said: list[str] = []
    deadline = time.monotonic() + _MAKING_SECONDS
    assert process.stderr is not None
    try:
        for line in process.stderr:
            said.append(line)
            if "Amends is at http" in line:
                yield line.partition("Amends is at ")[2].split()[0]
                return
            if time.monotonic() > deadline:
                break
        raise DemoDidNotStart("".join(said))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@contextmanager
def _signed_in(
    browser: Browser, address: str, role: str, password: str, *, width: int, height: int, color_scheme: str
) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if color_scheme == "dark" else "light",
        timezone_id="Europe/Berlin",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{address}/login/")
    page.get_by_label("Username").fill(role)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")
    yield page
    context.close()


if __name__ == "__main__":
    sys.exit(main())
