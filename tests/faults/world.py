"""The world that faults happen in: a private PostgreSQL and broker, real workers, transactions, and what the supervisor would do.

Import after Django is set up with an AMENDS_HOME of its own (`tests.faults.__main__`).
"""

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection, transaction

from backoffice.embedded.home import DATABASE_NAME, OWNER_ROLE
from backoffice.embedded.process_file import ProcessFile
from backoffice.environment import embedded
from backoffice.privileges import grant_on_database
from remediation import failpoints
from remediation.apply import start_apply
from remediation.control import complete_stops
from remediation.doorbell import ring_waiting_jobs
from remediation.lease import recover_expired_leases
from remediation.locks import JobDoesNotStop
from remediation.models import Case, Job, JobChunk, Plan
from remediation.preview import request_preview
from remediation.verify import start_verify
from tests.faults import witness
from tests.faults.invariants import Judge
from tests.remediation.driving import approved, opened, verified
from tests.worker_process import WorkerProcess, start_worker
from transactions.models import IngestBatch, Release, Store
from transactions.selection import Selection

PREPARED = "amends_prepared"
PASSWORD = "correct-horse-battery-9"
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
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
class Incident:
    """Transactions that one service calculated wrongly."""

    service: str
    ids: list[int]

    @property
    def selection(self) -> Selection:
        return Selection("fee", services=(self.service,), versions=("1.0.0",))


