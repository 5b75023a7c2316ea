"""Where faults happen: a private PostgreSQL and broker, real workers that are killed and stopped, armed points, and the supervisor's part.

Import after Django is set up with an AMENDS_HOME of its own (`tests.faults.__main__`).
"""

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection

from backoffice.embedded.home import APPLICATION_ROLE, DATABASE_NAME, OWNER_ROLE, SEALER_ROLE
from backoffice.embedded.process_file import ProcessFile
from backoffice.environment import embedded
from backoffice.privileges import grant_on_database
from remediation import failpoints
from remediation.control import complete_stops
from remediation.doorbell import ring_waiting_jobs
from remediation.lease import recover_expired_leases
from remediation.locks import JobDoesNotStop
from tests.faults import witness
from tests.faults.invariants import Judge
from tests.worker_process import WorkerProcess, start_worker

PREPARED = "amends_prepared"
PASSWORD = "correct-horse-battery-9"
RING_SECONDS = 1.5
"""The supervisor rings every three seconds. Much more often, and workers would do nothing but answer."""
Step = Callable[[], bool]


class NotInTime(AssertionError):
    """Something did not come about within 90 s: I6 does not hold."""


@dataclass(frozen=True)
class Fired:
    """A failpoint that did its action in a process, at a time (Unix seconds)."""

    point: str
    action: str
    pid: int
    at: float


