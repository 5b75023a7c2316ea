"""`pricing`: what an order of a web shop comes to. The calculator of the demo, and the example to copy.

Inputs, as JSON; every number is a decimal text of currency units or plain units:

    {"country": "DE",
     "lines": [{"sku": "MUG", "quantity": "2", "unit_price": "19.99", "discount": "10"}, …],
     "discount": {"kind": "percent", "value": "5"},       or {"kind": "amount", "value": "3.00"}
     "shipping": "4.99"}

A line's `discount` is in percent; it, the order's `discount` and `shipping` may be left out. Prices are
without tax.

Amounts: `subtotal` (all lines at full price), `discount` (0 or negative), `shipping`, `tax`, and `total`,
their sum.

The releases differ in what is taxed and where it is rounded, which is how releases go wrong:

| release | tax on | rounded |
|---|---|---|
| 1.8.0 | full prices, shipping untaxed | once an order |
| 1.9.0 | full prices and shipping | once an order |
| 2.0.0 | prices after discount, and shipping | each line |
"""

from transactions.calculators.pricing import v1_8_0, v1_9_0, v2_0_0

__all__ = ["v1_8_0", "v1_9_0", "v2_0_0"]
