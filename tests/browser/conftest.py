"""A real browser on a real server process: `signed_in("approver")` gives a page of somebody in that role.

Without Chromium these tests are skipped, saying so; where the environment variable CI is set they fail instead.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.chromium import FLAGS, chromium
from tests.conftest import PASSWORD, UserFactory

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        message = (
            "THE BROWSER TESTS DID NOT RUN: there is no Chromium here (Debian: apt-get install chromium)."
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Playwright's synchronous interface runs an event loop in this thread, which Django would take for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Served:
    """A gunicorn that serves this process's test database."""

    address: str
    process: "subprocess.Popen[bytes]"


Environment = frozenset[tuple[str, str]]


@pytest.fixture(scope="session")
def started_servers() -> Iterator[dict[Environment, Served]]:
    """The servers that tests have needed so far, by the environment that they were started in."""
    started: dict[Environment, Served] = {}
    yield started
    for served in started.values():
        served.process.terminate()
    for served in started.values():
        served.process.wait(20)


@pytest.fixture
def server(
    committed_db: None,
    started_servers: dict[Environment, Served],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The address of a gunicorn that serves the test's database.

    Tests with the same environment share one: it takes seconds to start, and finds the database by its name, whichever copy of the
    template that is just now.
    """
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "backoffice.settings"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    key = frozenset(environment.items())
    if key not in started_servers or started_servers[key].process.poll() is not None:
        started_servers[key] = _serve(environment, tmp_path_factory.mktemp("server") / "server.log")
    return started_servers[key].address


def _serve(environment: dict[str, str], log: Path) -> Served:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "gunicorn", "backoffice.wsgi"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*program, "--bind", f"127.0.0.1:{port}", "--threads", "4"],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(address, process, log)
    except BaseException:
        process.kill()
        raise
    return Served(address, process)


def _wait_until_it_answers(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{address}/login/", timeout=5).raise_for_status()
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"The server does not answer:\n{log.read_text(errors='replace')}"
                ) from None
            time.sleep(0.1)
        else:
            return


@dataclass
class Reader:
    """Somebody at a browser, signed in. `complaints` are what the browser's console said: errors and violated policies."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        answer = self.page.goto(f"{self.address}{path}")
        assert answer is not None
        assert answer.status == 200, f"{path} answered {answer.status}"
        return self.page

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")


ReaderFactory = Callable[..., Reader]


@pytest.fixture
def signed_in(browser: Browser, server: str, users: UserFactory) -> Iterator[ReaderFactory]:
    """`signed_in("support", width=360, color_scheme="dark")`; nobody's console may have complained by the end."""
    contexts: list[BrowserContext] = []
    readers: list[Reader] = []

    def sign_in(
        role: str, *, name: str = "", width: int = 1440, color_scheme: str = "light", javascript: bool = True
    ) -> Reader:
        user = users(role, name=name)
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=color_scheme,
            java_script_enabled=javascript,
        )
        contexts.append(context)
        reader = Reader(context.new_page(), server)
        readers.append(reader)
        reader.page.on("console", reader.hear)
        reader.page.on("pageerror", lambda error: reader.complaints.append(str(error)))
        reader.open("/login/")
        reader.page.get_by_label("Username").fill(user.get_username())
        reader.page.get_by_label("Password").fill(PASSWORD)
        reader.page.get_by_role("button", name="Log in").click()
        reader.page.wait_for_url(f"{server}/")
        return reader

    yield sign_in
    for context in contexts:
        context.close()
    assert "\n".join(complaint for reader in readers for complaint in reader.complaints) == ""
