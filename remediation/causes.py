"""Why rows differ, and by how much money: which components changed, and which way."""

from dataclasses import dataclass
from typing import Any

from remediation.money import money_key

Shape = tuple[tuple[str, ...], int, str, int]
"""Component names, which of them change and which way (two bits each), currency and scale."""


@dataclass(slots=True)
class Alike:
    """Rows of one currency and scale whose amounts change alike; amounts in whole smallest units.

    `largest` is the size of the largest single change, and `example` the transaction that it is of.
    """

    cause: str
    money_key: str
    count: int = 0
    before: int = 0
    after: int = 0
    largest: int = -1
    example: int = 0


class Causes:
    """The causes met so far. A cause's name lists what changes: "tax up, total up", "shipping gone, total down"."""

    def __init__(self) -> None:
        self._by_shape: dict[Shape, Alike] = {}
        self._by_name: dict[tuple[str, str], Alike] = {}

    def add(
        self, before: dict[str, int], after: dict[str, int], transaction_id: int, currency: str, scale: int
    ) -> None:
        """Count a row whose amounts go from `before` to `after`."""
        alike = self._group(before, after, currency, scale)
        old, new = before["total"], after["total"]
        alike.count += 1
        alike.before += old
        alike.after += new
        size = new - old if new > old else old - new
        if size > alike.largest:
            alike.largest, alike.example = size, transaction_id

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

    def money(self) -> dict[str, dict[str, int]]:
        """{"USD:2": {"before", "after", "delta", "largest"}}, in whole smallest units."""
        sums: dict[str, dict[str, int]] = {}
        for alike in self._by_name.values():
            into = sums.setdefault(alike.money_key, {"before": 0, "after": 0, "delta": 0, "largest": 0})
            into["before"] += alike.before
            into["after"] += alike.after
            into["delta"] += alike.after - alike.before
            into["largest"] = max(into["largest"], alike.largest)
        return sums

    def as_json(self) -> dict[str, dict[str, Any]]:
        """{name: {"count", "delta": {"USD:2": units}, "example": transaction id, "example_delta": units}}."""
        causes: dict[str, dict[str, Any]] = {}
        for alike in sorted(self._by_name.values(), key=lambda alike: (alike.cause, alike.money_key)):
            into = causes.setdefault(
                alike.cause, {"count": 0, "delta": {}, "example": 0, "example_delta": -1}
            )
            into["count"] += alike.count
            into["delta"][alike.money_key] = alike.after - alike.before
            if alike.largest > into["example_delta"]:
                into["example"], into["example_delta"] = alike.example, alike.largest
        return causes


def _change(old: int | None, new: int | None) -> str:
    if old is None:
        return "new"
    if new is None:
        return "gone"
    return "up" if new > old else "down"


def merge_causes(chunks: list[dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The causes of all chunks of a plan as one list, the most frequent first: `as_json`'s values with their "cause"."""
    merged: dict[str, dict[str, Any]] = {}
    for causes in chunks:
        for name, cause in causes.items():
            into = merged.setdefault(
                name, {"cause": name, "count": 0, "delta": {}, "example": 0, "example_delta": -1}
            )
            into["count"] += cause["count"]
            for key, amount in cause["delta"].items():
                into["delta"][key] = into["delta"].get(key, 0) + amount
            if cause["example_delta"] > into["example_delta"]:
                into["example"], into["example_delta"] = cause["example"], cause["example_delta"]
    return sorted(merged.values(), key=lambda cause: (-cause["count"], cause["cause"]))
