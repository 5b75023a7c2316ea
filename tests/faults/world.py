"""The world that faults happen in: a machine, and the main job on it, from what a service reported to what people verify.

Import after Django is set up with an AMENDS_HOME of its own (`tests.faults.__main__`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.seal import connect
from audit.sealer import seal_all
from audit.verification import verify_everything
from remediation.apply import start_apply
from remediation.models import Case, Job, JobChunk, Plan
from remediation.preview import request_preview
from remediation.verify import start_verify
from tests.faults.machine import Machine
from tests.remediation.driving import approved, opened, verified
from transactions.leaves import cover_batch
from transactions.models import IngestBatch, Release, Store
from transactions.selection import Selection

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@dataclass
class Incident:
    """Transactions that one service calculated wrongly."""

    service: str
    ids: list[int]

    @property
    def selection(self) -> Selection:
        return Selection("fee", services=(self.service,), versions=("1.0.0",))


@dataclass
class World(Machine):
    """Everything a fault needs: transactions, and the main job done on them by two people."""

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
            cover_batch(batch)
        return Incident(service, [known for known, _ in pairs])

    def recalculate(self, incident: Incident, ids: list[int], *, at: datetime | None = None) -> None:
        """Let the service report other amounts (3 %) of these transactions, calculated at that time; by default now."""
        with transaction.atomic(), connection.cursor() as cursor:
            batch = IngestBatch.objects.create(source=incident.service, origin="recalculated")
            cursor.execute(
                _RECALCULATE,
                {
                    "ids": ids,
                    "at": at or datetime.now(UTC),
                    "service": incident.service,
                    "batch": batch.pk,
                },
            )
            pairs = sorted(cursor.fetchall())
            cursor.execute("SELECT * FROM amends_point_at_reported(%s)", [[c for _, c in pairs]])
            cover_batch(batch)

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

    def verify_trail(self) -> None:
        """I7: whatever happened, what was written is sealed, and the trail and all that it covers verify as a whole."""
        with connect() as sealer:
            seal_all(sealer)
        self.judge.trail(verify_everything(connections=1))

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
           jsonb_build_object('net', net, 'fee', net * 3 / 100, 'total', net + net * 3 / 100), net + net * 3 / 100, %(at)s, %(batch)s
    FROM transactions_transaction facts, LATERAL (SELECT (substring(facts.reference FROM 3))::bigint + 1000 AS net) AS numbers
    WHERE facts.id = ANY(%(ids)s)
    RETURNING transaction_id, id
"""
