"""Why rows differ: which components changed, and which way."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Cause:
    """Rows whose amounts change alike: how many, by how much (whole smallest units), and the one that changes most."""

    count: int = 0
    delta: dict[str, int] = field(default_factory=dict)
    example: int = 0
    example_delta: int = -1


class Causes:
    """The causes met so far. A cause's name lists what changes: "tax up, total up", "shipping gone, total down"."""

    def __init__(self) -> None:
        self._causes: dict[str, Cause] = {}
        self._by_shape: dict[tuple[str | bool, ...], Cause] = {}

    def add(self, before: dict[str, int], after: dict[str, int], transaction_id: int, money_key: str) -> None:
        """Count a row whose amounts go from `before` to `after`."""
        cause = self._cause(before, after)
        delta = after["total"] - before["total"]
        cause.count += 1
        cause.delta[money_key] = cause.delta.get(money_key, 0) + delta
        if abs(delta) > cause.example_delta:
            cause.example, cause.example_delta = transaction_id, abs(delta)

    def _cause(self, before: dict[str, int], after: dict[str, int]) -> Cause:
        """The cause of a row. What changes, and which way, is looked up first: words are made only once for rows that change alike."""
        if before.keys() != after.keys():
            return self._named(before, after)
        ways: list[str | bool] = []
        for name, new in after.items():
            old = before[name]
            if new > old:
                ways += (name, True)
            elif new < old:
                ways += (name, False)
        shape = tuple(ways)
        cause = self._by_shape.get(shape)
        if cause is None:
            cause = self._by_shape[shape] = self._named(before, after)
        return cause

    def _named(self, before: dict[str, int], after: dict[str, int]) -> Cause:
        changes = []
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            if old != new:
                changes.append(f"{name} {_change(old, new)}")
        return self._causes.setdefault(", ".join(changes), Cause())

    def as_json(self) -> dict[str, dict[str, Any]]:
        """{name: {"count", "delta": {"USD:2": units}, "example": transaction id, "example_delta": units}}."""
        return {
            name: {
                "count": cause.count,
                "delta": cause.delta,
                "example": cause.example,
                "example_delta": cause.example_delta,
            }
            for name, cause in sorted(self._causes.items())
        }


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
