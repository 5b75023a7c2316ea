"""Why rows differ, and by how much money: which components changed, and which way."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from operator import itemgetter
from typing import Any

from django.utils.translation import gettext, gettext_lazy

from remediation.money import money_key

Shape = tuple[tuple[str, ...], int, str, int]
"""Component names, which of them change and which way (two bits each), currency and scale."""
Change = tuple[int, int, int, int]
"""What is added to a row's total, its total before (whole smallest units), its transaction and that one's store (0 where nobody asks)."""
MOST_EXAMPLES = 3
"""Examples kept of a cause: its rows whose totals change most."""


def size_of(change: Change) -> int:
    """How large a change is, whichever way it goes."""
    return abs(change[0])


def largest_of(changes: Sequence[Change], sizes: Sequence[int], most: int) -> list[Change]:
    """Up to `most` of `changes`, those with the largest of `sizes`, one for each; of equal ones the first.

    As `heapq.nlargest` with a key, at a third of its cost: there is one for every row of a plan.
    """
    kept = nlargest(most, sizes)
    if not kept:
        return []
    least = kept[-1]
    above = [(size, change) for size, change in zip(sizes, changes, strict=True) if size > least]
    above.sort(key=itemgetter(0), reverse=True)
    equal = (change for size, change in zip(sizes, changes, strict=True) if size == least)
    return [change for _, change in above] + list(islice(equal, most - len(above)))


@dataclass(slots=True)
class Alike:
    """Rows of one currency and scale whose amounts change alike."""

    cause: str
    money_key: str
    changes: list[Change] = field(default_factory=list)


class Causes:
    """The causes met so far. A cause's name lists what changes: "tax up, total up", "shipping gone, total down"."""

    def __init__(self) -> None:
        self._by_shape: dict[Shape, Alike] = {}
        self._by_name: dict[tuple[str, str], Alike] = {}

    def add(
        self,
        before: dict[str, int],
        after: dict[str, int],
        transaction_id: int,
        currency: str,
        scale: int,
        store_id: int = 0,
    ) -> None:
        """Count a row whose amounts go from `before` to `after`."""
        old = before["total"]
        change = after["total"] - old, old, transaction_id, store_id
        self._group(before, after, currency, scale).changes.append(change)

    def cause_of(self, before: dict[str, int], after: dict[str, int], currency: str, scale: int) -> str:
        """The cause of a row whose amounts go from `before` to `after`. It is not counted, but its cause is one met so far."""
        return self._group(before, after, currency, scale).cause

    def _group(self, before: dict[str, int], after: dict[str, int], currency: str, scale: int) -> Alike:
        """Where a row belongs. What changes, and which way, is looked up first: words are made only once for rows that change alike."""
        if before.keys() != after.keys():
            return self._named(before, after, currency, scale)
        ways = 0
        bit = 1
        for name, new in after.items():
            old = before[name]
            if new > old:
                ways += bit
            elif new < old:
                ways += bit + bit
            bit <<= 2
        shape = tuple(after), ways, currency, scale
        alike = self._by_shape.get(shape)
        if alike is None:
            alike = self._by_shape[shape] = self._named(before, after, currency, scale)
        return alike

    def _named(self, before: dict[str, int], after: dict[str, int], currency: str, scale: int) -> Alike:
        changes = []
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            if old != new:
                changes.append(f"{name} {_change(old, new)}")
        cause, key = ", ".join(changes), money_key(currency, scale)
        return self._by_name.setdefault((cause, key), Alike(cause, key))

    def changes(self) -> dict[str, list[Change]]:
        """Every change counted, by currency and scale ("USD:2")."""
        found: dict[str, list[Change]] = {}
        for alike in self._by_name.values():
            found.setdefault(alike.money_key, []).extend(alike.changes)
        return found

    def money(self) -> dict[str, dict[str, int]]:
        """{"USD:2": {"before", "after", "delta", "largest"}}, in whole smallest units."""
        sums: dict[str, dict[str, int]] = {}
        for key, changes in self.changes().items():
            if changes:
                delta, before = sum(map(itemgetter(0), changes)), sum(map(itemgetter(1), changes))
                largest = max(map(size_of, changes))
                sums[key] = {"before": before, "after": before + delta, "delta": delta, "largest": largest}
        return sums

    def as_json(self) -> dict[str, dict[str, Any]]:
        """{name: {"count", "delta": {"USD:2": units}, "largest": {"USD:2": units}, "example": transaction id, "example_delta": units,
        "examples": [[transaction id, units, "USD:2"], …]}}: the examples are those that change most, the first of them `example`.
        """
        causes: dict[str, dict[str, Any]] = {}
        for alike in sorted(self._by_name.values(), key=lambda alike: (alike.cause, alike.money_key)):
            if not alike.changes:
                continue
            found = largest_of(alike.changes, [*map(abs, map(itemgetter(0), alike.changes))], MOST_EXAMPLES)
            into = causes.setdefault(alike.cause, _nothing())
            into["count"] += len(alike.changes)
            into["delta"][alike.money_key] = sum(map(itemgetter(0), alike.changes))
            into["largest"][alike.money_key] = size_of(found[0])
            _take_examples(into, [[known[2], size_of(known), alike.money_key] for known in found])
        return causes


