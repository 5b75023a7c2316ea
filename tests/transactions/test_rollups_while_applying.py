"""The counts equal the rows after corrections, reverts, conflicts and kills, while services go on reporting."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remediation.apply import start_apply
from remediation.models import Job, Plan
from remediation.preview import request_preview
from remediation.revert import NothingToRevert, request_revert
from tests.conftest import UserFactory, WorkerFactory
from tests.faults.test_worker_killed import supervised_until_ended
from tests.remediation.driving import applied, approved, opened, previewed, work_until_ended
from tests.remediation.incident import START, recalculate, report
from transactions.finder import count
from transactions.models import CurrentCalculation
from transactions.rollups import fold_counts, recount
from transactions.selection import Selection

ROWS = 4


class Services:
    """One example's world: reports, corrections and reverts, each asked by a word."""

    def __init__(self, engineer: User, approver: User) -> None:
        self.engineer, self.approver = engineer, approver
        self.ids = report(ROWS, start=START + timedelta(minutes=59, seconds=58))  # two hours
        self.clock = 0
        self.waiting: Plan | None = None

    def report(self, row: int) -> None:
        """A newer calculation, sometimes newer than any correction."""
        self.clock += 1
        at = START + timedelta(days=1, seconds=self.clock)
        newest = Plan.objects.order_by("-pk").first()
        if newest is not None and row % 2:
            at = newest.requested_at + timedelta(milliseconds=self.clock)
        recalculate(self.ids[row], fee_percent=1, at=at)

    def preview(self, _: int) -> None:
        if self.waiting is None:
            self._keep(request_preview(opened(self.engineer), acting_user=self.engineer))

    def revert(self, _: int) -> None:
        if self.waiting is None:
            try:
                self._keep(request_revert(opened(self.engineer), acting_user=self.engineer))
            except NothingToRevert:
                return

    def apply(self, _: int) -> None:
        if self.waiting is not None:
            applied(approved(self.waiting, self.approver), self.engineer)
            self.waiting = None

    def fold(self, _: int) -> None:
        fold_counts()

    def _keep(self, plan: Plan) -> None:
        work_until_ended(plan.jobs.get(kind="preview"))
        plan.refresh_from_db()
        if plan.manifest and plan.manifest["proposed"]:
            self.waiting = plan
        elif plan.status == Plan.Status.READY:
            Plan.objects.filter(pk=plan.pk).update(status=Plan.Status.REJECTED)


STEPS = st.tuples(st.sampled_from(["report", "preview", "apply", "revert", "fold"]), st.integers(0, ROWS - 1))


@pytest.mark.django_db
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(steps=[("preview", 0), ("report", 0), ("apply", 0), ("revert", 0), ("report", 1), ("apply", 0)])
@given(steps=st.lists(STEPS, max_size=12))
def test_counts_equal_the_rows_whatever_is_reported_corrected_and_taken_back(
    users: UserFactory, steps: list[tuple[str, int]]
) -> None:
    with transaction.atomic():
        world = Services(users("engineer"), users("approver"))
        for name, row in steps:
            step: Callable[[int], None] = getattr(world, name)
            step(row)
            assert recount() == [], steps
        assert count(Selection("fee")).matched == ROWS
        transaction.set_rollback(True)


@pytest.mark.usefixtures("committed_db")
def test_a_conflict_is_not_counted_as_a_move(users: UserFactory) -> None:
    ids = report(5)
    plan = approved(previewed(users("engineer")), users("approver"))
    recalculate(ids[2], fee_percent=1, at=START + timedelta(hours=7))
    job = applied(plan, users("engineer"))
    assert job.outcomes.filter(kind="conflict").count() == 1
    assert recount() == []
    assert count(Selection("fee", versions=("2.0.0",))).matched == 4
    assert count(Selection("fee", versions=("1.0.0",))).by_hour == [(START + timedelta(hours=7), 1)]


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("point", ["apply.before_commit", "apply.after_commit"])
def test_counts_equal_the_rows_while_two_workers_apply_one_is_killed_and_a_service_reports(
    users: UserFactory,
    worker_process: WorkerFactory,
    tmp_path: Path,
    settings,  # type: ignore[no-untyped-def]
    point: str,
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 10
    ids = report(80, start=START + timedelta(minutes=59))
    plan = approved(previewed(users("engineer")), users("approver"))
    done, differences = threading.Event(), []

    def report_on() -> None:
        try:
            turn = 0
            while not done.is_set():
                turn += 1
                at = START + timedelta(days=1, seconds=turn)
                recalculate(ids[(turn * 7) % len(ids)], fee_percent=1, at=at)
                report(1, first=1000 + turn, start=START + timedelta(hours=turn % 5))
                time.sleep(0.05)  # leave the workers some of a busy machine
        finally:
            connection.close()

    def look() -> None:
        try:
            while not done.is_set():
                fold_counts()
                differences.extend(recount())
                time.sleep(0.05)
        finally:
            connection.close()

    environment = {
        "AMENDS_FAILPOINTS": f"{point}=kill",
        "AMENDS_FAILPOINT_DIR": str(tmp_path),
        "AMENDS_LEASE_SECONDS": "2",
    }
    for _ in range(2):
        worker_process(concurrency=1, **environment)
    with ThreadPoolExecutor(max_workers=2) as pool:
        reporting, looking = pool.submit(report_on), pool.submit(look)
        try:
            job = start_apply(plan, acting_user=users("engineer"))
            supervised_until_ended(job)
        finally:
            done.set()
        reporting.result(timeout=30)
        looking.result(timeout=30)
    assert job.status == Job.Status.FINISHED, job.failure
    assert (tmp_path / f"{point}.fired").exists(), "the fault happened"
    assert differences == []
    assert recount() == []
    assert count(Selection("fee")).matched == CurrentCalculation.objects.count()
