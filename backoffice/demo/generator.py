"""The demo's transactions: 30 days of orders, and what each service's release of `pricing` made of them.

The same seed gives the same transactions, byte for byte, on every machine: all chance comes from `random.Random(seed).random()`
and becomes choices by multiplication alone (no logarithm, whose last digit is the machine's own), and the days are fixed ones
in the past, since a calculation may not lie in the future.

What went wrong: `checkout` and `invoicing` were upgraded from pricing 1.9.0 to 2.0.0 at `UPGRADE`; `payments` was forgotten and
followed 41 hours later. A week on, a rollout put `invoicing` back to 1.8.0 for nine hours.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from backoffice.demo.shops import HOURS, MARKETS, WEEKDAYS, PriceList, Shop, Shops, open_shops
from transactions.calculators import Amounts, CalculationFailure, Inputs, calculator, run
from transactions.calculators.pricing.tax_rates import COUNTRIES
from transactions.money import currency_exponent, share_out

SEED = 20_260_320
CALCULATOR = "pricing"
SOURCE = "web-shops"

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""
DAYS = 30
UPGRADE = datetime(2026, 3, 20, 9, tzinfo=UTC)
"""A Friday."""
UPGRADE_OF_PAYMENTS = UPGRADE + timedelta(hours=41)
ROLLED_BACK = datetime(2026, 3, 26, 13, tzinfo=UTC)
ROLLED_FORWARD = ROLLED_BACK + timedelta(hours=9)

ROLLOUTS: dict[str, tuple[tuple[datetime, str], ...]] = {
    "checkout": ((BEGIN, "1.9.0"), (UPGRADE, "2.0.0")),
    "payments": ((BEGIN, "1.9.0"), (UPGRADE_OF_PAYMENTS, "2.0.0")),
    "invoicing": ((BEGIN, "1.9.0"), (UPGRADE, "2.0.0"), (ROLLED_BACK, "1.8.0"), (ROLLED_FORWARD, "2.0.0")),
}
"""By service: since when it ran which version of `pricing`."""

# Each choice is one of a hundred, or of as many as there are.
_SERVICES = ("payments",) * 50 + ("checkout",) * 38 + ("invoicing",) * 12
_LINES = (1,) * 42 + (2,) * 27 + (3,) * 17 + (4,) * 9 + (5,) * 5
_QUANTITIES = ("1",) * 78 + ("2",) * 14 + ("3",) * 5 + ("4", "6", "8")
_BULK_QUANTITIES = ("5", "10", "10", "12", "20", "24", "25", "40", "50", "100")
_PERCENTAGES = ("5", "10", "10", "15", "20", "25", "33.3")
_LINE_DISCOUNT, _PERCENT_DISCOUNT, _VOUCHER, _SHIPPED = 0.14, 0.16, 0.24, 0.62

_HOUR_US = 3_600_000_000
_SHORTEST_US, _LONGEST_US = 40_000, 2_500_000
"""How long after an order its service has calculated it, in microseconds."""

Chance = Callable[[], float]


class DemoTransaction(NamedTuple):
    """An order, and the amounts that the release its service ran then made of it, in smallest units."""

    reference: str
    shop: Shop
    currency: str
    scale: int
    occurred_at: datetime
    inputs: Inputs
    service: str
    version: str
    calculated_at: datetime
    amounts: Amounts


class DemoOrderRefused(RuntimeError):
    """A release of `pricing` cannot calculate an order that the generator made: one of the two is broken."""


def generate(
    *, transactions: int = 200_000, stores: int = 20_000, seed: int = SEED
) -> Iterator[DemoTransaction]:
    """`transactions` orders at `stores` stores, in the order of their times. Keeps one hour of them at a time.

    With ten orders a store, as by default, every store has some. Raises `DemoOrderRefused`.
    """
    chance = Random(seed).random  # noqa: S311 (made-up orders, no secret)
    shops = open_shops(stores, chance)
    pick = _StorePicker(shops, chance, every=max(transactions * 4 // (stores * 5), 1))
    number = 0
    for hour, counts in enumerate(_orders_by_hour(transactions)):
        begin = BEGIN + timedelta(hours=hour)
        moments = sorted(
            (int(chance() * _HOUR_US), country)
            for country, count in zip(MARKETS, counts, strict=True)
            for _ in range(count)
        )
        orders = [
            _order(begin, microsecond, pick(country), shops, number + index, chance)
            for index, (microsecond, country) in enumerate(moments, 1)
        ]
        number += len(orders)
        yield from _calculated(orders)


def version_at(service: str, moment: datetime) -> str:
    """The version of `pricing` that `service` ran at `moment`."""
    return next(version for since, version in reversed(ROLLOUTS[service]) if since <= moment)


def _orders_by_hour(transactions: int) -> list[list[int]]:
    """How many orders come in each hour, by market: shops sleep, and sell most in the evening and on Saturdays."""
    weights = []
    for hour in range(DAYS * 24):
        for market in MARKETS.values():
            local = BEGIN + timedelta(hours=hour + market.utc_offset)
            weights.append(market.share * HOURS[local.hour] * WEEKDAYS[local.weekday()])
    shares = share_out(transactions, weights)
    return [shares[start : start + len(MARKETS)] for start in range(0, len(shares), len(MARKETS))]


class _StorePicker:
    """Picks busy stores more often; one order in `every` goes to the next store in turn, so that none is left out."""

    def __init__(self, shops: Shops, chance: Chance, *, every: int) -> None:
        self._shops, self._chance, self._every = shops.by_country, chance, every
        self._orders = dict.fromkeys(MARKETS, 0)

    def __call__(self, country: str) -> Shop:
        shops = self._shops[country]
        nth = self._orders[country]
        self._orders[country] = nth + 1
        turn, left = divmod(nth, self._every)
        if left == 0:
            return shops[turn % len(shops)]
        return shops[int(len(shops) * self._chance() * self._chance())]


def _order(
    begin: datetime, microsecond: int, shop: Shop, shops: Shops, number: int, chance: Chance
) -> DemoTransaction:
    currency = COUNTRIES[shop.country].currency
    service = _SERVICES[int(chance() * 100)]
    occurred_at = begin + timedelta(microseconds=microsecond)
    calculated_at = occurred_at + timedelta(
        microseconds=_SHORTEST_US + int(chance() * chance() * (_LONGEST_US - _SHORTEST_US))
    )
    return DemoTransaction(
        reference=f"order-{number:07d}",
        shop=shop,
        currency=currency,
        scale=currency_exponent(currency),
        occurred_at=occurred_at,
        inputs=_inputs(shop.country, shops.price_lists[currency], service == "invoicing", chance),
        service=service,
        version=version_at(service, calculated_at),
        calculated_at=calculated_at,
        amounts={},
    )


def _inputs(country: str, prices: PriceList, bulk: bool, chance: Chance) -> Inputs:
    quantities = _BULK_QUANTITIES if bulk else _QUANTITIES
    products = prices.products
    lines: list[dict[str, str]] = []
    for _ in range(_LINES[int(chance() * 100)]):
        sku, unit_price = products[int(len(products) * chance() * chance())]
        line = {"sku": sku, "quantity": quantities[int(chance() * len(quantities))], "unit_price": unit_price}
        if chance() < _LINE_DISCOUNT:
            line["discount"] = _one_of(_PERCENTAGES, chance)
        lines.append(line)
    inputs: dict[str, Any] = {"country": country, "lines": lines}
    discounted = chance()
    if discounted < _PERCENT_DISCOUNT:
        inputs["discount"] = {"kind": "percent", "value": _one_of(_PERCENTAGES, chance)}
    elif discounted < _VOUCHER:
        inputs["discount"] = {"kind": "amount", "value": _one_of(prices.vouchers, chance)}
    if chance() < _SHIPPED:
        inputs["shipping"] = _one_of(prices.shipping, chance)
    return inputs


def _one_of(choices: tuple[str, ...], chance: Chance) -> str:
    return choices[int(chance() * len(choices))]


def _calculated(orders: list[DemoTransaction]) -> Iterator[DemoTransaction]:
    """The orders with their amounts, in the same order; each version is asked once for all of its orders."""
    answers = {
        version: iter(
            run(
                calculator(CALCULATOR, version),
                [(order.inputs, order.scale) for order in orders if order.version == version],
            )
        )
        for version in sorted({order.version for order in orders})
    }
    for order in orders:
        answer = next(answers[order.version])
        if isinstance(answer, CalculationFailure):
            raise DemoOrderRefused(f"pricing {order.version} refuses {order.reference}: {answer.reason}")
        yield order._replace(amounts=answer)
