"""Calculators for the engine's tests: a fee on a net amount, right, wrong, and misbehaving in each way that matters."""

import os
import signal
from itertools import count
from typing import Any

from transactions.calculators import register
from transactions.calculators.protocol import Amounts, Inputs, Step
from transactions.money import parse_amount

_asked = count()


def _amounts(inputs: Inputs, scale: int, fee_percent: int) -> Amounts:
    net = parse_amount(inputs["net"], scale)
    fee = net * fee_percent // 100
    return {"net": net, "fee": fee, "total": net + fee}


@register("fee", "1.0.0")
def one_percent(inputs: Inputs, scale: int) -> Amounts:
    return _amounts(inputs, scale, 1)


@register("fee", "2.0.0")
def two_percent(inputs: Inputs, scale: int) -> Amounts:
    return _amounts(inputs, scale, 2)


@register("fee", "3.0.0")
def three_percent(inputs: Inputs, scale: int) -> Amounts:
    return _amounts(inputs, scale, 3)


@register("fee", "raises-on-odd")
def raises_on_odd(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    if amounts["net"] % 2:
        raise ValueError("An odd net amount has no fee.")
    return amounts


MENDED: set[str] = set()
"""Versions whose defect was mended, without that their source says so."""


@register("fee", "mendable")
def raises_on_odd_until_mended(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    if amounts["net"] % 2 and "mendable" not in MENDED:
        raise ValueError("An odd net amount has no fee yet.")
    return amounts


@register("fee", "forgetful")
def answers_differently(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    return amounts | {"total": amounts["total"] + next(_asked)}


@register("fee", "fractional")
def answers_a_fraction(inputs: Inputs, scale: int) -> dict[str, Any]:
    return {"net": 1, "fee": 0.5, "total": 1.5}


@register("fee", "hangs-on-1001")
def hangs(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    while amounts["net"] == 1001:
        pass
    return amounts


@register("fee", "eats-memory-on-1001")
def eats_memory(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    eaten = []
    while amounts["net"] == 1001:
        eaten.append(bytearray(50_000_000))
    return amounts


@register("fee", "dies-on-1001")
def dies(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    if amounts["net"] == 1001:
        os.kill(os.getpid(), signal.SIGSEGV)
    return amounts


class _Explaining:
    """Two percent, told line by line, each class in its own way."""

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        return _amounts(inputs, scale, 2)


@register("fee", "explaining")
class Explaining(_Explaining):
    def explain(self, inputs: Inputs, scale: int) -> list[Step]:
        amounts = _amounts(inputs, scale, 2)
        return [Step("Net", amounts["net"]), Step("Fee", amounts["fee"], "2 % of the net amount")]


@register("fee", "explaining-fractions")
class ExplainingFractions(_Explaining):
    def explain(self, inputs: Inputs, scale: int) -> list[Any]:
        return [("Net", 0.5)]


@register("fee", "explaining-for-ever")
class ExplainingForEver(_Explaining):
    def explain(self, inputs: Inputs, scale: int) -> list[Step]:
        while True:
            pass


@register("fee", "explaining-at-length")
class ExplainingAtLength(_Explaining):
    def explain(self, inputs: Inputs, scale: int) -> list[Step]:
        amounts = _amounts(inputs, scale, 2)
        return [Step("Unit", 1)] * amounts["total"]


@register("fee", "with-tip")
def with_tip(inputs: Inputs, scale: int) -> Amounts:
    amounts = _amounts(inputs, scale, 2)
    return {"net": amounts["net"], "fee": amounts["fee"], "tip": 5, "total": amounts["total"] + 5}
