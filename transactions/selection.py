"""Which transactions are meant: criteria, never a list of ids.

The same selection is what `find` counts, a case keeps, a preview scans and a verification looks through.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from audit.errors import Refused
from transactions.models import Release


class InvalidSelection(Refused):
    """A selection's criteria contradict each other, or name what does not exist."""


@dataclass(frozen=True)
class Condition:
    """A piece of SQL for a WHERE clause, and the values for its named placeholders."""

    sql: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Calculations of `calculator`, narrowed by whatever else is given. Empty means all.

    Windows are half open, `[from, before)`, with an explicit offset. `versions` and `services` are those of the release that made the
    calculation; `stores` are store references, `countries` ISO 3166 codes of the stores, `currencies` ISO 4217 codes.
    """

    calculator: str
    services: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    calculated_from: datetime | None = None
    calculated_before: datetime | None = None
    occurred_from: datetime | None = None
    occurred_before: datetime | None = None
    stores: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("calculated_from", "calculated_before", "occurred_from", "occurred_before"):
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise InvalidSelection(f"{name} needs an explicit offset, as in 2026-11-20T08:00:00+00:00.")
        for start, end in (
            (self.calculated_from, self.calculated_before),
            (self.occurred_from, self.occurred_before),
        ):
            if start is not None and end is not None and start >= end:
                raise InvalidSelection(f"The window is empty: it begins at {start} and ends before {end}.")
        # One order and no doubles, so that asking for the same is the same.
        for name in ("services", "versions", "stores", "countries", "currencies"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    def to_criteria(self) -> dict[str, Any]:
        """The selection as JSON values: what is given, times in ISO 8601."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.isoformat()
            if isinstance(value, datetime)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in given.items()
            if value not in (None, ())
        }

    @classmethod
    def from_criteria(cls, criteria: dict[str, Any]) -> "Selection":
        """What `to_criteria` gave. Raises `InvalidSelection` where it is not that."""
        known = {field.name for field in fields(cls)}
        if unknown := set(criteria) - known:
            raise InvalidSelection(
                f"Unknown criteria: {', '.join(sorted(unknown))}. Known are {', '.join(sorted(known))}."
            )
        if "calculator" not in criteria:
            raise InvalidSelection("A selection needs its calculator.")
        given: dict[str, Any] = {
            name: tuple(value)
            if isinstance(value, list)
            else datetime.fromisoformat(value)
            if name.endswith(("_from", "_before"))
            else value
            for name, value in criteria.items()
        }
        return cls(**given)

    def releases(self) -> list[Release]:
        """The releases whose calculations are meant, by id. Raises `InvalidSelection` where there is none."""
        releases = Release.objects.filter(calculator=self.calculator)
        if self.services:
            releases = releases.filter(service__in=self.services)
        if self.versions:
            releases = releases.filter(version__in=self.versions)
        found = list(releases.order_by("id"))
        if not found:
            known = ", ".join(str(release) for release in Release.objects.order_by("id")[:20])
            raise InvalidSelection(f"No release matches {self}. Known releases: {known or 'none yet'}.")
        return found

    @property
    def needs_transaction(self) -> bool:
        """Whether the condition looks at the facts, so that a query must join them."""
        return bool(
            self.occurred_from or self.occurred_before or self.stores or self.countries or self.currencies
        )

    def condition(self, calculation: str = "c", transaction: str = "t") -> Condition:
        """The criteria but the releases, over the aliases of the calculation and (see `needs_transaction`) the transaction.

        The releases are left to the caller, who scans them one by one along the keyset (release, calculated_at, id).
        """
        pieces: list[str] = []
        params: dict[str, Any] = {}

        def narrow(sql: str, name: str, value: Any) -> None:
            if value not in (None, ()):
                pieces.append(sql)
                params[name] = list(value) if isinstance(value, tuple) else value

        narrow(f"{calculation}.calculated_at >= %(calculated_from)s", "calculated_from", self.calculated_from)
        narrow(
            f"{calculation}.calculated_at < %(calculated_before)s",
            "calculated_before",
            self.calculated_before,
        )
        narrow(f"{transaction}.occurred_at >= %(occurred_from)s", "occurred_from", self.occurred_from)
        narrow(f"{transaction}.occurred_at < %(occurred_before)s", "occurred_before", self.occurred_before)
        narrow(f"{transaction}.currency = ANY(%(currencies)s)", "currencies", self.currencies)
        stores = "SELECT id FROM transactions_store WHERE "
        narrow(f"{transaction}.store_id IN ({stores} reference = ANY(%(stores)s))", "stores", self.stores)
        narrow(
            f"{transaction}.store_id IN ({stores} country = ANY(%(countries)s))", "countries", self.countries
        )
        return Condition(" AND ".join(pieces) or "TRUE", params)

    def __str__(self) -> str:
        words = [self.calculator]
        for label, values in (
            ("release", self.versions),
            ("in", self.services),
            ("stores", self.stores),
            ("countries", self.countries),
            ("currencies", self.currencies),
        ):
            if values:
                words.append(f"{label} {', '.join(values)}")
        for label, start, end in (
            ("calculated", self.calculated_from, self.calculated_before),
            ("occurred", self.occurred_from, self.occurred_before),
        ):
            if start:
                words.append(f"{label} from {start.isoformat()}")
            if end:
                words.append(f"{label} before {end.isoformat()}")
        return " ".join(words)
