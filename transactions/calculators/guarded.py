"""Asking a calculator without trusting it: whatever it does, one bad row spoils no other, and no wrong amount
gets through.
"""

import json
import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import orjson

from transactions.calculators.protocol import (
    Amounts,
    Batch,
    CalculationFailure,
    CalculatorUnavailable,
    Inputs,
    Result,
)
from transactions.calculators.registry import RegisteredCalculator
from transactions.money import LARGEST_AMOUNT, SMALLEST_AMOUNT

_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LONGEST_REASON = 500


def run(calculator: RegisteredCalculator, batch: Batch) -> list[Result]:
    """The calculator's checked answers, one for each row of `batch`, in its order.

    A row that the calculator raises for, or answers with anything but whole amounts with a total, is a
    `CalculationFailure`; the others are not touched by it, even where `calculate_many` raised as a whole.
    `CalculatorUnavailable` alone passes through: then nothing is known about any row.
    """
    answers = _answers(calculator, batch)
    if _are_amounts(answers):
        # The calculator may keep its own and change them for the next row.
        return [answer.copy() for answer in answers]
    return [_checked(answer) for answer in answers]


def answers_again(calculator: RegisteredCalculator, batch: Batch, before: Sequence[Result]) -> list[bool]:
    """Whether the calculator answers each row as it did `before`, asked anew and in reverse: what it keeps from row to row shows.

    `batch` has fresh inputs, so that what it did to the last ones shows too.
    """
    again = _answers(calculator, batch[::-1])
    again.reverse()
    if again == before:
        return [True] * len(again)
    return [_checked(answer) == first for answer, first in zip(again, before, strict=True)]


def _answers(calculator: RegisteredCalculator, batch: Batch) -> list[Any]:
    """What the calculator answers, unchecked; a `CalculationFailure` for each row that it raises for."""
    if calculator.calculate_many is None:
        return [_ask_for_row(calculator, inputs, scale) for inputs, scale in batch]
    try:
        answers: Any = calculator.calculate_many(batch)
    except (CalculatorUnavailable, MemoryError):
        raise
    except Exception:  # noqa: BLE001 — one row may have spoilt it for all; asked one by one, that row tells its own reason.
        return [_ask_for_row(calculator, inputs, scale) for inputs, scale in batch]
    if not isinstance(answers, list | tuple) or len(answers) != len(batch):
        given = f"{len(answers)} results" if isinstance(answers, Sequence) else type(answers).__name__
        failure = CalculationFailure(f"calculate_many answered {given} for {len(batch)} rows.")
        return [failure] * len(batch)
    return list(answers)


def ask_twice(calculator: RegisteredCalculator, batch: Batch) -> list[Result]:
    """What `run` answers, where it answers the same when asked again; else a `CalculationFailure` for that
    row.

    The second time the rows come in reverse order, so that a calculator that keeps something from row to row
    is noticed; and where the first time changed the inputs, they come as they were before, so that this is
    noticed too.
    """
    before = _snapshot(batch)
    first = run(calculator, batch)
    untouched: Batch = batch if _snapshot(batch) == before else json.loads(before)
    again = run(calculator, untouched[::-1])
    again.reverse()
    if first == again:
        return first
    return [
        answer if answer == second else CalculationFailure(_why_they_differ(answer, second))
        for answer, second in zip(first, again, strict=True)
    ]


def _snapshot(batch: Batch) -> bytes:
    try:
        return orjson.dumps(batch)
    except (
        orjson.JSONEncodeError
    ):  # It knows no whole numbers beyond 64 bits; the standard library does, ten times slower.
        return json.dumps(batch, default=repr).encode()


def _why_they_differ(first: Result, second: Result) -> str:
    said = " and then ".join(
        answer.reason if isinstance(answer, CalculationFailure) else f"total {answer['total']}"
        for answer in (first, second)
    )
    return _for_people(f"The calculator answers differently when asked twice: {said}.")


def _ask_for_row(calculator: RegisteredCalculator, inputs: Inputs, scale: int) -> Any:
    try:
        answer = calculator.calculate(inputs, scale)
    except (CalculatorUnavailable, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 — somebody else's code: any exception is its way to say that this row cannot be done.
        return CalculationFailure(failure_reason(error))
    # Its own may be changed for the next row, which comes before anybody looks at this one.
    return answer.copy() if type(answer) is dict else answer


def failure_reason(error: Exception) -> str:
    """What people read of an exception: its text, led by its kind where that tells more."""
    text = str(error)
    if isinstance(error, KeyError):
        return _for_people(f"The inputs have no {text}.")
    if isinstance(error, ValueError) and text:
        return _for_people(text)
    return _for_people(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _for_people(text: str) -> str:
    """`text` as one that PostgreSQL can store and a table can show."""
    plain = text.replace("\0", "␀").encode("utf-8", "replace").decode()
    return plain if len(plain) <= _LONGEST_REASON else plain[: _LONGEST_REASON - 1] + "…"


def _are_amounts(answers: list[Any]) -> bool:
    """Whether all of them are whole amounts with a total: one look at many rows, where `_checked` looks at one for its reason."""
    if set(map(type, answers)) != {dict}:
        return False
    if not all(map(_are_components, set(map(tuple, answers)))):
        return False
    amounts = list(chain.from_iterable(map(dict.values, answers)))
    if set(map(type, amounts)) != {int}:
        return False
    try:
        array("q", amounts)
    except OverflowError:  # beyond SMALLEST_AMOUNT and LARGEST_AMOUNT, which are those of 64 bits
        return False
    return True


def _checked(answer: Any) -> Result:
    if type(answer) is not dict:
        if isinstance(answer, CalculationFailure):
            return CalculationFailure(_for_people(answer.reason))
        return CalculationFailure(f"The calculator answered {_kind(answer)}, not amounts.")
    # The usual answer passes two tests; only what fails one is looked at closely, for the reason.
    names = tuple(answer)
    if _are_components(names):
        for amount in answer.values():
            if type(amount) is not int or not SMALLEST_AMOUNT <= amount <= LARGEST_AMOUNT:
                break
        else:
            return answer.copy()  # The calculator may keep its own and change it for the next row.
    return CalculationFailure(_why_refused(answer))


@lru_cache(maxsize=1024, typed=True)
def _are_components(names: tuple[Any, ...]) -> bool:
    return "total" in names and all(type(name) is str and _COMPONENT.fullmatch(name) for name in names)


def _why_refused(answer: Amounts) -> str:
    for name in answer:
        if type(name) is not str or not _COMPONENT.fullmatch(name):
            return _for_people(
                f"{name!r:.80} is not a component's name: small letters, digits and _, a letter first."
            )
    for name, amount in answer.items():
        if type(amount) is not int:
            return _for_people(f"{name} is {_kind(amount)}, not a whole number of the smallest unit.")
        if not SMALLEST_AMOUNT <= amount <= LARGEST_AMOUNT:
            return f"{name} does not fit a 64-bit whole number."
    return "The amounts have no total."


def _kind(value: Any) -> str:
    try:
        return "nothing" if value is None else f"{value!s:.60} ({type(value).__name__})"
    except Exception:  # noqa: BLE001 — printing a stranger's object may raise anything.
        return f"an object of type {type(value).__name__}"
