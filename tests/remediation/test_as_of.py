"""Where a transaction stood at any time, held against a log that is kept while it moves."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remediation.dealings import dealings_with
from remediation.moves import AppliedMove
from remediation.store_rows import Period, walk
from remediation.store_rows import Standing as Became
from remediation.verdict import verdict_of
from tests.conftest import UserFactory
from tests.remediation.incident import START, fee, pointers, report
from tests.remediation.test_any_order import ROWS, STEPS, Standing, World
from transactions.models import Store, Transaction
from transactions.pointer_moves import MovesUnclear, PointerMove, in_order, moves_of, stood_on

pytestmark = pytest.mark.django_db


def now() -> datetime:
    """The database's clock, which goes on within a database transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def order_of(moves: list[PointerMove]) -> list[int]:
    return [move.to for move in moves]


def what_is_said_agrees_with(world: World) -> None:
    """The verdict of each order and the rows of their store say what the log says: no order is missing, and none stands twice as one."""
    rows = [row for walked in walk(Store.objects.get(reference="s-1"), Period()) for row in walked.rows]
    for known, standing in zip(world.ids, world.log, strict=True):
        dealings = dealings_with(Transaction.objects.get(pk=known))
        assert dealings is not None
        verdict = verdict_of(dealings)
        of_order = [row for row in rows if row.order == known]
        assert {row.now for row in of_order} <= {standing.total}
        corrected = [row for row in of_order if row.standing == Became.CORRECTED]
        assert len(corrected) == standing.corrected
        assert (verdict.in_a_word == "corrected") == standing.corrected
        assert all(row.right == standing.total for row in corrected)
        waiting = [row for row in of_order if row.standing in (Became.WAITING, Became.APPROVED)]
        row_number = world.ids.index(known)
        proposed = world.plan is not None and world.plan_of.get(row_number) == id(standing)
        assert len(waiting) == proposed
        assert (verdict.in_a_word == "approved, not corrected yet") == proposed


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(steps=[("correct",), ("revert",), ("correct",), ("revert",), ("correct",)])
@example(steps=[("preview",), ("report", 0, 5, True), ("apply",), ("revert",), ("correct",)])
@given(steps=st.lists(STEPS, min_size=1, max_size=10))
def test_moves_are_those_of_a_log_in_its_order_and_lead_to_where_it_stands(
    users: UserFactory, steps: list[tuple[object, ...]]
) -> None:
    with transaction.atomic():
        ids = report(ROWS)
        log = [Standing(fee(1000 + row, 1), START + timedelta(seconds=row)) for row in range(ROWS)]
        world = World(users("engineer"), users("approver"), ids, log)
        stands = pointers(ids)
        moved: dict[int, list[int]] = {known: [stands[known]] for known in ids}
        for name, *arguments in steps:
            step: Callable[..., None] = getattr(world, str(name))
            step(*arguments)
            after = pointers(ids)
            for known in ids:
                if after[known] != moved[known][-1]:
                    moved[known].append(after[known])
        for known in ids:
            moves = moves_of(Transaction.objects.get(pk=known))
            assert order_of(moves) == moved[known], steps
            assert [move.replaced for move in moves] == [None, *moved[known][:-1]]
            assert sorted(move.at for move in moves) == [move.at for move in moves]
            for at, standing in zip((move.at for move in moves), moved[known], strict=True):
                later = [move for move in moves if move.at == at]
                assert stood_on(moves, at) in {standing, later[-1].to}
            assert stood_on(moves, moves[0].at - timedelta(microseconds=1)) is None
        what_is_said_agrees_with(world)
        transaction.set_rollback(True)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def test_moves_are_ordered_by_what_they_lead_to_where_times_contradict() -> None:
    """The service's import began before the plan was applied and taken back, and had to wait for both."""
    came_in, superseded = PointerMove(at(0), 1, None), PointerMove(at(1), 3, 1)
    there, back = PointerMove(at(2), 2, 1), PointerMove(at(3), 1, 2)
    ordered = in_order([came_in, superseded, there, back], 3)
    assert order_of(ordered) == [1, 2, 1, 3]
    assert [move.at for move in ordered] == [at(0), at(2), at(3), at(3)]
    assert [stood_on(ordered, at(second)) for second in (0, 1, 2, 3)] == [1, 1, 2, 3]
    assert stood_on(ordered, at(-1)) is None


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_any_walk_is_told_in_the_order_of_its_times(walk: list[int]) -> None:
    walk = [each for each, before in zip(walk, [None, *walk], strict=False) if each != before]
    moves = [PointerMove(at(i), to, walk[i - 1] if i else None) for i, to in enumerate(walk)]
    assert in_order(moves[::-1], walk[-1]) == moves


def test_a_pointer_that_was_moved_by_hand_is_not_explained_away() -> None:
    moves = [PointerMove(at(0), 1, None), PointerMove(at(1), 2, 1)]
    for standing, known in ((1, moves), (3, moves), (2, [*moves, PointerMove(at(2), 9, 8)])):
        with pytest.raises(MovesUnclear):
            in_order(known, standing)


def test_what_a_plan_moved_is_told_with_its_plan(users: UserFactory) -> None:
    ids = report(ROWS)
    world = World(
        users("engineer"),
        users("approver"),
        ids,
        [Standing(fee(1000 + row, 1), at(row)) for row in range(ROWS)],
    )
    world.correct()
    first, move = moves_of(Transaction.objects.get(pk=ids[0]))
    assert (first.replaced, type(first)) == (None, PointerMove)
    assert isinstance(move, AppliedMove)
    assert move.replaced == first.to
    assert move.to == pointers(ids)[ids[0]]
