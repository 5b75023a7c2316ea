"""The demo's transactions: the same ones everywhere, as many as promised, and wrong exactly where the story says."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise

import pytest

from backoffice.demo.generator import (
    BEGIN,
    DAYS,
    ROLLED_BACK,
    ROLLED_FORWARD,
    UPGRADE,
    UPGRADE_OF_PAYMENTS,
    DemoTransaction,
    generate,
    version_at,
)
from transactions.calculators import calculator
from transactions.canonical import canonical_json
from transactions.money import currency_exponent, format_amount


def text_of(order: DemoTransaction) -> bytes:
    """All of an order, in one spelling."""
    fields = (order.reference, *order.shop, order.currency, str(order.scale), order.occurred_at.isoformat())
    made = (order.service, order.version, order.calculated_at.isoformat(), canonical_json(order.amounts))
    return "|".join((*fields, canonical_json(order.inputs), *made)).encode()


def digest(orders: list[DemoTransaction]) -> str:
    return sha256(b"\n".join(text_of(order) for order in orders)).hexdigest()


@pytest.fixture(scope="module")
def orders() -> list[DemoTransaction]:
    """A tenth of the demo: 20,000 orders at 2,000 stores."""
    return list(generate(transactions=20_000, stores=2_000))


def test_the_same_seed_gives_the_same_orders_on_every_machine(orders: list[DemoTransaction]) -> None:
    assert digest(orders) == "f538033f728ff62e9c915f3b63eee3997e65d17571cb88aa00041b90e253e544"


def test_another_seed_gives_other_orders(orders: list[DemoTransaction]) -> None:
    assert digest(list(generate(transactions=20_000, stores=2_000, seed=1))) != digest(orders)


def test_twelve_countries_and_eight_currencies_each_with_its_own_smallest_unit(
    orders: list[DemoTransaction],
) -> None:
    scales = {order.currency: order.scale for order in orders}
    assert len({order.shop.country for order in orders}) == 12
    assert scales == {currency: currency_exponent(currency) for currency in scales}
    assert len(scales) == 8
    assert (scales["JPY"], scales["KWD"]) == (0, 3)


def test_every_store_sells_and_busy_ones_more(orders: list[DemoTransaction]) -> None:
    sales = Counter(order.shop for order in orders)
    assert len(orders) == 20_000
    assert len(sales) == len({shop.reference for shop in sales}) == 2_000
    assert max(sales.values()) > 20 * min(sales.values())


def test_thirty_days_in_order_of_time_and_all_of_them_past(orders: list[DemoTransaction]) -> None:
    assert all(before.occurred_at <= after.occurred_at for before, after in pairwise(orders))
    assert {(order.occurred_at - BEGIN).days for order in orders} == set(range(DAYS))
    assert all(
        timedelta(0) < order.calculated_at - order.occurred_at < timedelta(seconds=3) for order in orders
    )
    assert orders[-1].calculated_at < datetime.now(UTC)


def test_every_amount_is_what_the_release_that_ran_then_answers(orders: list[DemoTransaction]) -> None:
    for order in orders:
        assert order.version == version_at(order.service, order.calculated_at)
        release = calculator("pricing", order.version)
        assert order.amounts == release.calculate(order.inputs, order.scale), order.reference


@pytest.mark.parametrize(
    ("service", "version", "begin", "end"),
    [
        ("payments", "1.9.0", UPGRADE, UPGRADE_OF_PAYMENTS),
        ("invoicing", "1.8.0", ROLLED_BACK, ROLLED_FORWARD),
    ],
)
def test_after_the_upgrade_only_the_two_incidents_are_wrong(
    orders: list[DemoTransaction], service: str, version: str, begin: datetime, end: datetime
) -> None:
    target = calculator("pricing", "2.0.0")
    wrong = [
        order
        for order in orders
        if order.calculated_at >= UPGRADE and order.amounts != target.calculate(order.inputs, order.scale)
    ]
    inside = [order for order in wrong if order.service == service]
    assert {order.service for order in wrong} == {"payments", "invoicing"}
    assert inside
    assert all(begin <= order.calculated_at < end and order.version == version for order in inside)


def test_forty_one_hours() -> None:
    assert timedelta(hours=41) == UPGRADE_OF_PAYMENTS - UPGRADE


def test_orders_are_of_every_kind_that_the_releases_treat_differently(orders: list[DemoTransaction]) -> None:
    kinds = Counter(order.inputs.get("discount", {}).get("kind", "none") for order in orders)
    assert set(kinds) == {"none", "percent", "amount"}
    assert {len(order.inputs["lines"]) for order in orders} == {1, 2, 3, 4, 5}
    assert any("discount" in line for order in orders for line in order.inputs["lines"])
    assert {"shipping" in order.inputs for order in orders} == {True, False}


def test_amounts_are_texts_of_the_currency_that_the_order_is_kept_in(orders: list[DemoTransaction]) -> None:
    for order in orders[:2000]:
        price = order.inputs["lines"][0]["unit_price"]
        digits = len(price.partition(".")[2])
        assert digits == order.scale, format_amount(order.amounts["total"], order.scale)


def test_shops_sleep_and_sell_most_in_their_own_evening(orders: list[DemoTransaction]) -> None:
    japanese = Counter(order.occurred_at.hour for order in orders if order.shop.country == "JP")
    german = Counter(order.occurred_at.hour for order in orders if order.shop.country == "DE")
    assert german[18] > 5 * german[2]
    assert japanese[10] > 5 * japanese[18]