@dataclass
class World:
    """Everything a fault needs. `recoveries` are seconds from a fault until its work went on; `kills` counts processes killed with -9."""

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
            grant_on_database(owner, DATABASE_NAME, settings.DATABASES["default"]["USER"])
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

    # The main job.

    @property
    def engineer(self) -> User:
        return User.objects.get(username="engineer")

    @property
    def approver(self) -> User:
        return User.objects.get(username="approver")

    def incident(self, rows: int) -> Incident:
        """So many transactions of a service of their own, in two currencies, calculated by 1.0.0."""
        service = f"s{next(self._numbers):06}"
        store, _ = Store.objects.get_or_create(reference="s-1", defaults={"country": "US"})
        release = Release.objects.create(service=service, calculator="fee", version="1.0.0")
        batch = IngestBatch.objects.create(source=service, origin="faults")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                _REPORT,
                {
                    "service": service,
                    "rows": rows,
                    "store": store.pk,
                    "reference": store.reference,
                    "release": release.pk,
                    "batch": batch.pk,
                    "start": START,
                },
            )
            pairs = sorted(cursor.fetchall())
            cursor.execute("SELECT * FROM amends_point_at_reported(%s)", [[c for _, c in pairs]])
        return Incident(service, [known for known, _ in pairs])

    def recalculate(self, incident: Incident, ids: list[int], *, at: datetime | None = None) -> None:
        """Let the service report other amounts (3 %) of these transactions, calculated at that time; by default now."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                _RECALCULATE,
                {"ids": ids, "at": at or datetime.now(UTC), "service": incident.service},
            )
            pairs = sorted(cursor.fetchall())
            cursor.execute("SELECT * FROM amends_point_at_reported(%s)", [[c for _, c in pairs]])

    def preview(self, incident: Incident, target: str = "2.0.0", *, wait: bool = True) -> Plan:
        case = opened(
            self.engineer,
            target=target,
            selection=incident.selection,
            reason=f"{incident.service} was wrong.",
        )
        plan = request_preview(case, acting_user=self.engineer)
        if wait:
            self.await_preview(plan)
        return plan

    def await_preview(self, plan: Plan) -> None:
        def ended() -> bool:
            plan.refresh_from_db()
            return plan.status != Plan.Status.PREVIEWING

        self.until(ended)

    def approve(self, plan: Plan) -> Plan:
        return approved(plan, self.approver)

    def start(self, plan: Plan, **options: Any) -> Job:
        return start_apply(plan, acting_user=self.engineer, **options)

    def approved_incident(self, rows: int, target: str = "2.0.0") -> tuple[Incident, Plan]:
        """An incident with its plan, previewed by the workers and approved."""
        incident = self.incident(rows)
        plan = self.preview(incident, target)
        self.judge.that(
            "I6", plan.status == Plan.Status.READY, f"the preview ended {plan.status}: {plan.failure}"
        )
        return incident, self.approve(plan)

    def approved_incident_untended(self, rows: int) -> tuple[Incident, Plan]:
        """The same where a real supervisor does its part."""
        incident = self.incident(rows)
        plan = self.preview(incident, wait=False)

        def ended() -> bool:
            plan.refresh_from_db()
            return plan.status != Plan.Status.PREVIEWING

        self.until(ended, tending=False)
        return incident, self.approve(plan)

    def await_end(self, job: Job, **options: Any) -> Job:
        def ended() -> bool:
            job.refresh_from_db()
            return job.ended

        self.until(ended, **options)
        return job

    def settle(self, plan: Plan, *, verify: bool = True) -> dict[str, Any]:
        """After a fault: hold the plan and everything against the invariants, and let Amends verify itself. Its result."""
        plan.refresh_from_db()
        self.judge.plan(plan)
        self.judge.everything()
        if not verify:
            return {}
        job = self.await_end(start_verify(Case.objects.get(pk=plan.case_id), acting_user=self.engineer))
        self.judge.that("verification", job.status == Job.Status.FINISHED, f"it {job.status}: {job.failure}")
        self.judge.reconciled(job.result or {})
        return dict(job.result or {})

    def settle_here(self, plan: Plan) -> dict[str, Any]:
        """`settle` with this process doing the verification."""
        self.settle(plan, verify=False)
        self.kill_workers()
        result = verified(Case.objects.get(pk=plan.case_id), self.engineer)
        self.judge.reconciled(result)
        return result

    def pointers(self, incident: Incident) -> dict[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT transaction_id, calculation_id FROM transactions_currentcalculation WHERE transaction_id = ANY(%s)",
                [incident.ids],
            )
            return dict(cursor.fetchall())

    def done_chunks(self, job: Job) -> int:
        return JobChunk.objects.filter(job=job, status=JobChunk.Status.DONE).count()

    @contextmanager
    def stillness(self, job: Job, incident: Incident) -> Iterator[None]:
        """I5: nothing of the job commits inside this block."""
        before = self.done_chunks(job), self.pointers(incident)
        yield
        after = self.done_chunks(job), self.pointers(incident)
        self.judge.that(
            "I5", before == after, f"{after[0] - before[0]} chunks were committed after the acknowledgement"
        )


def resume_process(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


_REPORT = """
    WITH given AS (
        SELECT i, 1000 + i AS net, CASE WHEN i %% 3 = 0 THEN 'EUR' ELSE 'USD' END AS currency,
               %(start)s::timestamptz + i * interval '1 second' AS at,
               jsonb_build_object('net', ((1000 + i) / 100) || '.' || lpad(((1000 + i) %% 100)::text, 2, '0')) AS inputs
        FROM generate_series(0, %(rows)s - 1) AS i
    ), facts AS (
        INSERT INTO transactions_transaction (source, reference, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id)
        SELECT %(service)s, 'o-' || i, %(store)s, currency, 2, at, inputs,
               amends_facts_hash(%(service)s::text, 'o-' || i, %(reference)s::text, currency, 2::smallint, at, inputs), %(batch)s
        FROM given ORDER BY i
        RETURNING id, reference
    )
    INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)
    SELECT facts.id, %(release)s, jsonb_build_object('net', net, 'fee', net / 100, 'total', net + net / 100), net + net / 100, at, %(batch)s
    FROM facts JOIN given ON facts.reference = 'o-' || i
    RETURNING transaction_id, id
"""
_RECALCULATE = """
    INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)
    SELECT facts.id, (SELECT id FROM transactions_release WHERE service = %(service)s AND calculator = 'fee' AND version = '1.0.0'),
           jsonb_build_object('net', net, 'fee', net * 3 / 100, 'total', net + net * 3 / 100), net + net * 3 / 100, %(at)s, facts.batch_id
    FROM transactions_transaction facts, LATERAL (SELECT (substring(facts.reference FROM 3))::bigint + 1000 AS net) AS numbers
    WHERE facts.id = ANY(%(ids)s)
    RETURNING transaction_id, id
"""
