"""The product's worker processes: a real `celery worker`, whose pool's memory is read from /proc."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu.exceptions
import psutil

from backoffice.celery import app
from backoffice.parent_death import die_with_parent

ROOT = Path(__file__).parent.parent
_READY_SECONDS = 60


class WorkersNotReady(RuntimeError):
    """The worker did not answer. The message has its log."""


class Workers:
    """A worker that runs, with its pool."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def peak_megabytes(self) -> float:
        """The largest resident size (in 10^6 octets) that any process of the pool ever had."""
        pool = psutil.Process(self._process.pid).children(recursive=True)
        return max(_peak_kib(member.pid) for member in pool) * 1024 / 1e6


def _peak_kib(pid: int) -> int:
    found = re.search(
        r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE
    )
    assert found is not None
    return int(found[1])


@contextmanager
def running_workers(count: int, log: Path) -> Iterator[Workers]:
    """One worker with a pool of `count` processes, answering; ended at the end. Raises `WorkersNotReady`."""
    name = f"bench-{time.monotonic_ns()}@localhost"
    command = [
        *(sys.executable, "-m", "celery", "--app", "backoffice", "worker", "--hostname", name),
        *("--concurrency", str(count), "--pool", "prefork", "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    app.control.purge()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 (before any thread of ours)
        )
    try:
        _wait_until_ready(name, process, log)
        yield Workers(process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait_until_ready(name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            if app.control.ping(destination=[name], timeout=0.5):
                return
        except kombu.exceptions.OperationalError:
            time.sleep(0.2)
        if process.poll() is not None or time.monotonic() > deadline:
            raise WorkersNotReady(f"The worker did not become ready:\n{log.read_text(errors='replace')}")
