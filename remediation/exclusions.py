"""What a case leaves out: rows that would be corrected and are not to be, by cause, store or size. Criteria, never a list of ids.

Rows that are left out are calculated like all others and added up, so that nobody can hide what is not corrected.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from audit.errors import Refused
from remediation.causes import Causes
from remediation.money import money_key
from transactions.models import Store
from transactions.money import format_amount

_MONEY_KEY = re.compile(r"[A-Z]{3}:\d{1,2}", re.ASCII)
Why = tuple[str, str]
"""Which criterion leaves a row out: its kind ("causes", "stores" or "larger_than"), and the cause, store or currency that it names."""


class InvalidExclusions(Refused):
    """What is to be left out is not named as it must be, or does not exist."""


@dataclass(frozen=True)
class Exclusions:
    """Rows of these causes (as `remediation.causes` names them), of stores with these references, and rows whose total would change by more
    than so many smallest units of "USD:2" (currency and scale).
    """

    causes: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    larger_than: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("causes", "stores"):
            values = getattr(self, name)
            if not all(isinstance(value, str) and value.strip() for value in values):
                raise InvalidExclusions("A cause or a store that is left out needs a name.")
            # One order and no doubles, so that asking for the same is the same.
            object.__setattr__(self, name, tuple(sorted(set(values))))
        for key, limit in self.larger_than.items():
            if not _MONEY_KEY.fullmatch(key) or type(limit) is not int or not 0 <= limit < 2**63:
                raise InvalidExclusions(
                    f"“{key}: {limit}” is no limit: say currency and scale, as in USD:2, and a whole number of the smallest unit."
                )
        object.__setattr__(self, "larger_than", dict(sorted(self.larger_than.items())))

    def __bool__(self) -> bool:
        return bool(self.causes or self.stores or self.larger_than)

    def to_json(self) -> dict[str, Any]:
        """What is given, as JSON values; {} where nothing is left out."""
        given = {
            "causes": list(self.causes),
            "stores": list(self.stores),
            "larger_than": dict(self.larger_than),
        }
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Exclusions":
        """What `to_json` gave. Raises `InvalidExclusions` where it is not that."""
        if unknown := stored.keys() - {"causes", "stores", "larger_than"}:
            raise InvalidExclusions(f"Nothing can be left out by {', '.join(sorted(unknown))}.")
        return cls(
            tuple(stored.get("causes", ())), tuple(stored.get("stores", ())), stored.get("larger_than", {})
        )

    def and_also(self, more: "Exclusions") -> "Exclusions":
        """These and `more`; where both name a currency's limit, the one of `more`."""
        return Exclusions(
            self.causes + more.causes,
            self.stores + more.stores,
            {**self.larger_than, **more.larger_than},
        )

    def but_not(self, less: "Exclusions") -> "Exclusions":
        """These without what `less` names; a currency's limit goes whatever amount `less` gives."""
        return Exclusions(
            tuple(each for each in self.causes if each not in less.causes),
            tuple(each for each in self.stores if each not in less.stores),
            {key: limit for key, limit in self.larger_than.items() if key not in less.larger_than},
        )

    def __str__(self) -> str:
        words = [f"the cause “{cause}”" for cause in self.causes]
        words += [f"the store {store}" for store in self.stores]
        for key, limit in self.larger_than.items():
            currency, _, scale = key.partition(":")
            words.append(f"changes by more than {format_amount(limit, int(scale))} {currency}")
        return ", ".join(words) or "nothing"


class LeftOut:
    """Tells which rows of some transactions are left out by `exclusions`, and adds up those that were: see `sums`.

    A row that several criteria leave out is counted at one of them: its store before its cause, and its cause before its size.
    """

    def __init__(self, exclusions: Exclusions, transactions: Sequence[int]) -> None:
        self.rows = 0
        self._causes = frozenset(exclusions.causes)
        self._larger_than = exclusions.larger_than
        self._store_of = _stores_of(transactions, exclusions.stores) if exclusions.stores else {}
        self._names = Causes()
        self._all = Causes()
        self._by: dict[Why, dict[str, Any]] = {}

    def why(
        self, transaction_id: int, before: dict[str, int], after: dict[str, int], currency: str, scale: int
    ) -> Why | None:
        """What leaves out a row whose amounts would go from `before` to `after`; None where nothing does."""
        if store := self._store_of.get(transaction_id):
            return "stores", store
        if self._causes:
            cause = self._names.cause_of(before, after, currency, scale)
            if cause in self._causes:
                return "causes", cause
        if self._larger_than:
            limit = self._larger_than.get(money_key(currency, scale))
            if limit is not None and abs(after["total"] - before["total"]) > limit:
                return "larger_than", money_key(currency, scale)
        return None

    def takes(
        self, transaction_id: int, before: dict[str, int], after: dict[str, int], currency: str, scale: int
    ) -> bool:
        """Whether such a row is left out; if so, it is added up."""
        why = self.why(transaction_id, before, after, currency, scale)
        if why is None:
            return False
        self.rows += 1
        self._all.add(before, after, transaction_id, currency, scale)
        into = self._by.setdefault(why, {"count": 0, "delta": {}, "example": transaction_id})
        into["count"] += 1
        key = money_key(currency, scale)
        into["delta"][key] = into["delta"].get(key, 0) + after["total"] - before["total"]
        return True

    def sums(self) -> dict[str, Any]:
        """{"money": as a plan's, and for "causes", "stores" and "larger_than" {name: {"count", "delta": {"USD:2": units}, "example"}}}, the
        example being a transaction's id; {} where no row was left out. Each row is counted once, so that the counts add up to `rows`.
        """
        if not self.rows:
            return {}
        sums: dict[str, Any] = {"money": self._all.money()}
        for (kind, name), part in sorted(self._by.items()):
            sums.setdefault(kind, {})[name] = part
        return sums


def why_in_words(why: Why) -> str:
    """Why a row is left out, in a sentence."""
    kind, name = why
    if kind == "causes":
        return f"The case leaves out the cause “{name}”."
    if kind == "stores":
        return f"The case leaves out the store {name}."
    return f"The case leaves out larger changes of {name.partition(':')[0]}."


def merge_left_out(chunks: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """`LeftOut.sums` of all chunks of a plan added up, but for the money: {"causes": {name: {"count", "delta", "example"}}, …}."""
    merged: dict[str, dict[str, dict[str, Any]]] = {"causes": {}, "stores": {}, "larger_than": {}}
    for sums in chunks:
        for kind, into in merged.items():
            for name, part in sums.get(kind, {}).items():
                whole = into.setdefault(name, {"count": 0, "delta": {}, "example": part["example"]})
                whole["count"] += part["count"]
                for key, amount in part["delta"].items():
                    whole["delta"][key] = whole["delta"].get(key, 0) + amount
    return merged


def _stores_of(transactions: Sequence[int], references: Sequence[str]) -> dict[int, str]:
    """Transaction id → reference of its store, of those `transactions` that are of one of the stores."""
    named = dict(Store.objects.filter(reference__in=references).values_list("pk", "reference"))
    if not named or not transactions:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, store_id FROM transactions_transaction WHERE id = ANY(%s) AND store_id = ANY(%s)",
            [list(transactions), list(named)],
        )
        return {transaction: named[store] for transaction, store in cursor.fetchall()}
