"""A store's orders that were wrong, or are: one after the other along the store's index, however many orders it has.

What a plan never proposed to change, and what no job failed on, is none of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction
from django.utils.translation import gettext_lazy as _

from remediation.models import Outcome, Plan
from remediation.moves import AppliedMove, applied_moves
from remediation.scan import ROW_BY_ROW
from transactions.models import Calculation, Store

ORDERS_AT_ONCE = 2_000


class Standing(models.TextChoices):
    """What became of an order that was wrong."""

    CORRECTED = "corrected", _("corrected")
    ANEW = "anew", _("corrected, then calculated anew by its service")
    WAITING = "waiting", _("waits for approval")
    APPROVED = "approved", _("approved, not corrected yet")
    LEFT = "left", _("was to be corrected, and is still wrong")
    DIFFERS = "differs", _("found wrong, and no plan corrects it")
    EXCLUDED = "excluded", _("found wrong, and left out")
    FAILED = "failed", _("could not be calculated")
    TAKEN_BACK = "taken_back", _("corrected, and taken back")
    REJECTED = "rejected", _("proposed, and rejected")


STATED = (Standing.CORRECTED, Standing.ANEW)
"""Corrections that a statement lists."""
REMAINING = (
    Standing.WAITING,
    Standing.APPROVED,
    Standing.LEFT,
    Standing.DIFFERS,
    Standing.EXCLUDED,
    Standing.FAILED,
)
"""What is not right yet, or nobody can say."""


@dataclass(frozen=True)
class Period:
    """Orders that occurred from `begin` on and before `end`; None for no limit."""

    begin: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, order=True)
class Place:
    """Where in the order (occurred_at, id) a walk through a store's orders goes on: behind this order."""

    at: datetime
    order: int


@dataclass(frozen=True)
class StoreRow:
    """An order and what became of it. Amounts are in its smallest units.

    It was `charged` so much where `right` would have been; `right` is None where nobody knows. `plan` (None where a verification alone
    found it) corrected it `at` that time, or would.
    """

    order: int
    reference: str
    occurred_at: datetime
    currency: str
    scale: int
    standing: Standing
    charged: int
    right: int | None
    now: int
    plan: int | None
    case: int
    at: datetime | None = None

    @property
    def change(self) -> int:
        """By how much its total changed, or would; 0 where nobody knows."""
        return 0 if self.right is None else self.right - self.charged

    @property
    def place(self) -> Place:
        return Place(self.occurred_at, self.order)


@dataclass(frozen=True)
class Walked:
    """Some of a store's orders: the rows of those that have any, how many orders were looked at, and where to go on; None at the end."""

    rows: list[StoreRow]
    orders: int
    onward: Place | None


# Everything by primary key or along the indexes on a transaction's rows, one order at a time: see transactions.standing.
_SOME_ORDERS = """
    SELECT t.id, t.reference, t.occurred_at, t.currency, t.scale, c.id, c.total, c.recorded_at,
           p.id, p.total, p.replaces_id, p.plan_id, p.case_id, p.status, o.kind, o.case_id, o.plan_id, o.recorded_at
    FROM (
        SELECT id, reference, occurred_at, currency, scale FROM transactions_transaction
        WHERE store_id = %(store)s AND occurred_at >= %(begin)s AND occurred_at < %(end)s AND (occurred_at > %(begin)s OR id > %(after)s)
        ORDER BY occurred_at, id LIMIT %(most)s
    ) AS t
    CROSS JOIN LATERAL (
        SELECT calculation_id FROM transactions_currentcalculation WHERE transaction_id = t.id OFFSET 0
    ) AS standing
    CROSS JOIN LATERAL (
        SELECT id, total, recorded_at FROM transactions_calculation
        WHERE id BETWEEN standing.calculation_id AND standing.calculation_id ORDER BY id LIMIT 1
    ) AS c
    LEFT JOIN LATERAL (
        SELECT made.id, made.total, made.replaces_id, plan.id AS plan_id, plan.case_id, plan.status
        FROM (
            SELECT id, total, replaces_id, plan_chunk_id FROM transactions_calculation
            WHERE transaction_id = t.id AND batch_id IS NULL OFFSET 0
        ) AS made
        JOIN remediation_planchunk chunk ON chunk.id = made.plan_chunk_id
        JOIN remediation_plan plan ON plan.id = chunk.plan_id AND plan.status <> ALL (%(says_nothing)s)
        ORDER BY made.id DESC LIMIT 1
    ) AS p ON true
    LEFT JOIN LATERAL (
        SELECT outcome.kind, job.case_id, job.plan_id, outcome.recorded_at FROM remediation_outcome outcome
        JOIN remediation_job job ON job.id = outcome.job_id
        WHERE outcome.transaction_id = t.id AND outcome.kind = ANY (%(kinds)s)
        ORDER BY outcome.id DESC LIMIT 1
    ) AS o ON true
    ORDER BY t.occurred_at, t.id
"""
_SAYS_NOTHING = [Plan.Status.PREVIEWING, Plan.Status.SUPERSEDED, Plan.Status.FAILED]
_BY_OUTCOME = {
    Outcome.Kind.DIFFERS: Standing.DIFFERS,
    Outcome.Kind.EXCLUDED: Standing.EXCLUDED,
    Outcome.Kind.FAILED: Standing.FAILED,
}
_BY_STATUS = {
    Plan.Status.READY: Standing.WAITING,
    Plan.Status.APPROVED: Standing.APPROVED,
    Plan.Status.EXECUTING: Standing.APPROVED,
    Plan.Status.EXECUTED: Standing.LEFT,
    Plan.Status.STOPPED: Standing.LEFT,
    Plan.Status.REJECTED: Standing.REJECTED,
}


