"""Calculators of the real data in ../shared/data, as a user would add their own
(AMENDS_CALCULATORS=tests.real_data.calculators).

What their mappings give, and what their amounts are called (a preview compares whole amounts, so a mapping
that reports amounts must name exactly these components):

`taxi-sum` 1.0.0, 2.0.0, USD at scale 2
    inputs: vendor, fare, extra, mta_tax, tip, tolls, improvement, congestion (texts as in the file; empty
    ones as "0")
    amounts: fare, extra, mta_tax, tip, tolls, improvement, congestion, total
`retail-invoice` 1.0.0, 2.0.0, GBP at scale 2
    inputs: country (the file's name for it), lines: a list of {quantity, unit_price} and whatever else is
    wanted
    amounts: goods, vat, total
`purchase-order` 1.0.0, USD at scale 4
    inputs: subtotal
    amounts: subtotal, tax, freight, total
"""

from transactions.calculators import Amounts, Inputs, register
from transactions.money import divide_half_up, parse_amount

TAXI_COMPONENTS = ("fare", "extra", "mta_tax", "tip", "tolls", "improvement", "congestion")

VENDOR_WITH_CONGESTION_IN_EXTRA = "1"
"""Its meters print the congestion surcharge once more in a column of its own, and charge it once."""


@register("taxi-sum", "1.0.0")
def sum_of_all_components(inputs: Inputs, scale: int) -> Amounts:
    """The total is the sum of all seven components, whoever's meter it was."""
    amounts = {name: parse_amount(inputs[name], scale) for name in TAXI_COMPONENTS}
    amounts["total"] = sum(amounts.values())
    return amounts


@register("taxi-sum", "2.0.0")
def sum_as_the_vendor_counts(inputs: Inputs, scale: int) -> Amounts:
    """The same, but where `extra` holds the congestion surcharge already it is not added again."""
    amounts = sum_of_all_components(inputs, scale)
    if inputs["vendor"] == VENDOR_WITH_CONGESTION_IN_EXTRA:
        amounts["total"] -= amounts["congestion"]
    return amounts


UK_VAT_PERCENT = 20
TAXED_COUNTRY = "United Kingdom"
"""Exports are zero-rated."""
PRICE_SCALE = 4
"""Some unit prices are finer than a penny (0.001)."""


def _line_prices(inputs: Inputs) -> list[int]:
    """Quantity × unit price of each line, in units of 10^-PRICE_SCALE. Negative on cancellations and
    adjustments.
    """
    return [
        parse_amount(line["quantity"], 0) * parse_amount(line["unit_price"], PRICE_SCALE)
        for line in inputs["lines"]
    ]


def _vat(taxable: int, divisor: int, country: str) -> int:
    """VAT in smallest units on `taxable`, of which `divisor` make one smallest unit."""
    return divide_half_up(taxable * UK_VAT_PERCENT, 100 * divisor) if country == TAXED_COUNTRY else 0


@register("retail-invoice", "1.0.0")
def vat_rounded_line_by_line(inputs: Inputs, scale: int) -> Amounts:
    """Every line is rounded and taxed by itself: halves of a penny add up over hundreds of lines."""
    divisor = 10 ** (PRICE_SCALE - scale)
    prices = _line_prices(inputs)
    goods = sum(divide_half_up(price, divisor) for price in prices)
    vat = sum(_vat(price, divisor, inputs["country"]) for price in prices)
    return {"goods": goods, "vat": vat, "total": goods + vat}


@register("retail-invoice", "2.0.0")
def vat_rounded_once(inputs: Inputs, scale: int) -> Amounts:
    """The invoice is added up exactly, taxed once and rounded once."""
    divisor = 10 ** (PRICE_SCALE - scale)
    exact = sum(_line_prices(inputs))
    goods = divide_half_up(exact, divisor)
    vat = _vat(exact, divisor, inputs["country"])
    return {"goods": goods, "vat": vat, "total": goods + vat}


@register("purchase-order", "1.0.0")
def tax_and_freight_of_subtotal(inputs: Inputs, scale: int) -> Amounts:
    """Tax is 8 % and freight 2.5 % of the subtotal, halves rounded up."""
    subtotal = parse_amount(inputs["subtotal"], scale)
    tax = divide_half_up(subtotal * 8, 100)
    freight = divide_half_up(subtotal * 25, 1000)
    return {"subtotal": subtotal, "tax": tax, "freight": freight, "total": subtotal + tax + freight}
