"""Calculators that misbehave in the campaign, beside those of `tests.remediation.calculators`."""

from typing import Any

from transactions.calculators import register
from transactions.calculators.protocol import Amounts, Inputs
from transactions.money import parse_amount


@register("fee", "raises-on-3-percent")
def raises(inputs: Inputs, scale: int) -> Amounts:
    net = parse_amount(inputs["net"], scale)
    if net % 33 == 0:
        raise ZeroDivisionError("One in thirty-three.")
    return {"net": net, "fee": net * 2 // 100, "total": net + net * 2 // 100}


@register("fee", "not-a-number")
def answers_nan(inputs: Inputs, scale: int) -> dict[str, Any]:
    return {"net": 1, "fee": float("nan"), "total": float("nan")}
