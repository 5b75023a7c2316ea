"""A cheap, exact calculator, so that a measurement shows the engine and not a calculator.

It knows the orders that the benchmark makes: an order-wide discount in whole percent, no discounts of lines. Anything else raises, and
would show as failed rows.
"""

from transactions.calculators import register
from transactions.calculators.pricing.tax_rates import COUNTRIES
from transactions.calculators.protocol import Amounts, Batch, Inputs, Result

LEAN_VERSION = "2.0.0+lean"


@register("pricing", LEAN_VERSION)
class LeanPricing:
    """Tax after the order's discount, rounded half up once an order, in whole numbers throughout."""

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        """The order's amounts in smallest units. Raises `ValueError` and `KeyError` for orders of another kind."""
        rate = COUNTRIES[inputs["country"]].tax_rate
        discount = inputs["discount"]
        if discount["kind"] != "percent":
            raise ValueError("Only discounts in percent are known here.")
        percent = int(discount["value"])
        shipping = _units(inputs["shipping"], scale)
        subtotal = 0
        for line in inputs["lines"]:
            subtotal += int(line["quantity"]) * _units(line["unit_price"], scale)
        off = (subtotal * percent + 50) // 100
        tax = ((subtotal - off + shipping) * rate + 50_000) // 100_000
        return {
            "subtotal": subtotal,
            "discount": -off,
            "shipping": shipping,
            "tax": tax,
            "total": subtotal - off + shipping + tax,
        }

    def calculate_many(self, batch: Batch) -> list[Result]:
        """`calculate` for one row after the other."""
        calculate = self.calculate
        return [calculate(inputs, scale) for inputs, scale in batch]


def _units(text: str, scale: int) -> int:
    if text[~scale] != ".":
        raise ValueError(f"“{text}” does not have {scale} digits after the point.")
    return int(text.replace(".", ""))
