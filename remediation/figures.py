"""How a plan's changes are spread: how many of which size, which way, and the largest. Amounts are whole smallest units.

Kept a chunk at a time, as the scan has every change in hand: finding them again in 400,000 proposals and what they replace takes seconds.
They are no part of a plan's digest. What they add up to is, so that they are held against it whenever they are read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import accumulate, repeat
from operator import floordiv, itemgetter, mul
from typing import Any

from remediation.causes import Change, largest_of, size_of

EDGES: list[int] = [
    0,
    *(digit * 10**power for power in range(19) for digit in (1, 2, 5) if digit * 10**power < 2**63),
]
"""Where the bins of a histogram begin, in smallest units: 0, 1, 2, 5, 10, 20, 50, …"""
MOST_OUTLIERS = 10
STORES_OF_A_PLAN = 80_000
"""Stores counted in all chunks of a plan together, at most: so many are added up in a tenth of a second."""
LEAST_STORES = 20
_MILLION = 1_000_000


def spread_of(changes: Mapping[str, list[Change]]) -> dict[str, dict[str, Any]]:
    """{"USD:2": {"bins": {"-500": [rows, sum], "0": …, "200": …}, "largest": […], "relative": […]}}.

    A bin is named by the edge that it begins at, with a minus for totals that go down; its sum is what it adds to totals. `largest` are the
    changes that are largest, `relative` those that are largest beside the total before, as [added, total before, transaction, store].
    """
    return {key: _figures(of_currency) for key, of_currency in changes.items() if of_currency}


def _figures(changes: list[Change]) -> dict[str, Any]:
    added = [*map(itemgetter(0), changes)]
    shared = changes if all(map(itemgetter(1), changes)) else [change for change in changes if change[1]]
    return {
        "bins": _bins(added),
        "largest": largest_of(changes, [*map(abs, added)], MOST_OUTLIERS),
        "relative": largest_of(shared, _shares(shared), MOST_OUTLIERS),
    }


def _bins(added: Iterable[int]) -> dict[str, list[int]]:
    """Sorted, each bin is one stretch: cheaper than finding every change's bin."""
    ordered = sorted(added)
    running = [0, *accumulate(ordered)]
    bins: dict[str, list[int]] = {}
    begin = 0
    while begin < len(ordered):
        first = ordered[begin]
        edge = edge_of(first)
        # Of decreases the farther bound is the lower one, and is not in the bin.
        low, high = bounds_of(edge)
        end = bisect_right(ordered, low) if edge < 0 else bisect_left(ordered, high)
        bins[str(edge)] = [end - begin, running[end] - running[begin]]
        begin = end
    return bins


def edge_of(added: int) -> int:
    """The edge of the bin that a change lies in, with its sign."""
    edge = EDGES[bisect_right(EDGES, abs(added)) - 1]
    return -edge if added < 0 else edge


def _shares(changes: list[Change]) -> list[int]:
    """`share_of` each, without asking Python for every one."""
    sizes = map(abs, map(itemgetter(0), changes))
    return [*map(floordiv, map(mul, sizes, repeat(_MILLION)), map(abs, map(itemgetter(1), changes)))]


def share_of(change: Change) -> int:
    """A change beside the total before it, in millionths of that."""
    return abs(change[0]) * _MILLION // abs(change[1])


