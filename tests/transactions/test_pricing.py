"""The shipped pricing releases, to the unit."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transactions.calculators import CalculationFailure, calculator, load, run
from transactions.calculators.pricing.tax_rates import COUNTRIES
from transactions.money import currency_exponent

load([])
VERSIONS = ("1.8.0", "1.9.0", "2.0.0")


def line(quantity: str, unit_price: str, **more: str) -> dict[str, str]:
    return {"sku": "MUG", "quantity": quantity, "unit_price": unit_price, **more}


def amounts(version: str, scale: int = 2, **inputs: Any) -> Any:
    return run(calculator("pricing", version), [(inputs, scale)])[0]


ORDER: dict[str, Any] = {
    "country": "DE",
    "lines": [line("2", "19.99"), line("1", "5.05", discount="10")],
    "discount": {"kind": "percent", "value": "5"},
    "shipping": "4.99",
}


@pytest.mark.parametrize(
    ("version", "discount", "tax", "total"),
    [
        # Full price 45.03. Off: 0.51 of the second line (0.505), then 5 % of 44.52 = 2.226.
        ("1.8.0", -274, 856, 5584),  # tax 19 % of 45.03 = 8.5557
        ("1.9.0", -274, 950, 5678),  # tax 19 % of 50.02 = 9.5038
        ("2.0.0", -274, 899, 5627),  # by line: 37.98 → 7.2162, 4.31 → 0.8189, shipping 4.99 → 0.9481
    ],
)
def test_the_releases_differ_in_what_they_tax(version: str, discount: int, tax: int, total: int) -> None:
    assert amounts(version, **ORDER) == {
        "subtotal": 4503,
        "discount": discount,
        "shipping": 499,
        "tax": tax,
        "total": total,
    }


def test_rounding_by_line_and_by_order_differ_without_any_discount() -> None:
    lines = [
        line("1", "0.04") for _ in range(5)
    ]  # 8.875 % of 0.04 is 0.00355: nothing by line, 0.02 for all.
    assert amounts("1.9.0", country="US", lines=lines)["tax"] == 2
    assert amounts("2.0.0", country="US", lines=lines)["tax"] == 0


def test_an_amount_off_is_shared_over_the_lines_to_the_last_unit() -> None:
    inputs: dict[str, Any] = {
        "country": "JP",
        "lines": [line("1", "100"), line("1", "100"), line("1", "100")],
        "discount": {"kind": "amount", "value": "100"},
    }
    # 34 + 33 + 33 off; 10 % of 66, 67 and 67 yen is 7 each.
    assert amounts("2.0.0", scale=0, **inputs) == {
        "subtotal": 300, "discount": -100, "shipping": 0, "tax": 21, "total": 221,
    }  # fmt: skip


def test_an_amount_off_is_never_more_than_the_goods() -> None:
    for version in VERSIONS:
        answer = amounts(version, country="KW", scale=3, lines=[line("1", "1.005")],
                         discount={"kind": "amount", "value": "9.000"}, shipping="0.250")  # fmt: skip
        assert answer == {"subtotal": 1005, "discount": -1005, "shipping": 250, "tax": 0, "total": 250}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"country": "XX"}, "no tax rate for the country “XX”"),
        ({"lines": []}, "no lines"),
        ({"lines": [line("-1", "5.00")]}, "negative price"),
        ({"lines": [line("1.5", "5.00")]}, "“1.5” has 1 digits after the point"),
        ({"lines": [line("1", "5.005")]}, "“5.005” has 3 digits"),
        ({"lines": [line("1", "5", discount="101")]}, "not between 0 and 100"),
        ({"lines": [{"quantity": "1"}]}, "no 'unit_price'"),
        ({"discount": {"kind": "gift", "value": "1"}}, "not percent or amount"),
        ({"discount": {"kind": "amount", "value": "-1"}}, "discount of -1 is negative"),
        ({"shipping": "-4.99"}, "shipping of -4.99 is negative"),
        ({"shipping": 4.99}, "not a text"),
        ({"shipping": "free"}, "“free” is not a plain decimal"),
        ({"lines": [line("9223372036854775807", "2")]}, "does not fit"),
    ],
)
def test_an_order_that_cannot_be_priced_is_refused_in_words(change: dict[str, Any], reason: str) -> None:
    for version in VERSIONS:
        answer = amounts(version, **{**ORDER, **change})
        assert isinstance(answer, CalculationFailure)
        assert reason in answer.reason


def test_there_are_twelve_countries_and_eight_currencies_of_all_three_exponents() -> None:
    currencies = {country.currency for country in COUNTRIES.values()}
    assert len(COUNTRIES) == 12
    assert len(currencies) == 8
    assert {currency_exponent(currency) for currency in currencies} == {0, 2, 3}


@st.composite
def orders(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[dict[str, Any], int]:
    country = draw(st.sampled_from(sorted(COUNTRIES)))
    scale = currency_exponent(COUNTRIES[country].currency)

    def decimal(largest: int) -> str:
        return str(Decimal(draw(st.integers(0, largest))).scaleb(-scale))

    percent = st.integers(0, 100_000).map(lambda thousandths: str(Decimal(thousandths) / 1000))
    lines = [
        line(
            str(draw(st.integers(0, 40))),
            decimal(10**7),
            **({"discount": draw(percent)} if draw(st.booleans()) else {}),
        )
        for _ in range(draw(st.integers(1, 5)))
    ]
    inputs: dict[str, Any] = {"country": country, "lines": lines}
    match draw(st.sampled_from(["", "percent", "amount"])):
        case "percent":
            inputs["discount"] = {"kind": "percent", "value": draw(percent)}
        case "amount":
            inputs["discount"] = {"kind": "amount", "value": decimal(10**8)}
    if draw(st.booleans()):
        inputs["shipping"] = decimal(10**5)
    return inputs, scale


def by_decimals(version: str, inputs: dict[str, Any], scale: int) -> dict[str, Decimal]:
    """The same rules once more, in decimals and from the table of the package's docstring."""
    unit, rate = Decimal(1).scaleb(-scale), Decimal(COUNTRIES[inputs["country"]].tax_rate) / 100_000

    def rounded(amount: Decimal) -> Decimal:
        return amount.quantize(unit, ROUND_HALF_UP)

    full = [Decimal(each["quantity"]) * Decimal(each["unit_price"]) for each in inputs["lines"]]
    left = [
        price - rounded(price * Decimal(each.get("discount", "0")) / 100)
        for price, each in zip(full, inputs["lines"], strict=True)
    ]
    discount, shipping = inputs.get("discount"), Decimal(inputs.get("shipping", "0"))
    if discount and discount["kind"] == "percent":
        share = Decimal(discount["value"]) / 100
        after = [price - rounded(price * share) for price in left]
        whole = sum(left, Decimal()) - rounded(sum(left, Decimal()) * share)
    else:
        off = min(Decimal(discount["value"]) if discount else Decimal(), sum(left, Decimal()))
        after, whole = left, sum(left) - off
        if off:
            exact = [price * off / sum(left, Decimal()) for price in left]
            down = [amount // unit * unit for amount in exact]
            spare = int((off - sum(down)) / unit)
            favoured = sorted(range(len(left)), key=lambda i: (down[i] - exact[i], i))[:spare]
            after = [left[i] - down[i] - (unit if i in favoured else 0) for i in range(len(left))]
    if version == "2.0.0":
        paid, tax = (
            sum(after, Decimal()),
            sum((rounded(price * rate) for price in after), rounded(shipping * rate)),
        )
    else:
        paid = whole
        tax = rounded((sum(full, Decimal()) + (shipping if version == "1.9.0" else 0)) * rate)
    return {
        "subtotal": sum(full, Decimal()), "discount": paid - sum(full, Decimal()), "shipping": shipping,
        "tax": tax,
        "total": paid + shipping + tax,
    }  # fmt: skip


@given(orders(), st.sampled_from(VERSIONS))
def test_every_order_agrees_with_the_rules_written_out_in_decimals(
    order: tuple[dict[str, Any], int], version: str
) -> None:
    inputs, scale = order
    answer = amounts(version, scale=scale, **inputs)
    expected = by_decimals(version, inputs, scale)
    assert answer == {name: int(amount.scaleb(scale)) for name, amount in expected.items()}
    assert answer["total"] == sum(amount for name, amount in answer.items() if name != "total")


@given(orders(), st.sampled_from(VERSIONS))
def test_the_steps_of_an_explanation_add_up_to_the_total(
    order: tuple[dict[str, Any], int], version: str
) -> None:
    explain = calculator("pricing", version).explain
    assert explain is not None
    steps = explain(*order)
    assert sum(step.amount for step in steps) == calculator("pricing", version).calculate(*order)["total"]
    assert len({step.name for step in steps}) == len(steps)


def test_an_explanation_names_its_steps_and_the_rate() -> None:
    explain = calculator("pricing", "2.0.0").explain
    assert explain is not None
    assert [(step.name, step.amount) for step in explain(ORDER, 2)] == [
        ("Line 1", 3998), ("Line 2", 505), ("Discounts of lines", -51), ("Discount of the order", -223),
        ("Shipping", 499), ("Tax", 899),
    ]  # fmt: skip
    assert explain(ORDER, 2)[-1].detail == "19 % on each line after discount, and shipping"
