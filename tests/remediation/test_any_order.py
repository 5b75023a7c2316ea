"""Whatever happens in whatever order: every transaction stands where a log kept beside the database says, and all adds up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remediation.models import Plan
from remediation.preview import request_preview
from remediation.revert import NothingToRevert, request_revert
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, verified, work_until_ended
from tests.remediation.incident import START, fee, recalculate, report, totals

ROWS = 4


@dataclass
class Standing:
    """What the log says of a transaction: the total it stands on, since when it was calculated, and by whom."""

    total: int
    calculated_at: datetime
    corrected: bool = False
    held_back: bool = False
    goes_back_to: datetime | None = None
    """When what a correction replaced was calculated: a report held back matters only if it is newer than that."""


@dataclass
class World:
    """The database's side and the log's side of one example."""

    engineer: User
    approver: User
    ids: list[int]
    log: list[Standing]
    plan: Plan | None = None
    plan_of: dict[int, int] = field(default_factory=dict)
    back_to: list[dict[int, tuple[Standing, Standing]]] = field(default_factory=list)
    clock: int = 0

    def report(self, row: int, percent: int, after_correction: bool) -> None:
        """The service recalculates: a moment later than before, or later than any correction too."""
        self.clock += 1
        at = START + timedelta(days=1, seconds=self.clock)
        corrected_at = self.case_plan_time()
        if after_correction and corrected_at is not None:
            at = corrected_at + timedelta(seconds=self.clock)
        recalculate(self.ids[row], fee_percent=percent, at=at)
        if at > self.log[row].calculated_at:
            self.log[row] = Standing(fee(1000 + row, percent), at)
        elif (before := self.log[row].goes_back_to) is not None and at > before:
            self.log[row].held_back = True

    def case_plan_time(self) -> datetime | None:
        newest = Plan.objects.order_by("-pk").first()
        return None if newest is None else newest.requested_at

    def preview(self) -> None:
        if self.plan is not None:
            return
        plan = request_preview(opened(self.engineer), acting_user=self.engineer)
        work_until_ended(plan.jobs.get(kind="preview"))
        plan.refresh_from_db()
        wrong = {
            row: standing.total
            for row, standing in enumerate(self.log)
            if not standing.corrected and standing.total != fee(1000 + row, 2)
        }
        assert plan.manifest is not None
        assert plan.manifest["proposed"] == len(wrong)
        if wrong:
            self.plan, self.plan_of = approved(plan, self.approver), {row: id(self.log[row]) for row in wrong}
        else:
            Plan.objects.filter(pk=plan.pk).update(status=Plan.Status.REJECTED)

    def apply(self) -> None:
        if self.plan is None:
            return
        job = applied(self.plan, self.engineer)
        moved: dict[int, tuple[Standing, Standing]] = {}
        for row, seen in self.plan_of.items():
            if id(self.log[row]) == seen:
                now = Standing(
                    fee(1000 + row, 2),
                    self.plan.requested_at,
                    corrected=True,
                    goes_back_to=self.log[row].calculated_at,
                )
                moved[row] = (self.log[row], now)
                self.log[row] = now
        assert job.outcomes.count() == len(self.plan_of) - len(moved)
        self.back_to.append(moved)
        self.plan = None

    def correct(self) -> None:
        self.preview()
        self.apply()

    def revert(self) -> None:
        if self.plan is not None:
            return
        if not self.back_to:
            if not Plan.objects.filter(status=Plan.Status.EXECUTED).exists():
                with pytest.raises(NothingToRevert):
                    request_revert(opened(self.engineer), acting_user=self.engineer)
            return
        moved = self.back_to.pop()
        revert = request_revert(opened(self.engineer), acting_user=self.engineer)
        work_until_ended(revert.jobs.get(kind="preview"))
        revert.refresh_from_db()
        standing = {
            row: old for row, (old, now) in moved.items() if self.log[row] is now and not now.held_back
        }
        assert revert.manifest is not None
        assert revert.manifest["proposed"] == len(standing)
        if standing:
            applied(approved(revert, self.approver), self.engineer)
        else:
            Plan.objects.filter(pk=revert.pk).update(status=Plan.Status.REJECTED)
            self.back_to.append(moved)
        for row, old in standing.items():
            self.log[row] = old


STEPS = st.one_of(
    st.tuples(st.just("report"), st.integers(0, ROWS - 1), st.sampled_from([1, 2, 5]), st.booleans()),
    st.tuples(st.just("preview")),
    st.tuples(st.just("apply")),
    st.tuples(st.just("correct")),
    st.tuples(st.just("revert")),
)


@pytest.mark.django_db
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(steps=[("correct",), ("report", 0, 5, False), ("revert",)])
@example(steps=[("correct",), ("report", 0, 1, True), ("correct",), ("report", 0, 1, False), ("revert",)])
@given(steps=st.lists(STEPS, min_size=1, max_size=12))
def test_every_transaction_stands_where_the_log_says(
    users: UserFactory, steps: list[tuple[object, ...]]
) -> None:
    with transaction.atomic():
        ids = report(ROWS)
        log = [Standing(fee(1000 + row, 1), START + timedelta(seconds=row)) for row in range(ROWS)]
        world = World(users("engineer"), users("approver"), ids, log)
        for name, *arguments in steps:
            step: Callable[..., None] = getattr(world, str(name))
            step(*arguments)
            assert totals(ids) == [standing.total for standing in world.log], steps
        world.apply()
        result = verified(opened(world.engineer), world.engineer)
        assert result["problems"] == []
        assert result["differing"] == sum(
            each.total != fee(1000 + row, 2) for row, each in enumerate(world.log)
        )
        transaction.set_rollback(True)
