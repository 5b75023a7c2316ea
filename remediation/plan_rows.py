"""Some of a plan's rows: those of a cause, that change a total by so much, or of a store. Page by page, along indexes alone.

Which chunks have such rows is known from what their scan kept, so that no page looks through chunks in vain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction

from audit.errors import Refused
from remediation.causes import parts_of
from remediation.figures import EDGES, bounds_of
from remediation.models import Plan, PlanChunkFigures
from remediation.scan import ROW_BY_ROW

CHUNKS_A_PAGE = 4
"""Chunks that are looked at for one page; where they have not enough, the page is short, and another follows."""
STORES_ROWS_A_PAGE = 5_000
"""Transactions of a store that are looked at for one page."""


class FilterUnreadable(Refused):
    """What an address asks a plan's rows for is not a cause, a way, a currency, a size or a store."""


@dataclass(frozen=True)
class RowFilter:
    """Rows of an apply plan that change as `cause` says, whose total goes `way` ("down", "up", "same"), that are of `currency` ("USD:2"),
    that lie in the bin of `edge` (see `remediation.figures`), whose total changes by more than `larger_than` smallest units, and
    that are of a store; what is empty or None does not narrow.
    """

    cause: str = ""
    way: str = ""
    currency: str = ""
    edge: int | None = None
    larger_than: int | None = None
    store: int | None = None

    def __post_init__(self) -> None:
        code, _, scale = self.currency.partition(":")
        if self.currency and not (len(code) == 3 and code.isascii() and scale.isdecimal() and len(scale) < 3):
            raise FilterUnreadable(f"“{self.currency}” is no currency and scale, as USD:2 is.")
        if self.cause and not parts_of(self.cause):
            raise FilterUnreadable(f"“{self.cause}” is no cause that rows can be found by.")
        if self.way not in ("", "down", "up", "same"):
            raise FilterUnreadable(f"“{self.way}” is no way that a total goes.")
        if self.edge is not None and abs(self.edge) not in EDGES:
            raise FilterUnreadable(f"No bin begins at {self.edge}.")

    def __bool__(self) -> bool:
        return self != RowFilter()

    def without_store(self) -> "RowFilter":
        """The same for all stores."""
        return replace(self, store=None)


@dataclass(frozen=True)
class FoundRows:
    """Ids of calculations that a plan proposed, in the order of the page, and the place that the next page begins after; "" for none."""

    ids: list[int]
    after: str


def condition_of(wanted: RowFilter) -> tuple[str, dict[str, Any]]:
    """SQL of a proposal `p`, the calculation `r` that it replaces and its transaction `t`, with parameters; without the store."""
    terms = ["true"]
    params: dict[str, Any] = {}
    parts = parts_of(wanted.cause)
    for number, (component, way) in enumerate(parts):
        name = f"component_{number}"
        params[name] = component
        new, old = f"(p.amounts ->> %({name})s)::numeric", f"(r.amounts ->> %({name})s)::numeric"
        if way in ("up", "down"):
            terms.append(f"{new} {'>' if way == 'up' else '<'} {old}")
        else:
            has, lacks = ("p", "r") if way == "new" else ("r", "p")
            terms.append(f"{has}.amounts ? %({name})s AND NOT {lacks}.amounts ? %({name})s")
    if parts:
        params["components"] = [component for component, _ in parts]
        terms.append("p.amounts - %(components)s::text[] = r.amounts - %(components)s::text[]")
    if wanted.way:
        terms.append(f"p.total {'<' if wanted.way == 'down' else '>' if wanted.way == 'up' else '='} r.total")
    if wanted.edge is not None:
        low, high = sorted(bounds_of(wanted.edge))
        # Of decreases the edge is the upper bound, and in the bin.
        bounds = (
            "> %(low)s AND p.total::numeric - r.total <= %(high)s"
            if wanted.edge < 0
            else ">= %(low)s AND p.total::numeric - r.total < %(high)s"
        )
        terms.append(f"p.total::numeric - r.total {bounds}")
        params |= {"low": low, "high": high}
    if wanted.larger_than is not None:
        terms.append("abs(p.total::numeric - r.total) > %(larger_than)s")
        params["larger_than"] = wanted.larger_than
    if wanted.currency:
        terms.append("t.currency = %(currency)s AND t.scale = %(scale)s")
        code, _, scale = wanted.currency.partition(":")
        params |= {"currency": code, "scale": int(scale)}
    return " AND ".join(terms), params


def rows_of(plan: Plan, wanted: RowFilter, *, after: str, most: int) -> FoundRows:
    """Up to `most` of the wanted rows of an apply plan behind the place `after`. Raises `FilterUnreadable` for a place that is none."""
    if wanted.store is not None:
        return _of_store(plan, wanted, after, most)
    position, transaction_id = _place(after)
    chunks = [(known, number) for known, number in chunks_with(plan, wanted) if number >= position]
    found: list[tuple[int, int, int]] = []
    looked_at = 0
    for chunk, number in chunks[:CHUNKS_A_PAGE]:
        behind = transaction_id if number == position else 0
        found += [(*row, number) for row in _of_chunk(chunk, wanted, behind, most + 1 - len(found))]
        looked_at += 1
        if len(found) > most:
            return FoundRows([row[0] for row in found[:most]], f"{found[most - 1][2]}.{found[most - 1][1]}")
    following = chunks[looked_at : looked_at + 1]
    return FoundRows([row[0] for row in found], f"{following[0][1]}.0" if following else "")


