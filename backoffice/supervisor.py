"""Keeps a worker, beat and the sealer alive, and does what must not depend on them: recovers expired leases, rings for waiting jobs.

A worker that dies is started again; one that lives and does nothing is ended first: it answers no ping, or leaves work lying that
anybody may take. Works without the broker, too: what a dead worker held becomes free again by the database's clock alone.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import kombu.exceptions
import psutil
import redis
import structlog
from celery import Celery
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from backoffice.parent_death import die_with_parent

logger = structlog.get_logger(__name__)

Duty = Callable[[], int]

STOP_SECONDS = 30
_SHORTEST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_SILENT_PINGS = 4
_STALLED_SECONDS = 20.0
"""So long work may wait with a worker there that could take it. With a lease's half minute and a start it is less than 90 s."""


@dataclass
class Child:
    """A process to keep alive. What dies soon after its start is started again ever later, up to half a minute."""

    name: str
    command: Sequence[str]
    directory: Path
    log: Path | None = None
    restarts: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    _started_at: float = 0.0
    _start_not_before: float = 0.0
    _backoff: float = field(default=_SHORTEST_BACKOFF_SECONDS)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def keep_alive(self) -> None:
        """Start it if it is not running and its time has come."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            logger.warning("child_died", child=self.name, code=code)
            self._process = None
            self.restarts += 1
            if now - self._started_at > _STEADY_SECONDS:
                self._backoff = _SHORTEST_BACKOFF_SECONDS
            self._start_not_before = now + self._backoff
            self._backoff = min(self._backoff * 2, _LONGEST_BACKOFF_SECONDS)
        if now >= self._start_not_before:
            self._start()

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_stopped(self, until: float) -> None:
        """Wait until `until` (monotonic seconds), then end it by force with all below it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """By force, with all processes below it; `keep_alive` then starts it again."""
        if self._process is None:
            return
        try:
            family = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self._process.kill()
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()

    def age_seconds(self) -> float:
        return time.monotonic() - self._started_at if self._process is not None else 0.0

    def _start(self) -> None:
        output = None if self.log is None else self.log.open("ab")
        try:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for us, who then stop them in order
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 (no thread holds a lock at that time)
            )
        finally:
            if output is not None:
                output.close()
        self._started_at = time.monotonic()
        logger.info("child_started", child=self.name, pid=self._process.pid)


class Supervisor:
    """One worker, beat, where asked for the sealer, and the duties.

    `run` returns after `stop` was called, from a signal handler or another thread.

    `waiting_since` gives a mark that stays the same while work waits and nobody takes any of it, or None where none waits.
    """

    def __init__(
        self,
        app: Celery,
        *,
        workers: int,
        duties: Sequence[Duty],
        directory: Path,
        hostname: str,
        waiting_since: Callable[[], str | None] = lambda: None,
        interval_seconds: float = 3.0,
        log: Path | None = None,
        sealing: bool = False,
    ) -> None:
        self._app = app
        self._duties = duties
        self._interval = interval_seconds
        self._hostname = hostname
        self._stopping = threading.Event()
        self._unanswered = 0
        self._waiting_since = waiting_since
        self._mark: str | None = None
        self._marked_at = 0.0
        celery = (sys.executable, "-m", "celery", "--app", "backoffice")
        self.worker = Child(
            "worker",
            (
                *(
                    *celery,
                    "worker",
                    "--hostname",
                    hostname,
                    "--concurrency",
                    str(workers),
                    "--pool",
                    "prefork",
                ),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ),
            directory,
            log,
        )
        self.beat = Child("beat", (*celery, "beat", "--pidfile="), directory, log)
        self.sealer = Child("sealer", (sys.executable, "manage.py", "audit", "seal"), directory, log)
        self._children = (self.worker, self.beat, *((self.sealer,) if sealing else ()))

    def run(self) -> None:
        """Keep everything alive until `stop`; then stop all that was started."""
        try:
            while not self._stopping.is_set():
                for child in self._children:
                    child.keep_alive()
                for duty in self._duties:
                    self._do(duty)
                self._look_after_silent_worker()
                self._do(self._look_after_stalled_worker)
                self._stopping.wait(self._interval)
        finally:
            self._stop_children()
            connection.close()

    @property
    def restarts(self) -> int:
        """How often a child that had died was started again."""
        return sum(child.restarts for child in self._children)

    def stop(self) -> None:
        self._stopping.set()

    def _do(self, duty: Duty) -> None:
        """One failing duty keeps neither the others nor the children from being looked after; it is tried again soon."""
        name = getattr(duty, "__name__", repr(duty))
        close_old_connections()
        try:
            count = duty()
        except (
            DatabaseError,
            InterfaceError,
            kombu.exceptions.OperationalError,
            redis.RedisError,
            OSError,
        ) as error:
            logger.warning("duty_failed", duty=name, error=str(error))
            connection.close()
        else:
            if count:
                logger.info("duty_done", duty=name, count=count)

    def _look_after_silent_worker(self) -> None:
        """A worker that lives but answers no ping several times, with the broker there, is ended; it is then started anew."""
        if self.worker.age_seconds() < _STEADY_SECONDS:
            self._unanswered = 0
            return
        try:
            answered = bool(self._app.control.ping(destination=[self._hostname], timeout=1.0))
        except (kombu.exceptions.OperationalError, redis.RedisError, OSError):
            self._unanswered = 0  # the broker's fault, not the worker's
            return
        self._unanswered = 0 if answered else self._unanswered + 1
        if self._unanswered >= _SILENT_PINGS:
            logger.warning("worker_silent", pid=self.worker.pid)
            self.worker.kill()
            self._unanswered = 0

    def _look_after_stalled_worker(self) -> int:
        """End a worker that leaves work lying though the broker could tell it, whatever it answers; 1 where one was ended."""
        mark, now = self._waiting_since(), time.monotonic()
        if mark is None or mark != self._mark:
            self._mark, self._marked_at = mark, now
            return 0
        if min(now - self._marked_at, self.worker.age_seconds()) < _STALLED_SECONDS:
            return 0
        with self._app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=2)  # raises where the broker is to blame
        logger.warning("worker_stalled", pid=self.worker.pid, waiting=mark)
        self.worker.kill()
        self._mark = None
        return 1

    def _stop_children(self) -> None:
        for child in self._children:
            child.ask_to_stop()
        until = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.wait_stopped(until)
