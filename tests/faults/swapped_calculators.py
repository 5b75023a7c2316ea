"""The target that was approved, at the same version, with other code: what a deploy between approval and apply may bring."""

from transactions.calculators import register
from transactions.calculators.protocol import Amounts, Inputs
from transactions.money import parse_amount


@register("fee", "1.0.0")
def one_percent(inputs: Inputs, scale: int) -> Amounts:
    net = parse_amount(inputs["net"], scale)
    return {"net": net, "fee": net // 100, "total": net + net // 100}


@register("fee", "2.0.0")
def no_longer_two_percent(inputs: Inputs, scale: int) -> Amounts:
    net = parse_amount(inputs["net"], scale)
    return {"net": net, "fee": net * 9 // 100, "total": net + net * 9 // 100}
