"""Where the demo's shops sell: the currency that each country's orders are kept in, and its standard rate of
tax.
"""

from collections.abc import Mapping
from typing import NamedTuple

RATE_UNIT = 100_000
"""Rates are counted in thousandths of a percent: 8 875 is 8.875 %."""


class Country(NamedTuple):
    """An ISO 4217 currency, and a rate of tax in `RATE_UNIT`."""

    currency: str
    tax_rate: int


COUNTRIES: Mapping[str, Country] = {
    "CA": Country("CAD", 5_000),
    "CH": Country("CHF", 8_100),
    "DE": Country("EUR", 19_000),
    "ES": Country("EUR", 21_000),
    "FR": Country("EUR", 20_000),
    "GB": Country("GBP", 20_000),
    "IE": Country("EUR", 23_000),
    "JP": Country("JPY", 10_000),
    "KW": Country("KWD", 0),
    "NL": Country("EUR", 21_000),
    "SE": Country("SEK", 25_000),
    "US": Country("USD", 8_875),
}
"""By ISO 3166-1 alpha-2 code: 12 countries, 8 currencies."""