@dataclass
class Machine:
    """Servers and workers. `recoveries` are seconds from a fault until its work went on; `kills` counts processes killed with -9."""

    folder: Path
    judge: Judge = field(default_factory=Judge)
    workers: list[WorkerProcess] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    kills: int = 0
    group_kills: int = 0
    wanted_kills: int = 0
    wanted_group_kills: int = 0
    _rang_at: float = 0.0
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _wanted: list[dict[str, Any]] = field(default_factory=list)

    # The services.

    @property
    def failpoints(self) -> Path:
        return Path(os.environ["AMENDS_FAILPOINT_DIR"])

    def prepare(self) -> None:
        """Services up, the schema made, the witness begun, people there; and a copy of that to begin anew from."""
        (self.failpoints / "fired").mkdir(parents=True, exist_ok=True)
        embedded().up()
        call_command("prepare_database", verbosity=0, stdout=(self.folder / "prepare.log").open("w"))
        with self.owner() as owner:
            witness.install(owner)
        for name, role in (("engineer", "engineer"), ("approver", "approver")):
            user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
            user.groups.add(Group.objects.get(name=role))
        connection.close()
        with self.administration() as admin:
            admin.execute(f"CREATE DATABASE {PREPARED} TEMPLATE {DATABASE_NAME} OWNER {OWNER_ROLE}")

    def begin_anew(self) -> None:
        """Forget all: a guard that was taken out leaves a database that nobody should judge by."""
        self.kill_workers()
        self.disarm()
        connection.close()
        self.judge = Judge(checked=self.judge.checked)
        with self.administration() as admin:
            admin.execute(f"DROP DATABASE {DATABASE_NAME} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {DATABASE_NAME} TEMPLATE {PREPARED} OWNER {OWNER_ROLE}")
        with self.owner() as owner:
            grant_on_database(owner, DATABASE_NAME, APPLICATION_ROLE, SEALER_ROLE)
        if self.broker() is not None:
            current_app.control.purge()

    def owner(self) -> "psycopg.Connection[Any]":
        """The owner's own connection, in autocommit."""
        return psycopg.connect(settings.HOME.owner_url(), autocommit=True)

    def administration(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(settings.HOME.admin_url(), autocommit=True)

    def administration_of_database(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(settings.HOME.admin_url(DATABASE_NAME), autocommit=True)

    def postmaster(self) -> psutil.Process:
        """PostgreSQL's main process."""
        with self.administration() as admin:
            (folder,) = admin.execute("SHOW data_directory").fetchone() or ("",)
        return psutil.Process(int((Path(folder) / "postmaster.pid").read_text().split("\n", 1)[0]))

    def broker(self) -> psutil.Process | None:
        return ProcessFile(settings.HOME.path / "broker.process").running()

    def services_up(self) -> None:
        embedded().up()

    def end(self) -> None:
        """Stop all of it and remove the home."""
        self.kill_workers()
        connection.close()
        embedded().down()
        shutil.rmtree(settings.HOME.path, ignore_errors=True)

    # Workers.

    def want_workers(self, *, groups: int = 1, concurrency: int = 2, **environment: str) -> None:
        """So many worker groups, from now on: `tend` starts what dies. Those that were there are killed."""
        self.kill_workers()
        self._wanted = [{"concurrency": concurrency, "environment": environment} for _ in range(groups)]
        self._keep_workers()
        for worker in self.workers:
            worker.wait_until_ready()

    def want_workers_too(self, *, concurrency: int, **environment: str) -> None:
        """One more worker group, beside those that there are."""
        self._wanted.append({"concurrency": concurrency, "environment": environment})
        self._keep_workers()
        self.workers[-1].wait_until_ready()

    def kill_workers(self) -> None:
        self._wanted = []
        for worker in self.workers:
            worker.kill()
        self.workers = []

    def _keep_workers(self) -> None:
        for index, wanted in enumerate(self._wanted):
            if index < len(self.workers) and self.workers[index].process.poll() is None:
                continue
            started = start_worker(self.folder, next(self._numbers), **wanted)
            if index < len(self.workers):
                self.workers[index] = started
            else:
                self.workers.append(started)

    def kill_group(self, rng: Random) -> None:
        """kill -9 for a whole worker group, as a machine's loss would."""
        alive = [worker for worker in self.workers if worker.process.poll() is None]
        if alive:
            worker = rng.choice(alive)
            self.kills += len(worker.pool()) + 1
            self.group_kills += 1
            worker.kill()

    def kill_child(self, rng: Random) -> float | None:
        """kill -9 for one process of a pool, whatever it does just now; when (Unix seconds)."""
        pool = [child for worker in self.workers if worker.process.poll() is None for child in worker.pool()]
        if not pool:
            return None
        try:
            rng.choice(sorted(pool, key=lambda child: child.pid)).kill()
        except psutil.NoSuchProcess:
            return None
        self.kills += 1
        return time.time()

    def after_fault(self) -> None:
        """Nothing of a fault is left for the next one: no armed point, no worker, no message."""
        self.kill_workers()
        self.disarm()
        self.services_up()
        current_app.control.purge()

    # Failpoints.

    def arm(self, point: str, action: str) -> str:
        """Arm a point for one process. The name by which `fired` finds it."""
        failpoints.check(point, action)
        name = f"{point}={action}#{next(self._numbers):06}"
        (self.failpoints / name).touch()
        return name

    def disarm(self) -> None:
        for armed in self.failpoints.glob("*=*"):
            armed.unlink(missing_ok=True)

    def fired(self, name: str) -> Fired | None:
        """Who did what was armed under that name; None as long as nobody did."""
        try:
            told = json.loads((self.failpoints / "fired" / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        point, _, action = name.partition("#")[0].partition("=")
        return Fired(point, action, told["pid"], told["at"])

    def await_fired(self, name: str) -> Fired:
        self.until(lambda: self.fired(name) is not None, tending=False)
        fired = self.fired(name)
        assert fired is not None
        return fired

    # Time.

    def tend(self) -> None:
        """What the supervisor does, once; a database or broker that is down is no reason to end."""
        self._keep_workers()
        now = time.monotonic()
        duties: list[Callable[[], int]] = [recover_expired_leases, complete_stops]
        if now - self._rang_at >= RING_SECONDS:
            self._rang_at = now
            duties.append(ring_waiting_jobs)
        for duty in duties:
            try:
                duty()
            except (DatabaseError, InterfaceError, JobDoesNotStop, OSError):
                connection.close()

    def until(self, true: Step, *, seconds: float = 90, tending: bool = True) -> None:
        """Wait, and do the supervisor's part meanwhile. Raises `NotInTime`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if true():
                    return
            except (DatabaseError, InterfaceError):
                connection.close()
            if time.monotonic() > deadline:
                raise NotInTime(f"It did not come about in {seconds:g} s.")
            if tending:
                self.tend()
            time.sleep(0.1)

    def recovered(self, since: float) -> None:
        """Work went on just now, after a fault at that time (Unix seconds)."""
        seconds = max(time.time() - since, 0.0)
        self.recoveries.append(seconds)
        self.judge.in_time(seconds)


def resume_process(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
