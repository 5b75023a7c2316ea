"""Tax on what is paid: each line after its discounts, and shipping, each rounded by itself."""

from transactions.calculators.pricing import invoice
from transactions.calculators.pricing.order import Order, read_order
from transactions.calculators.pricing.tax_rates import RATE_UNIT
from transactions.calculators.protocol import Amounts, Inputs, Step
from transactions.calculators.registry import register
from transactions.money import divide_half_up


@register("pricing", "2.0.0")
class Pricing:
    """See the package for inputs and amounts."""

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        """The order's amounts in smallest units. Raises `OrderRefused` and `MoneyError`."""
        order = read_order(inputs, scale)
        return invoice.amounts(order, *_discount_and_tax(order))

    def explain(self, inputs: Inputs, scale: int) -> list[Step]:
        """How the total came about. Raises as `calculate` does."""
        order = read_order(inputs, scale)
        discount, tax = _discount_and_tax(order)
        return invoice.steps(order, discount, tax, taxed="each line after discount, and shipping")


def _discount_and_tax(order: Order) -> tuple[int, int]:
    off_by_line = order.order_discount_by_line()
    tax = divide_half_up(order.shipping * order.tax_rate, RATE_UNIT)
    for left, off in zip(order.after_line_discounts, off_by_line, strict=True):
        tax += divide_half_up((left - off) * order.tax_rate, RATE_UNIT)
    return sum(order.line_discounts) + sum(off_by_line), tax
