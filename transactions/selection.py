"""Which transactions are meant: criteria, never a list of ids.

The same selection is what `find` counts, a case keeps, a preview scans and a verification looks through.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from audit.errors import Refused
from transactions.models import Release
from transactions.money import MoneyError, plain_decimal


class InvalidSelection(Refused):
    """A selection's criteria contradict each other, or name what does not exist."""


_TIMES = ("calculated_from", "calculated_before", "occurred_from", "occurred_before")


@dataclass(frozen=True)
class Condition:
    """A piece of SQL for a WHERE clause, and the values for its named placeholders."""

    sql: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Calculations of `calculator`, narrowed by whatever else is given. Empty means all.

    Windows are half open, `[from, before)`, with an explicit offset. `versions` and `services` are those of the release that made the
    calculation; `stores` are store references, `countries` ISO 3166 codes of the stores, `currencies` ISO 4217 codes. `references` are
    those of the transactions, in full. `total_from` and `total_to` are decimal texts in units of the transaction's currency, both
    included, of the total that the calculation has: "10" and "10.00" are the same, and are kept as "10".
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
    references: tuple[str, ...] = ()
    total_from: str | None = None
    total_to: str | None = None

    def __post_init__(self) -> None:
        for name in _TIMES:
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise InvalidSelection(f"{name} needs an explicit offset, as in 2026-11-20T08:00:00+00:00.")
        for start, end in (
            (self.calculated_from, self.calculated_before),
            (self.occurred_from, self.occurred_before),
        ):
            if start is not None and end is not None and start >= end:
                raise InvalidSelection(f"The window is empty: it begins at {start} and ends before {end}.")
        self._read_totals()
        # One order and no doubles, so that asking for the same is the same.
        for name in ("services", "versions", "stores", "countries", "currencies", "references"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    def _read_totals(self) -> None:
        for name in ("total_from", "total_to"):
            given = getattr(self, name)
            if given is not None:
                try:
                    object.__setattr__(self, name, plain_decimal(given))
                except MoneyError as error:
                    raise InvalidSelection(f"{name}: {error}") from None
        if (
            self.total_from is not None
            and self.total_to is not None
            and Decimal(self.total_from) > Decimal(self.total_to)
        ):
            raise InvalidSelection(
                f"No total is at least {self.total_from} and at most {self.total_to}: exchange the two."
            )

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
            if name in _TIMES
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
        return self.window != self

    @property
    def window(self) -> "Selection":
        """The same without what only the facts tell: calculator, services, versions, and when it was calculated."""
        return Selection(
            self.calculator,
            services=self.services,
            versions=self.versions,
            calculated_from=self.calculated_from,
            calculated_before=self.calculated_before,
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
        narrow(f"{transaction}.reference = ANY(%(references)s)", "references", self.references)
        # Exact: whole numbers times powers of ten, in numeric. No division, no float.
        unit = f"10::numeric ^ {transaction}.scale"
        narrow(f"{calculation}.total >= %(total_from)s::numeric * {unit}", "total_from", self.total_from)
        narrow(f"{calculation}.total <= %(total_to)s::numeric * {unit}", "total_to", self.total_to)
        return Condition(" AND ".join(pieces) or "TRUE", params)

    def __str__(self) -> str:
        words = [self.calculator]
        for label, values in (
            ("release", self.versions),
            ("in", self.services),
            ("stores", self.stores),
            ("countries", self.countries),
            ("currencies", self.currencies),
            ("transactions", self.references),
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
        if self.total_from is not None:
            words.append(f"total at least {self.total_from}")
        if self.total_to is not None:
            words.append(f"total at most {self.total_to}")
        return " ".join(words)