def chunks_with(plan: Plan, wanted: RowFilter) -> list[tuple[int, int]]:
    """Id and position of the plan's chunks that have such rows, or may have."""
    chunks = plan.chunks.filter(proposed__gt=0)
    if wanted.cause:
        chunks = chunks.filter(causes__has_key=wanted.cause)
    found = list(chunks.order_by("position").values_list("pk", "position"))
    if wanted.without_store() == RowFilter(cause=wanted.cause):
        return found
    spreads = dict(
        PlanChunkFigures.objects.filter(plan_chunk__in=[known for known, _ in found]).values_list(
            "pk", "spread"
        )
    )
    return [
        (known, number)
        for known, number in found
        if known not in spreads or _in_spread(spreads[known], wanted)
    ]


def _in_spread(spread: dict[str, Any], wanted: RowFilter) -> bool:
    """Whether any bin may hold such rows."""
    return any(
        _may_hold(int(edge), wanted)
        for key, part in spread.items()
        if wanted.currency in ("", key)
        for edge in part["bins"]
    )


def _may_hold(edge: int, wanted: RowFilter) -> bool:
    way = "down" if edge < 0 else "up" if edge > 0 else "same"
    return (
        wanted.way in ("", way)
        and wanted.edge in (None, edge)
        and (wanted.larger_than is None or abs(bounds_of(edge)[1]) - 1 > wanted.larger_than)
    )


def _place(after: str) -> tuple[int, int]:
    if not after:
        return 0, 0
    first, _, second = after.partition(".")
    if not (first.isdecimal() and second.isdecimal() and max(len(first), len(second)) < 19):
        raise FilterUnreadable(f"“{after}” is no place among these rows.")
    return int(first), int(second)


def _of_chunk(chunk: int, wanted: RowFilter, after: int, most: int) -> list[tuple[int, int]]:
    """(proposal, transaction) in the order of transactions."""
    condition, params = condition_of(wanted)
    return _read(
        f"""
        SELECT p.id, p.transaction_id FROM transactions_calculation p
        JOIN transactions_calculation r ON r.id = p.replaces_id
        JOIN transactions_transaction t ON t.id = p.transaction_id
        WHERE p.plan_chunk_id = %(chunk)s AND p.transaction_id > %(after)s AND {condition}
        ORDER BY p.transaction_id LIMIT %(most)s
        """,
        params | {"chunk": chunk, "after": after, "most": most},
    )


def rows_ranked(chunks: Sequence[int], wanted: RowFilter, ranks: Sequence[int]) -> list[int]:
    """The wanted proposals of some chunks that have these ranks, from 0, in the order of the chunks' ids and their transactions'."""
    condition, params = condition_of(wanted)
    ranked = _read(
        f"""
        SELECT id FROM (
            SELECT p.id, row_number() OVER (ORDER BY p.plan_chunk_id, p.transaction_id) - 1 AS rank
            FROM transactions_calculation p
            JOIN transactions_calculation r ON r.id = p.replaces_id
            JOIN transactions_transaction t ON t.id = p.transaction_id
            WHERE p.plan_chunk_id = ANY(%(chunks)s) AND {condition}
        ) AS ranked WHERE rank = ANY(%(ranks)s) ORDER BY rank
        """,
        params | {"chunks": list(chunks), "ranks": list(ranks)},
    )
    return [row[0] for row in ranked]


def _of_store(plan: Plan, wanted: RowFilter, after: str, most: int) -> FoundRows:
    """Along the store's transactions, in the order of their ids within the time that they occurred at."""
    condition, params = condition_of(wanted)
    chunks = [known for known, _ in chunks_with(plan, wanted.without_store())]
    _, behind = _place(after)
    looked = _read(
        f"""
        SELECT t.id, p.id FROM (
            SELECT id, currency, scale, occurred_at FROM transactions_transaction
            WHERE store_id = %(store)s AND (%(after)s = 0 OR (occurred_at, id) > (
                SELECT occurred_at, id FROM transactions_transaction WHERE id = %(after)s))
            ORDER BY occurred_at, id LIMIT %(looked_at)s
        ) AS t
        LEFT JOIN LATERAL (
            SELECT p.id FROM transactions_calculation p JOIN transactions_calculation r ON r.id = p.replaces_id
            WHERE p.transaction_id = t.id AND p.batch_id IS NULL AND p.plan_chunk_id = ANY(%(chunks)s) AND {condition}
            LIMIT 1
        ) AS p ON true
        ORDER BY t.occurred_at, t.id
        """,
        params | {"store": wanted.store, "after": behind, "looked_at": STORES_ROWS_A_PAGE, "chunks": chunks},
    )
    found = [(proposal, known) for known, proposal in looked if proposal is not None]
    if len(found) > most:
        return FoundRows([row[0] for row in found[:most]], f"0.{found[most - 1][1]}")
    more = len(looked) == STORES_ROWS_A_PAGE
    return FoundRows([row[0] for row in found], f"0.{looked[-1][0]}" if more else "")


def _read(sql: str, params: dict[str, Any]) -> list[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROW_BY_ROW)
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def in_order(ids: Sequence[int], found: Iterable[Any]) -> list[Any]:
    """What was fetched by id, in the order of `ids`."""
    by_id = {each.pk: each for each in found}
    return [by_id[known] for known in ids if known in by_id]
