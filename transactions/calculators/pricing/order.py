"""Reading an order: from the inputs' decimal texts to whole numbers, with every refusal in words."""

from typing import NamedTuple

from transactions.calculators.pricing.tax_rates import COUNTRIES
from transactions.calculators.protocol import Inputs
from transactions.money import divide_half_up, parse_amount, share_out

PERCENT_SCALE = 3
HUNDRED_PERCENT = 100_000
"""100 % with `PERCENT_SCALE` digits after the point."""


class OrderRefused(ValueError):
    """The inputs are not an order that can be priced. The message says what is wrong, for people."""


class Order(NamedTuple):
    """An order in whole numbers; amounts in the smallest unit of its scale."""

    tax_rate: int
    """In `tax_rates.RATE_UNIT`."""
    prices: list[int]
    """Quantity × unit price of each line, before any discount."""
    line_discounts: list[int]
    """What each line's own discount takes off, rounded half up a line. Not negative."""
    discount_rate: int
    """What the order's discount takes off what is left, in `HUNDRED_PERCENT`; 0 where it is an amount."""
    discount_amount: int
    """The order's discount where it is an amount, at most what is left; else 0."""
    shipping: int

    @property
    def subtotal(self) -> int:
        """All lines at full price."""
        return sum(self.prices)

    @property
    def after_line_discounts(self) -> list[int]:
        """What is left of each line's price after its own discount."""
        return [price - off for price, off in zip(self.prices, self.line_discounts, strict=True)]

    def order_discount(self) -> int:
        """What the order's discount takes off, rounded once for the whole order. Not negative."""
        if self.discount_rate:
            left = self.subtotal - sum(self.line_discounts)
            return divide_half_up(left * self.discount_rate, HUNDRED_PERCENT)
        return self.discount_amount

    def order_discount_by_line(self) -> list[int]:
        """What the order's discount takes off each line: rounded a line where it is a percentage, else shared
        out.
        """
        left = self.after_line_discounts
        if self.discount_rate:
            return [divide_half_up(price * self.discount_rate, HUNDRED_PERCENT) for price in left]
        return share_out(self.discount_amount, left) if self.discount_amount else [0] * len(left)


def read_order(inputs: Inputs, scale: int) -> Order:
    """The order in `inputs`, with `scale` digits after the point. Raises `OrderRefused` and `MoneyError`."""
    country = COUNTRIES.get(inputs["country"])
    if country is None:
        raise OrderRefused(f"There is no tax rate for the country “{inputs['country']}”.")
    prices: list[int] = []
    line_discounts: list[int] = []
    for line in inputs["lines"]:
        price = parse_amount(line["quantity"], 0) * parse_amount(line["unit_price"], scale)
        if price < 0:
            raise OrderRefused(f"The line {line.get('sku', len(prices) + 1)} has a negative price.")
        prices.append(price)
        line_discounts.append(
            divide_half_up(price * _percent(line["discount"]), HUNDRED_PERCENT) if "discount" in line else 0
        )
    if not prices:
        raise OrderRefused("The order has no lines.")
    discount_rate = discount_amount = 0
    if discount := inputs.get("discount"):
        if discount["kind"] == "percent":
            discount_rate = _percent(discount["value"])
        elif discount["kind"] == "amount":
            discount_amount = min(
                _not_negative("discount", discount["value"], scale), sum(prices) - sum(line_discounts)
            )
        else:
            raise OrderRefused(f"The discount's kind is “{discount['kind']}”, not percent or amount.")
    shipping = _not_negative("shipping", inputs["shipping"], scale) if "shipping" in inputs else 0
    return Order(country.tax_rate, prices, line_discounts, discount_rate, discount_amount, shipping)


def _percent(text: str) -> int:
    percent = parse_amount(text, PERCENT_SCALE)
    if not 0 <= percent <= HUNDRED_PERCENT:
        raise OrderRefused(f"A discount of {text} % is not between 0 and 100.")
    return percent


def _not_negative(what: str, text: str, scale: int) -> int:
    amount = parse_amount(text, scale)
    if amount < 0:
        raise OrderRefused(f"The {what} of {text} is negative.")
    return amount
