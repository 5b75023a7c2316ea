"""The supervisor as a process of its own, with real workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import kombu.exceptions
import psutil
import pytest
from django.conf import settings

from audit.models import AuditEntry, AuditSeal, SealQueue
from backoffice.celery import app
from backoffice.supervisor import Child
from tests.commands import asked

ROOT = Path(settings.BASE_DIR)
T = TypeVar("T")

Supervisor = Callable[..., "subprocess.Popen[bytes]"]


def eventually(what: Callable[[], T], seconds: float = 60) -> T:
    """The first true answer of `what`; fails after the given time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.1)
    return found


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """All processes below the supervisor."""
    return psutil.Process(process.pid).children(recursive=True)


def part(process: "subprocess.Popen[bytes]", name: str) -> psutil.Process | None:
    """The supervisor's worker or beat, if it runs."""
    for child in psutil.Process(process.pid).children():
        try:
            if name in child.cmdline():
                return child
        except psutil.Error:
            continue
    return None


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def alive() -> int:
    try:
        return len(app.control.ping(timeout=0.5))
    except kombu.exceptions.OperationalError:
        return 0


@pytest.fixture
def supervisor(committed_db: None, tmp_path: Path) -> Iterator[Supervisor]:
    """Starts `manage.py supervise` in a home of its own, on the test's database."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / f"supervisor-{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "supervise", "--workers", "1"],
                cwd=ROOT,
                env=os.environ
                | {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "AMENDS_HOME": str(tmp_path / "home")}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                below = family(process)
                process.kill()
                process.wait()
                for member in below:
                    eventually(lambda member=member: gone(member))  # type: ignore[misc]


def test_a_killed_worker_and_a_killed_beat_are_started_again(supervisor: Supervisor) -> None:
    process = supervisor()
    eventually(lambda: alive() == 1)
    worker, beat = part(process, "worker"), part(process, "beat")
    assert worker is not None
    assert beat is not None
    pool = worker.children(recursive=True)

    worker.kill()
    beat.kill()

    successor = eventually(lambda: (new := part(process, "worker")) and new.pid != worker.pid and new)
    assert isinstance(successor, psutil.Process)
    eventually(lambda: (new := part(process, "beat")) and new.pid != beat.pid)
    eventually(lambda: all(gone(member) for member in pool))
    eventually(lambda: alive() == 1)


def test_a_killed_sealer_is_started_again_and_seals_what_was_written_meanwhile(
    supervisor: Supervisor,
) -> None:
    process = supervisor()
    eventually(lambda: not SealQueue.objects.exists())
    eventually(lambda: asked("services", "status")["sealer"] == "running")
    sealer = part(process, "seal")
    assert sealer is not None

    sealer.kill()
    written = AuditEntry.objects.create(
        event="plan.approved", actor_label="ann", subject_type="remediation.plan", subject_id=1, subject_label="Plan 1", data={}
    )  # fmt: skip

    eventually(lambda: AuditSeal.objects.filter(entry=written).exists())
    successor = part(process, "seal")
    assert successor is not None
    assert successor.pid != sealer.pid


def test_sigterm_stops_all_it_started(supervisor: Supervisor) -> None:
    process = supervisor()
    eventually(lambda: alive() == 1)
    below = family(process)
    assert len(below) >= 4  # worker, its pool process, beat, sealer

    process.terminate()

    assert process.wait(60) == 0
    assert all(gone(member) for member in below)


def test_a_killed_supervisor_takes_its_children_with_it(supervisor: Supervisor) -> None:
    process = supervisor()
    eventually(lambda: alive() == 1)
    below = family(process)

    process.kill()
    process.wait()

    eventually(lambda: all(gone(member) for member in below))


def test_it_goes_on_without_a_broker(supervisor: Supervisor, tmp_path: Path) -> None:
    process = supervisor(REDIS_URL=f"unix://{tmp_path}/nobody.sock", AMENDS_LOG_LEVEL="INFO")
    eventually(lambda: part(process, "worker"))
    log = tmp_path / "supervisor-0.log"
    eventually(lambda: log.read_text(errors="replace").count("Cannot connect to redis") >= 2)
    assert process.poll() is None

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0


def test_a_second_supervisor_of_a_home_is_refused(supervisor: Supervisor, tmp_path: Path) -> None:
    first = supervisor()
    eventually((tmp_path / "home" / "supervisor.process").exists)
    assert supervisor().wait(60) == 1
    assert f"A supervisor runs already (process {first.pid})" in (tmp_path / "supervisor-1.log").read_text()


def test_a_child_that_dies_at_once_is_started_ever_later(tmp_path: Path) -> None:
    child = Child("short", (sys.executable, "-c", "import sys; sys.exit(3)"), tmp_path, tmp_path / "log")
    starts = 0
    seen: int | None = None
    until = time.monotonic() + 2.2
    while time.monotonic() < until:
        child.keep_alive()
        if child.pid is not None and child.pid != seen:
            starts, seen = starts + 1, child.pid
        time.sleep(0.01)
    assert 2 <= starts <= 3  # after 0, 0.5 and 1.5 s; without the growing pause there would be dozens
    child.kill()
