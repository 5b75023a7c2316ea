"""A store's statement of corrections: every order that was corrected and not taken back, before and after, with its case and approval.

However many orders a store has, the statement is written as they are read. Taking it along, as a file or as a page that prints, stands
in the trail.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from audit.context import current_request_id, request
from audit.flood import Limit, record_within
from audit.models import AuditEntry
from audit.permission import demand
from audit.spreadsheet import BYTE_ORDER_MARK, Cell, csv_lines
from audit.timestamps import utc_timestamp
from audit.trail import record
from remediation.dealings import name_of
from remediation.events import (
    STATEMENT_BEGUN,
    STATEMENT_SHOWN,
    STATEMENT_TAKEN,
    StatementBegun,
    StatementShown,
    StatementTaken,
)
from remediation.models import Approval, Plan
from remediation.store_answer import StoreAnswer, plans_with_approvals
from remediation.store_rows import STATED, Period, Standing, StoreRow, walk
from transactions.models import Store
from transactions.money import format_amount

SHOWN_LIMIT = Limit(a_subject=30, in_all=300)
"""So many views of statements in ten minutes are told, of one person and in all: a page can be loaded again and again without a thought."""
PERMISSIONS = ("transactions.view_transaction", "remediation.view_plan")
COLUMNS = (
    "store",
    "reference",
    "occurred_at",
    "currency",
    "before",
    "after",
    "change",
    "corrected_at",
    "case",
    "incident",
    "plan",
    "approved_by",
    "approved_at",
    "calculated_anew_since",
)


@dataclass(frozen=True)
class StatedRow:
    """A correction: the row, the plan that made it and who approved that."""

    row: StoreRow
    plan: Plan
    approvals: list[Approval]

    @property
    def approved_by(self) -> str:
        return ", ".join(name_of(each.decided_by) for each in self.approvals)


def stated(store: Store, period: Period, into: StoreAnswer) -> Iterator[list[StatedRow]]:
    """The corrections of the store's orders of the period, in the order in which those occurred, some at a time; `into` adds them up."""
    plans: dict[int, Plan] = {}
    approvals: dict[int, list[Approval]] = {}
    for some in walk(store, period):
        into.add(some)
        rows = [row for row in some.rows if row.standing in STATED]
        if unknown := {row.plan for row in rows if row.plan is not None} - plans.keys():
            found, approved = plans_with_approvals(unknown)
            plans |= found
            approvals |= approved
        yield [
            StatedRow(row, plans[row.plan], approvals.get(row.plan, []))
            for row in rows
            if row.plan is not None
        ]


def take_statement(store: Store, period: Period, *, acting_user: User) -> Generator[bytes, None, None]:
    """The statement as CSV, as blocks of octets in UTF-8.

    The entry of its beginning is written before this returns, and that of its end, with the number of rows and the hash of the file, when
    the last block was taken or the reader went away. Raises `NotPermitted`.
    """
    begin, end = _demanded(period, acting_user)
    with transaction.atomic():
        begun = record(STATEMENT_BEGUN, store, StatementBegun(begin=begin, end=end), actor=acting_user)
    return _blocks(store, period, begun, acting_user)


def show_statement(
    store: Store, period: Period, into: StoreAnswer, *, acting_user: User
) -> Iterator[list[StatedRow]]:
    """The statement for a page: as `stated`, told in the trail before this returns, up to `SHOWN_LIMIT`. Raises `NotPermitted`."""
    begin, end = _demanded(period, acting_user)
    record_within(
        SHOWN_LIMIT,
        STATEMENT_SHOWN,
        store,
        StatementShown(begin=begin, end=end),
        actor=acting_user,
        key=Q(actor=acting_user),
        what=acting_user.get_username(),
    )
    return stated(store, period, into)


def _demanded(period: Period, acting_user: User) -> tuple[str, str]:
    """Begin and end of the period as entries have them. Raises `NotPermitted`."""
    for permission in PERMISSIONS:
        demand(acting_user, permission)
    return (
        utc_timestamp(period.begin) if period.begin else "",
        utc_timestamp(period.end) if period.end else "",
    )


def _blocks(
    store: Store, period: Period, begun: AuditEntry, acting_user: User
) -> Generator[bytes, None, None]:
    request_id = current_request_id() or begun.request_id
    digest, rows, complete = sha256(), 0, False
    try:
        block = f"{BYTE_ORDER_MARK}{csv_lines([COLUMNS])}".encode()
        digest.update(block)
        yield block
        for some in stated(store, period, StoreAnswer(store, period)):
            rows += len(some)
            block = csv_lines([_cells(store, each) for each in some]).encode()
            digest.update(block)
            yield block
        complete = True
    finally:
        ended = StatementTaken(
            begun=begun.pk,
            begin=begun.data["begin"],
            end=begun.data["end"],
            rows=rows,
            sha256=digest.hexdigest(),
            complete=complete,
        )
        # The page's own request is over where a browser is still reading.
        with request(request_id), transaction.atomic():
            record(STATEMENT_TAKEN, store, ended, actor=acting_user)


class _Amount(Decimal):
    """An amount that a file shows with all its digits: a number to spreadsheets, and never 1E-7."""

    def __str__(self) -> str:
        return format(self, "f")


def _cells(store: Store, stated: StatedRow) -> list[Cell]:
    row = stated.row
    return [
        store.reference,
        row.reference,
        utc_timestamp(row.occurred_at),
        row.currency,
        _amount(row.charged, row.scale),
        _amount(row.right or 0, row.scale),
        _amount(row.change, row.scale),
        utc_timestamp(row.at) if row.at else "",
        row.case,
        stated.plan.case.incident,
        stated.plan.pk,
        stated.approved_by,
        utc_timestamp(stated.approvals[-1].decided_at) if stated.approvals else "",
        _amount(row.now, row.scale) if row.standing == Standing.ANEW else "",
    ]


def _amount(amount: int, scale: int) -> Decimal:
    return _Amount(format_amount(amount, scale))