def most_stores(chunks: int) -> int:
    """How many stores each of so many chunks of a plan may keep."""
    return max(STORES_OF_A_PLAN // max(chunks, 1), LEAST_STORES)


def stores_of(changes: Mapping[str, list[Change]], most: int) -> dict[str, dict[str, Any]]:
    """{"USD:2": {"stores": [[store, rows, added by decreases, added by increases], …], "left": [stores, rows, decreases, increases]}}.

    Where there are more than `most`, those that the most money is about are kept, and what is left is only added up.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, of_currency in changes.items():
        stores: dict[int, list[int]] = {}
        for added, _, _, store in of_currency:
            counted = stores.get(store)
            if counted is None:
                counted = stores[store] = [store, 0, 0, 0]
            counted[1] += 1
            if added < 0:
                counted[2] += added
            else:
                counted[3] += added
        ordered = sorted(stores.values(), key=lambda each: each[2] - each[3])
        left = ordered[most:]
        found[key] = {
            "stores": ordered[:most],
            "left": [len(left), *(sum(each[column] for each in left) for column in (1, 2, 3))],
        }
    return found


@dataclass
class StoreSum:
    """A store's changes of one currency and scale: rows, what decreases and what increases add to its totals."""

    store: int
    currency: str
    scale: int
    rows: int = 0
    down: int = 0
    up: int = 0

    @property
    def added(self) -> int:
        """What all of them add to its totals."""
        return self.down + self.up

    @property
    def size(self) -> int:
        """How much money changes, whichever way."""
        return self.up - self.down


@dataclass
class StoreSums:
    """The stores of one currency and scale, those that the most money is about first. Where not `exact`, rows and sums are the least that
    they may be: a chunk with very many stores keeps only the largest. `everywhere` are the sums of each in all currencies.
    """

    currency: str
    scale: int
    by_money: list[StoreSum]
    by_rows: list[StoreSum]
    stores: int
    exact: bool
    everywhere: dict[int, list[StoreSum]]


def merge_stores(chunks: Iterable[Mapping[str, Mapping[str, Any]]], most: int) -> list[StoreSums]:
    """The `most` largest stores of all chunks of a plan, by currency and scale."""
    # Lists: there are tens of thousands, and what is made of each is for the few at the top.
    stores: dict[str, dict[int, list[int]]] = {}
    cut = False
    for figures in chunks:
        for key, part in figures.items():
            into = stores.setdefault(key, {})
            for counted in part["stores"]:
                so_far = into.get(counted[0])
                if so_far is None:
                    into[counted[0]] = counted[:]
                else:
                    so_far[1] += counted[1]
                    so_far[2] += counted[2]
                    so_far[3] += counted[3]
            # A store's rows of another currency may be the ones that were not kept.
            cut = cut or bool(part["left"][0])
    found = []
    for key, of_currency in sorted(stores.items()):
        currency, _, scale = key.partition(":")
        by_money = nlargest(most, of_currency.values(), key=lambda each: (each[3] - each[2], -each[0]))
        by_rows = nlargest(most, of_currency.values(), key=lambda each: (each[1], -each[0]))
        everywhere = {
            top[0]: [_store_sum(of, part[top[0]]) for of, part in sorted(stores.items()) if top[0] in part]
            for top in (*by_money, *by_rows)
        }
        found.append(
            StoreSums(
                currency,
                int(scale),
                [_store_sum(key, each) for each in by_money],
                [_store_sum(key, each) for each in by_rows],
                len(of_currency),
                not cut,
                everywhere,
            )
        )
    return found


def _store_sum(key: str, counted: list[int]) -> StoreSum:
    currency, _, scale = key.partition(":")
    store, rows, down, up = counted
    return StoreSum(store, currency, int(scale), rows, down, up)


@dataclass
class Bin:
    """Changes from `low` up to `high` smallest units (both of one sign; `high` is not in it): how many, and what they add to totals."""

    low: int
    high: int
    rows: int
    added: int


@dataclass
class Side:
    """Rows whose totals go one way: how many, and what they add to totals."""

    rows: int = 0
    added: int = 0


@dataclass
class Spread:
    """How the changes of one currency and scale are spread. `bins` lie from the largest decrease to the largest increase."""

    currency: str
    scale: int
    bins: list[Bin] = field(default_factory=list)
    largest: list[Change] = field(default_factory=list)
    relative: list[Change] = field(default_factory=list)

    @property
    def down(self) -> Side:
        """Rows whose total was too high."""
        return _side(each for each in self.bins if each.low < 0)

    @property
    def up(self) -> Side:
        """Rows whose total was too low."""
        return _side(each for each in self.bins if each.low > 0)

    @property
    def same(self) -> int:
        """Rows whose total stays though other amounts change."""
        return _side(each for each in self.bins if each.low == 0).rows

    @property
    def rows(self) -> int:
        """All of them."""
        return _side(self.bins).rows

    @property
    def added(self) -> int:
        """What they add to totals together."""
        return _side(self.bins).added


def _side(bins: Iterable[Bin]) -> Side:
    side = Side()
    for each in bins:
        side.rows += each.rows
        side.added += each.added
    return side


def merge_spreads(chunks: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[Spread]:
    """The figures of all chunks of a plan, by currency and scale."""
    bins: dict[str, dict[int, list[int]]] = {}
    outliers: dict[str, dict[str, list[Change]]] = {}
    for figures in chunks:
        for key, part in figures.items():
            into = bins.setdefault(key, {})
            for edge, (rows, added) in part["bins"].items():
                counted = into.setdefault(int(edge), [0, 0])
                counted[0] += rows
                counted[1] += added
            kept = outliers.setdefault(key, {"largest": [], "relative": []})
            for name, found in kept.items():
                found += [(change[0], change[1], change[2], change[3]) for change in part[name]]
    return [_spread(key, bins[key], outliers[key]) for key in sorted(bins)]


def _spread(key: str, bins: dict[int, list[int]], outliers: dict[str, list[Change]]) -> Spread:
    currency, _, scale = key.partition(":")
    return Spread(
        currency,
        int(scale),
        [Bin(*bounds_of(edge), *bins[edge]) for edge in sorted(bins)],
        _largest(outliers["largest"], size_of),
        _largest(outliers["relative"], share_of),
    )


def _largest(changes: list[Change], size: Callable[[Change], int]) -> list[Change]:
    return largest_of(changes, [size(change) for change in changes], MOST_OUTLIERS)


def bounds_of(edge: int) -> tuple[int, int]:
    """A bin's own edge, and the one at which the next begins, farther from zero."""
    position = EDGES.index(abs(edge)) + 1
    following = EDGES[position] if position < len(EDGES) else 2**63
    return edge, -following if edge < 0 else following


def empty_bin(edge: int) -> Bin:
    """The bin of an edge, without rows."""
    return Bin(*bounds_of(edge), 0, 0)


def agrees(spreads: Iterable[Spread], money: Mapping[str, Mapping[str, int]], proposed: int) -> bool:
    """Whether figures add up to what a plan's digest covers: its rows, and what is added to totals in each currency."""
    found = list(spreads)
    sums = {f"{each.currency}:{each.scale}": each.added for each in found}
    return sums == {key: part["delta"] for key, part in money.items()} and proposed == sum(
        each.rows for each in found
    )
