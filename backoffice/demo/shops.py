"""The demo's stores and what they sell: where, how many, when, and at what prices."""

from collections.abc import Callable
from typing import NamedTuple

from transactions.calculators.pricing.tax_rates import COUNTRIES
from transactions.money import currency_exponent, format_amount, share_out


class Market(NamedTuple):
    """A country's part of all stores and orders in percent, and its clocks' distance from UTC in hours (winter time, all month)."""

    share: int
    utc_offset: int


MARKETS = {
    "US": Market(26, -5),
    "DE": Market(14, 1),
    "GB": Market(13, 0),
    "FR": Market(9, 1),
    "JP": Market(9, 9),
    "CA": Market(7, -5),
    "ES": Market(6, 1),
    "NL": Market(5, 1),
    "SE": Market(4, 1),
    "CH": Market(3, 1),
    "IE": Market(2, 0),
    "KW": Market(2, 3),
}

UNITS_PER_EURO = {
    "EUR": 100,
    "USD": 110,
    "GBP": 86,
    "CAD": 150,
    "CHF": 95,
    "SEK": 1130,
    "JPY": 162,
    "KWD": 336,
}
"""Smallest units that a euro of list price is sold for: a price level, not a rate of exchange."""

HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 13, 17, 20, 22, 24, 22, 20, 20, 21, 23, 26, 29, 30, 24, 14, 6)
"""Orders in each hour of the day by the shop's own clock, as parts of each other."""
WEEKDAYS = (100, 96, 98, 104, 118, 131, 112)
"""The same for the days of the week, Monday first."""

_FIRST = (
    "Amber",
    "Birch",
    "Blue",
    "Cedar",
    "Clover",
    "Copper",
    "Coral",
    "Ember",
    "Fern",
    "Golden",
    "Hazel",
    "Indigo",
    "Ivory",
    "Jade",
)
_SECOND = (
    "Anchor",
    "Arrow",
    "Bridge",
    "Fox",
    "Gate",
    "Heron",
    "Hill",
    "Lane",
    "Lantern",
    "Mill",
    "Orchard",
    "Owl",
    "Quay",
    "River",
)
_TRADES = (
    "Books",
    "Coffee",
    "Cycles",
    "Deli",
    "Flowers",
    "Games",
    "Home",
    "Music",
    "Outdoor",
    "Paper",
    "Shoes",
    "Tea",
    "Tools",
    "Toys",
)

_PRODUCTS = 480
_VOUCHERS = (300, 500, 1000, 1500)
_SHIPPING = (290, 390, 490, 690, 990)


class Shop(NamedTuple):
    """A store as its transactions name it."""

    reference: str
    name: str
    country: str


class PriceList(NamedTuple):
    """What an order in one currency is made of, as the decimal texts that its source writes."""

    products: tuple[tuple[str, str], ...]
    """(sku, unit price)"""
    vouchers: tuple[str, ...]
    shipping: tuple[str, ...]


class Shops(NamedTuple):
    """The stores of every market, the busiest first, and the price list of every currency."""

    by_country: dict[str, list[Shop]]
    price_lists: dict[str, PriceList]


def open_shops(count: int, random: Callable[[], float]) -> Shops:
    """`count` stores, shared out over the markets; `random` gives parts of 1, and the same ones give the same stores."""
    counts = share_out(count, [market.share for market in MARKETS.values()])
    by_country: dict[str, list[Shop]] = {}
    opened = 0
    for country, of_country in zip(MARKETS, counts, strict=True):
        by_country[country] = [
            Shop(f"store-{number:05d}", _name(random), country)
            for number in range(opened + 1, opened + of_country + 1)
        ]
        opened += of_country
    # Most products are cheap, and a few are dear.
    euro_cents = [199 + 10 * int(4200 * random() * random() * random() * random()) for _ in range(_PRODUCTS)]
    currencies = sorted({country.currency for country in COUNTRIES.values()})
    return Shops(by_country, {currency: _price_list(euro_cents, currency) for currency in currencies})


def _name(random: Callable[[], float]) -> str:
    return " ".join(words[int(random() * len(words))] for words in (_FIRST, _SECOND, _TRADES))


def _price_list(euro_cents: list[int], currency: str) -> PriceList:
    return PriceList(
        tuple((f"P{number:03d}", _text(cents, currency)) for number, cents in enumerate(euro_cents, 1)),
        tuple(_text(cents, currency) for cents in _VOUCHERS),
        tuple(_text(cents, currency) for cents in _SHIPPING),
    )


def _text(euro_cents: int, currency: str) -> str:
    return format_amount(max(euro_cents * UNITS_PER_EURO[currency] // 100, 1), currency_exponent(currency))
