"""Tax on full prices and shipping, rounded once an order: discounts lower what is paid, and not what is
taxed.
"""

from transactions.calculators.pricing import invoice
from transactions.calculators.pricing.order import Order, read_order
from transactions.calculators.pricing.tax_rates import RATE_UNIT
from transactions.calculators.protocol import Amounts, Inputs, Step
from transactions.calculators.registry import register
from transactions.money import divide_half_up


@register("pricing", "1.9.0")
class Pricing:
    """See the package for inputs and amounts."""

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        """The order's amounts in smallest units. Raises `OrderRefused` and `MoneyError`."""
        order = read_order(inputs, scale)
        return invoice.amounts(order, _discount(order), _tax(order))

    def explain(self, inputs: Inputs, scale: int) -> list[Step]:
        """How the total came about. Raises as `calculate` does."""
        order = read_order(inputs, scale)
        return invoice.steps(order, _discount(order), _tax(order), taxed="full prices and shipping")


def _discount(order: Order) -> int:
    return sum(order.line_discounts) + order.order_discount()


def _tax(order: Order) -> int:
    return divide_half_up((order.subtotal + order.shipping) * order.tax_rate, RATE_UNIT)
