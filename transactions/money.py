"""Exact money: whole numbers of the smallest unit, and the decimal text that they are read from and shown as.

An amount is an `int` that counts the smallest unit a transaction is kept in; its `scale` is the number of
digits after the point (USD 12.30 at scale 2 is 1230, and AdventureWorks keeps USD at scale 4). No float comes
near an amount, and amounts of different currencies or scales are never added.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypedDict

import iso4217

MAX_SCALE = 12
"""Digits after the point that a transaction may be kept in."""
LARGEST_AMOUNT = 2**63 - 1
"""The largest amount that PostgreSQL's bigint can hold, in smallest units."""
SMALLEST_AMOUNT = -(2**63)

_POWERS_OF_TEN: tuple[int, ...] = tuple(10**exponent for exponent in range(MAX_SCALE + 1))
_ALWAYS_IN_RANGE = 18
"""So many digits fit a bigint, whichever they are."""
_PLAIN_DECIMAL = re.compile(r"[ \t]*([+-]?)([0-9]*)(?:\.([0-9]*))?[ \t]*", re.ASCII)
_WITH_EXPONENT = re.compile(r"[ \t]*[+-]?[0-9.]+[eE][+-]?[0-9]+[ \t]*", re.ASCII)
_SHOWN = 40
"""Characters of a refused text that its message repeats: a cell may be megabytes long."""


class MoneyError(ValueError):
    """A text or number cannot be an exact amount. The message names the text and the remedy."""


class AmountUnparsable(MoneyError):
    """The text is not a plain decimal number: empty, words, NaN, an infinity, an exponent, a thousands
    separator.
    """


class AmountTooFine(MoneyError):
    """The text has more digits after the point, not zeros, than the scale can hold."""


class AmountOutOfRange(MoneyError):
    """The amount does not fit PostgreSQL's bigint."""


class ScaleOutOfRange(MoneyError):
    """The scale is not a whole number from 0 to `MAX_SCALE`."""


class UnknownCurrency(MoneyError):
    """The code is not in ISO 4217's list of current currencies, or has no smallest unit there (XAU, XXX)."""


_ENTRIES: Iterable[Mapping[str, Any]] = iso4217.raw_table.values()
_EXPONENTS: Mapping[str, int] = {
    entry["Ccy"]: int(entry["CcyMnrUnts"])
    for entry in _ENTRIES
    if entry["Ccy"] and entry["CcyMnrUnts"].isdigit()
}


def currency_exponent(currency: str) -> int:
    """Digits after the point that ISO 4217 gives `currency` ("USD" 2, "JPY" 0, "KWD" 3). Raises
    `UnknownCurrency`.
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(
            f"{_shown(currency)} is not a currency with a smallest unit in ISO 4217. "
            "Write its three-letter code in capitals, such as USD."
        ) from None


def parse_amount(text: str, scale: int) -> int:
    """`text`, a decimal number of currency units, as a whole number of smallest units: ("6.5", 2) gives 650.

    Exact: zeros beyond the scale are fine ("6.500" at scale 2), other digits there raise `AmountTooFine`. A
    sign, blanks around it, ".5" and "5." are read. Exponents ("1e3") are refused: they are what spreadsheets
    and floats leave behind when they have already dropped digits. So are thousands separators, digits that
    are not ASCII, NaN and infinities. Raises `AmountUnparsable`, `AmountTooFine`, `AmountOutOfRange` or
    `ScaleOutOfRange`.
    """
    # The common case first, since imports come here millions of times: digits, a point, digits, and nothing
    # else.
    try:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        missing = scale - len(fraction)
        if (
            0 <= missing <= scale <= MAX_SCALE
            and len(digits) + missing <= _ALWAYS_IN_RANGE
            and digits.isdigit()
            and digits.isascii()
        ):
            return int(digits) * _POWERS_OF_TEN[missing]
    except (AttributeError, TypeError):
        pass  # Not a text, or not a scale: said properly below.
    return _parse_carefully(text, scale)


def _parse_carefully(text: object, scale: int) -> int:
    _check_scale(scale)
    sign, whole, fraction = _parts_of(text)
    if len(fraction) > scale:
        raise AmountTooFine(
            f"{_shown(str(text).strip())} has {len(fraction)} digits after the point, "
            f"and the transaction is kept in {scale}. "
            "Round it at its source, or keep the transaction at a larger scale."
        )
    digits = whole + fraction.ljust(scale, "0")
    # The length is checked first: turning millions of digits into a number would take minutes.
    amount = int(digits or "0") if len(digits) <= _ALWAYS_IN_RANGE + 1 else LARGEST_AMOUNT + 2
    return check_range(-amount if sign == "-" else amount)


def plain_decimal(text: object) -> str:
    """`text`, a decimal number of currency units of any scale, in its shortest form: "010.50" gives "10.5", "-.0" gives "0".

    Reads and refuses what `parse_amount` does at the finest scale there is, so that it compares exactly with every amount. Raises
    `AmountUnparsable`, `AmountTooFine`, `AmountOutOfRange`.
    """
    sign, whole, fraction = _parts_of(text)
    if len(fraction) > MAX_SCALE:
        raise AmountTooFine(
            f"{_shown(str(text).strip())} has more than {MAX_SCALE} digits after the point: no amount has."
        )
    if len(whole) > _ALWAYS_IN_RANGE + 1:
        raise AmountOutOfRange(f"{_shown(str(text).strip())} is larger than any amount. Write fewer digits.")
    shown = f"{whole or '0'}.{fraction}" if fraction else whole or "0"
    return f"-{shown}" if sign == "-" and shown != "0" else shown


def _parts_of(text: object) -> tuple[str, str, str]:
    """Sign, digits before the point and digits after it, without zeros that say nothing. Raises `AmountUnparsable`."""
    if not isinstance(text, str):
        raise AmountUnparsable(
            f'{_shown(text)} is not a text. Write amounts as decimal strings, such as "12.30".'
        )
    match = _PLAIN_DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise AmountUnparsable(_why_unparsable(text))
    return match[1], match[2].lstrip("0"), (match[3] or "").rstrip("0")


def _why_unparsable(text: str) -> str:
    if not text.strip():
        return "An amount is empty. Write a decimal number, or give the mapping a default for it."
    if _WITH_EXPONENT.fullmatch(text):
        return f"{_shown(text)} has an exponent, so digits may be lost already. Export it as a plain decimal."
    return f"{_shown(text)} is not a plain decimal number, such as 12.30 or -5."


def check_range(amount: int) -> int:
    """`amount` itself. Raises `AmountOutOfRange` where it does not fit PostgreSQL's bigint."""
    if SMALLEST_AMOUNT <= amount <= LARGEST_AMOUNT:
        return amount
    raise AmountOutOfRange(
        "The amount is larger than a 64-bit whole number of smallest units. Check its scale."
    )


