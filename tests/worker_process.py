"""Real Celery workers for tests: processes that are killed as easily as they are started."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import kombu.exceptions
import psutil

from backoffice.celery import app
from backoffice.parent_death import die_with_parent

ROOT = Path(__file__).parent.parent


@dataclass
class WorkerProcess:
    """One `celery worker`, with the pool processes below it."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def pool(self) -> list[psutil.Process]:
        """The processes that do the work."""
        return psutil.Process(self.pid).children(recursive=True)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Wait for an answer to a ping. Fails the test with the worker's log where none comes."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if app.control.ping(destination=[self.name], timeout=0.5):
                    return
            except kombu.exceptions.OperationalError:
                time.sleep(0.2)
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"The worker {self.name} did not become ready:\n{self.output()}")

    def kill(self) -> None:
        """kill -9, the pool too, as a machine's loss would."""
        try:
            family = [psutil.Process(self.pid), *self.pool()]
        except psutil.NoSuchProcess:
            family = []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(20)

    def stop(self, seconds: float = 20) -> None:
        """SIGTERM and wait: it ends what it works on. Killed where that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def start_worker(
    folder: Path, number: int, *, concurrency: int, environment: dict[str, str]
) -> WorkerProcess:
    """A worker on the test's database and broker, with `environment` added. Does not wait for it to be ready."""
    name = f"test-{os.getpid()}-{number}-{time.monotonic_ns()}@localhost"
    log = folder / f"worker-{number}.log"
    command = [
        *(sys.executable, "-m", "celery", "--app", "backoffice", "worker"),
        *("--hostname", name, "--concurrency", str(concurrency), "--pool", "prefork", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "backoffice.settings",
                "AMENDS_LOG_LEVEL": "INFO",
                "AMENDS_PROCESS": "amends test worker",
            }
            | environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 (before any thread of ours)
        )
    return WorkerProcess(name, log, process)
