"""What every release of `pricing` answers with, whichever way it came to the tax."""

from transactions.calculators.pricing.order import Order
from transactions.calculators.pricing.tax_rates import RATE_UNIT
from transactions.calculators.protocol import Amounts, Step


def amounts(order: Order, discount: int, tax: int) -> Amounts:
    """The components; `discount` is what is taken off, not negative, and counts as negative in the total."""
    subtotal = sum(order.prices)
    return {
        "subtotal": subtotal,
        "discount": -discount,
        "shipping": order.shipping,
        "tax": tax,
        "total": subtotal - discount + order.shipping + tax,
    }


def steps(order: Order, discount: int, tax: int, *, taxed: str) -> list[Step]:
    """The same as `amounts`, line by line, for people; `taxed` says what the tax was taken on."""
    found = [
        Step(f"Line {number}", price, "at full price") for number, price in enumerate(order.prices, start=1)
    ]
    of_lines = sum(order.line_discounts)
    if of_lines:
        found.append(Step("Discounts of lines", -of_lines))
    if discount != of_lines:
        found.append(Step("Discount of the order", of_lines - discount))
    if order.shipping:
        found.append(Step("Shipping", order.shipping))
    found.append(Step("Tax", tax, f"{percent(order.tax_rate)} on {taxed}"))
    return found


def percent(rate: int) -> str:
    """A rate in `RATE_UNIT` for people: 8875 is "8.875 %", 20000 is "20 %"."""
    whole, thousandths = divmod(rate * 100, RATE_UNIT)
    fraction = f".{thousandths:05d}".rstrip("0") if thousandths else ""
    return f"{whole}{fraction} %"
