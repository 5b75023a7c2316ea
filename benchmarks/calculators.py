"""A cheap, exact calculator, so that a measurement shows the engine and not a calculator.

It knows the orders that the benchmark makes: an order-wide discount in whole percent, no discounts of lines. Anything else raises, and
would show as failed rows.
"""

from transactions.calculators import register
from transactions.calculators.pricing.tax_rates import COUNTRIES
from transactions.calculators.protocol import Amounts, Batch, CalculationFailure, Inputs, Result

LEAN_VERSION = "2.0.0+lean"


@register("pricing", LEAN_VERSION)
class LeanPricing:
    """Tax after the order's discount, rounded half up once an order, in whole numbers throughout."""

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        """The order's amounts in smallest units. Raises `ValueError` and `KeyError` for orders of another kind."""
        (amounts,) = self.calculate_many([(inputs, scale)])
        assert not isinstance(amounts, CalculationFailure)
        return amounts

    def calculate_many(self, batch: Batch) -> list[Result]:
        """`calculate` for one row after the other."""
        answers: list[Result] = []
        for inputs, scale in batch:
            discount = inputs["discount"]
            if discount["kind"] != "percent":
                raise ValueError("Only discounts in percent are known here.")
            point = ~scale
            subtotal = 0
            for line in inputs["lines"]:
                price = line["unit_price"]
                if price[point] != ".":
                    raise ValueError(f"“{price}” does not have {scale} digits after the point.")
                subtotal += int(line["quantity"]) * int(price.replace(".", ""))
            shipped = inputs["shipping"]
            if shipped[point] != ".":
                raise ValueError(f"“{shipped}” does not have {scale} digits after the point.")
            shipping = int(shipped.replace(".", ""))
            off = (subtotal * int(discount["value"]) + 50) // 100
            net = subtotal - off + shipping
            tax = (net * COUNTRIES[inputs["country"]].tax_rate + 50_000) // 100_000
            answers.append(
                {"subtotal": subtotal, "discount": -off, "shipping": shipping, "tax": tax, "total": net + tax}
            )
        return answers