def format_amount(amount: int, scale: int) -> str:
    """`amount` smallest units as a decimal text of currency units: (-1230, 2) gives "-12.30". Raises
    `ScaleOutOfRange`.
    """
    _check_scale(scale)
    sign = "-" if amount < 0 else ""
    if scale == 0:
        return f"{sign}{abs(amount)}"
    whole, fraction = divmod(abs(amount), _POWERS_OF_TEN[scale])
    return f"{sign}{whole}.{fraction:0{scale}d}"


def _check_scale(scale: object) -> None:
    if not isinstance(scale, int) or isinstance(scale, bool) or not 0 <= scale <= MAX_SCALE:
        raise ScaleOutOfRange(
            f"{_shown(scale)} is not a scale. A scale is a whole number from 0 to {MAX_SCALE}."
        )


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"“{text}”" if len(text) <= _SHOWN else f"“{text[:_SHOWN]}…” ({len(text)} characters)"


# Rounding. A fraction of a smallest unit is always a ratio of whole numbers, so that halves are exact.


def divide_half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` (positive) to the nearest whole number; halves go away from zero: 5/2 is 3,
    -5/2 is -3.
    """
    if numerator < 0:
        return -((denominator - 2 * numerator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` (positive) to the nearest whole number; halves go to the even one: 5/2 is 2,
    7/2 is 4.
    """
    quotient, remainder = divmod(numerator, denominator)
    return quotient + (2 * remainder + (quotient & 1) > denominator)


def share_out(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` in whole parts as near to `weights` as they go; the parts always add up to it.

    Weights are not negative. Units that are left over go to the largest remainders, the first of equals.
    Where every weight is 0 the first part takes all. Raises `ValueError` where there is nothing to share
    among.
    """
    if not weights:
        raise ValueError("There is nothing to share the amount among.")
    whole = sum(weights)
    if whole == 0:
        return [amount, *(0 for _ in weights[1:])]
    shares = [amount * weight // whole for weight in weights]
    left_over = amount - sum(shares)
    if left_over:
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % whole), i))
        for i in by_remainder[:left_over]:
            shares[i] += 1
    return shares


# Sums.


class StoredMoney(TypedDict):
    """A sum as the database and the audit trail keep it: `amount` is a whole number of smallest units."""

    currency: str
    scale: int
    amount: int


class ShownMoney(TypedDict):
    """A sum as people and scripts read it: `amount` is a decimal text of currency units."""

    currency: str
    scale: int
    amount: str


class MoneyTotals:
    """Sums of money by (currency, scale), never mixed.

    A currency that was added stays, with a sum of 0 where amounts cancel out: "USD 0.00" is an answer.
    """

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], int] = {}

    def add(self, currency: str, scale: int, amount: int) -> None:
        """Add `amount` smallest units of `currency` at `scale`."""
        key = (currency, scale)
        self._sums[key] = self._sums.get(key, 0) + amount

    def merge(self, other: "MoneyTotals") -> None:
        """Add every sum of `other`."""
        for (currency, scale), amount in other._sums.items():
            self.add(currency, scale, amount)

    def amount(self, currency: str, scale: int) -> int:
        """The sum in smallest units; 0 where nothing was added."""
        return self._sums.get((currency, scale), 0)

    def stored(self) -> list[StoredMoney]:
        """The sums by currency and scale, as integers for storage."""
        return [
            {"currency": currency, "scale": scale, "amount": amount}
            for (currency, scale), amount in sorted(self._sums.items())
        ]

    def shown(self) -> list[ShownMoney]:
        """The sums by currency and scale, as decimal texts for people and scripts."""
        return [
            {"currency": currency, "scale": scale, "amount": format_amount(amount, scale)}
            for (currency, scale), amount in sorted(self._sums.items())
        ]

    @classmethod
    def from_stored(cls, sums: Iterable[StoredMoney]) -> Self:
        """The totals that `stored` gave; sums of one currency and scale are added, so that chunks' lists can
        be chained.
        """
        totals = cls()
        for entry in sums:
            totals.add(entry["currency"], entry["scale"], entry["amount"])
        return totals

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MoneyTotals) and self._sums == other._sums

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        sums = ", ".join(f"{entry['currency']} {entry['amount']}" for entry in self.shown())
        return f"MoneyTotals({sums})"
