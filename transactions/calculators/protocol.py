"""What a calculator is, what it is given, and what it may answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

Inputs = dict[str, Any]
"""A transaction's inputs, as JSON: numbers are decimal texts, as the source wrote them."""
Amounts = dict[str, int]
"""Component name (`[a-z][a-z0-9_]*`) → whole number of smallest units. `total` is always among them."""
Batch = Sequence[tuple[Inputs, int]]
"""(inputs, scale) of one transaction after the other."""


class CalculationFailure(NamedTuple):
    """A calculator gave no amounts for one transaction; `reason` is a sentence for people."""

    reason: str


Result = Amounts | CalculationFailure


class CalculatorUnavailable(Exception):
    """A calculator cannot answer at all just now, whatever the transaction: its service is down, or answers
    nonsense.

    Nothing is known about the rows it was asked about, so none of them has failed: whoever asked tries again
    later.
    """


class Step(NamedTuple):
    """One line of an explanation for people. The amounts of all steps add up to the total."""

    name: str
    amount: int
    detail: str = ""


class Calculator(Protocol):
    """A pure function of a transaction's inputs: no clock, no randomness, no network, no memory of the last
    row.

    Two more methods may be there:

    `calculate_many(batch: Batch) -> list[Amounts | CalculationFailure]` answers a batch at a time, one result
    a row in the same order; for a calculator that is faster so, or that lives elsewhere.

    `explain(inputs: Inputs, scale: int) -> list[Step]` says how the total came about.
    """

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        """The amounts of one transaction that is kept in `scale` digits after the point.

        Any exception means that this transaction cannot be calculated; its text is the reason that people
        read.
        """
        ...