@dataclass(frozen=True)
class _Order:
    """An order as it was read: what it stands on, the newest proposal and the newest outcome, where there are any."""

    id: int
    reference: str
    occurred_at: datetime
    currency: str
    scale: int
    current: int
    now: int
    current_recorded_at: datetime
    proposal: int | None
    proposed: int | None
    would_replace: int | None
    plan: int | None
    case: int | None
    status: str | None
    outcome: str | None
    outcome_case: int | None
    outcome_plan: int | None
    outcome_at: datetime | None


def walk(store: Store, period: Period, *, after: Place | None = None) -> Iterator[Walked]:
    """All of the store's orders of the period behind a place, the earliest first, so many at a time. Memory stays flat."""
    while True:
        walked = walk_some(store, period, after=after, orders=ORDERS_AT_ONCE)
        yield walked
        if walked.onward is None:
            return
        after = walked.onward


def walk_some(store: Store, period: Period, *, after: Place | None, orders: int) -> Walked:
    """The next `orders` orders of the store and the period behind a place. Four queries, however many."""
    read = _read(store, period, after, orders)
    told = [each for each in read if each.proposal is not None or each.outcome is not None]
    applied = applied_moves([each.id for each in told if each.proposal is not None])
    totals = _totals(
        known for moves in applied.values() for move in moves for known in (move.to, move.replaced or 0)
    )
    rows = [row for each in told for row in _rows(each, applied.get(each.id, ()), totals)]
    last = read[-1] if len(read) == orders else None
    return Walked(rows, len(read), Place(last.occurred_at, last.id) if last else None)


def count_up_to(store: Store, period: Period, most: int) -> int:
    """How many orders the store has in the period; `most` where it has so many or more."""
    orders = store.transactions.all()
    if period.begin is not None:
        orders = orders.filter(occurred_at__gte=period.begin)
    if period.end is not None:
        orders = orders.filter(occurred_at__lt=period.end)
    return orders[:most].count()


def _read(store: Store, period: Period, after: Place | None, most: int) -> list[_Order]:
    parameters: dict[str, Any] = {
        "store": store.pk,
        "begin": after.at if after else period.begin or "-infinity",
        "after": after.order if after else -1,
        "end": period.end or "infinity",
        "most": most,
        "says_nothing": _SAYS_NOTHING,
        "kinds": list(_BY_OUTCOME),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROW_BY_ROW)
        cursor.execute(_SOME_ORDERS, parameters)
        return [_Order(*row) for row in cursor.fetchall()]


def _totals(calculations: Iterable[int]) -> dict[int, int]:
    return dict(Calculation.objects.filter(pk__in=set(calculations)).values_list("pk", "total"))


def _rows(order: _Order, applied: Sequence[AppliedMove], totals: Mapping[int, int]) -> Iterator[StoreRow]:
    """What was corrected of an order, and what is still to be; both, where it was corrected and is found wrong again."""
    if applied:
        yield _moved(order, applied, totals)
    if order.would_replace == order.current and order.plan is not None and order.case is not None:
        if not any(move.plan == order.plan for move in applied):
            standing = _BY_STATUS[Plan.Status(order.status or "")]
            yield _row(order, standing, order.now, order.proposed, order.plan, order.case)
    elif not applied and order.outcome is not None and order.outcome_case is not None and _still_says(order):
        standing = _BY_OUTCOME[Outcome.Kind(order.outcome)]
        yield _row(order, standing, order.now, None, order.outcome_plan, order.outcome_case)


def _still_says(order: _Order) -> bool:
    """Whether the newest outcome is about what the order stands on: what its service calculated after it, nobody has looked at."""
    return order.outcome_at is not None and order.outcome_at >= order.current_recorded_at


def _moved(order: _Order, applied: Sequence[AppliedMove], totals: Mapping[int, int]) -> StoreRow:
    last, first = applied[-1], _first_of_row(applied)
    correction = last if last.kind != Plan.Kind.REVERT else _corrected_before(applied)
    stands = Standing.CORRECTED if last.to == order.current else Standing.ANEW
    standing = Standing.TAKEN_BACK if last.kind == Plan.Kind.REVERT else stands
    return _row(
        order, standing, totals[first.replaced or 0], totals[correction.to], last.plan, last.case, last.at
    )


def _row(
    order: _Order,
    standing: Standing,
    charged: int,
    right: int | None,
    plan: int | None,
    case: int,
    at: datetime | None = None,
) -> StoreRow:
    return StoreRow(
        order=order.id,
        reference=order.reference,
        occurred_at=order.occurred_at,
        currency=order.currency,
        scale=order.scale,
        standing=standing,
        charged=charged,
        right=right,
        now=order.now,
        plan=plan,
        case=case,
        at=at,
    )


def _first_of_row(applied: Sequence[AppliedMove]) -> AppliedMove:
    """The first of the moves that follow each other to the last, without the service having calculated anew between them."""
    first = applied[-1]
    for move in reversed(applied[:-1]):
        if move.to != first.replaced:
            break
        first = move
    return first


def _corrected_before(applied: Sequence[AppliedMove]) -> AppliedMove:
    """The last move that corrected, ahead of one that took it back."""
    return next((move for move in reversed(applied) if move.kind != Plan.Kind.REVERT), applied[-1])