def _nothing() -> dict[str, Any]:
    return {"count": 0, "delta": {}, "largest": {}, "example": 0, "example_delta": -1, "examples": []}


def _take_examples(into: dict[str, Any], more: Iterable[list[Any]]) -> None:
    """Keep the largest of those there and `more`: of as many currencies as there is room for, whose amounts cannot be compared."""
    found = sorted([*into["examples"], *more], key=lambda example: -int(example[1]))
    rank: dict[str, int] = {}
    ranked = []
    for example in found:
        rank[example[2]] = rank.get(example[2], 0) + 1
        ranked.append((rank[example[2]], example))
    ranked.sort(key=itemgetter(0))
    kept = sorted((example for _, example in ranked[:MOST_EXAMPLES]), key=lambda example: -int(example[1]))
    into["examples"] = kept
    if kept:
        into["example"], into["example_delta"] = kept[0][0], kept[0][1]


def _change(old: int | None, new: int | None) -> str:
    if old is None:
        return "new"
    if new is None:
        return "gone"
    return "up" if new > old else "down"


def merge_causes(chunks: list[dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The causes of all chunks of a plan as one list, the most frequent first: `as_json`'s values with their "cause".

    Chunks scanned when one example a cause was kept, and no largest change, have that one; "largest" then lacks what is not known.
    """
    merged: dict[str, dict[str, Any]] = {}
    for causes in chunks:
        for name, cause in causes.items():
            into = merged.setdefault(name, {"cause": name, **_nothing()})
            into["count"] += cause["count"]
            for key, amount in cause["delta"].items():
                into["delta"][key] = into["delta"].get(key, 0) + amount
            for key, size in _largest(cause).items():
                into["largest"][key] = max(into["largest"].get(key, 0), size)
            _take_examples(into, _examples(cause))
    return sorted(merged.values(), key=lambda cause: (-cause["count"], cause["cause"]))


def _only_currency(cause: dict[str, Any]) -> str:
    return next(iter(cause["delta"])) if len(cause["delta"]) == 1 else ""


def _examples(cause: dict[str, Any]) -> list[list[Any]]:
    if "examples" in cause:
        return list(cause["examples"])
    return [[cause["example"], cause["example_delta"], _only_currency(cause)]] if cause["example"] else []


def _largest(cause: dict[str, Any]) -> dict[str, int]:
    if "largest" in cause:
        return dict(cause["largest"])
    known = _only_currency(cause) if cause["example"] else ""
    return {known: cause["example_delta"]} if known else {}


_WAYS = ("up", "down", "new", "gone")
_PART = re.compile(r"([a-z][a-z0-9_]*) (up|down|new|gone)")
_IN_WORDS = {
    "up": gettext_lazy("%(component)s goes up"),
    "down": gettext_lazy("%(component)s goes down"),
    "new": gettext_lazy("%(component)s is added"),
    "gone": gettext_lazy("%(component)s is dropped"),
}


def parts_of(cause: str) -> list[tuple[str, str]]:
    """What a cause's name says: [("tax", "up"), ("total", "up")]; [] where it is no such name, as of a plan that takes another back."""
    parts = [_PART.fullmatch(part) for part in cause.split(", ")]
    return [(part[1], part[2]) for part in parts if part] if all(parts) else []


def cause_in_words(cause: str) -> str:
    """A cause for people: "Tax goes down, total goes down"; its name where it is of another kind."""
    parts = parts_of(cause)
    if not parts:
        return cause or gettext("Nothing but how the amounts are written")
    words = ", ".join(
        str(_IN_WORDS[way]) % {"component": component.replace("_", " ")} for component, way in parts
    )
    return words[:1].upper() + words[1:]
