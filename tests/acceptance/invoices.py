"""Online Retail's invoices as the files have them, and what both releases must make of them: from lines, in decimals."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.acceptance.real_data import records

FILES = (
    "online_retail_train_2010-12_2011-02.csv.gz",
    "online_retail_train_2011-03_2011-05.csv.gz",
    "online_retail_train_2011-06_2011-08.csv.gz",
)
PENNY = Decimal("0.01")
VAT = Decimal("0.20")


@dataclass
class Invoice:
    """An invoice: when its first line was written, where its customer is, and what each line costs."""

    at: datetime
    country: str
    prices: list[Decimal] = field(default_factory=list)

    @property
    def line_by_line(self) -> dict[str, int]:
        """What release 1.0.0 makes of it, in pennies: every line rounded and taxed by itself."""
        goods = sum((_rounded(price) for price in self.prices), Decimal(0))
        vat = sum((_rounded(price * self._vat) for price in self.prices), Decimal(0))
        return _amounts(goods, vat)

    @property
    def at_once(self) -> dict[str, int]:
        """What release 2.0.0 makes of it, in pennies: added up exactly, taxed once, rounded once."""
        exact = sum(self.prices, Decimal(0))
        return _amounts(_rounded(exact), _rounded(exact * self._vat))

    @property
    def _vat(self) -> Decimal:
        return VAT if self.country == "United Kingdom" else Decimal(0)


def invoices(folder: Path, files: tuple[str, ...] = FILES) -> dict[str, Invoice]:
    """Every invoice in those files, by its number."""
    found: dict[str, Invoice] = {}
    for file in files:
        for _, line in records(folder / "online_retail" / file):
            at = datetime.fromisoformat(line["InvoiceDate"]).replace(tzinfo=ZoneInfo("Europe/London"))
            invoice = found.setdefault(line["InvoiceNo"], Invoice(at, line["Country"]))
            invoice.prices.append(Decimal(line["Quantity"]) * Decimal(line["UnitPrice"]))
    return found


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(PENNY, ROUND_HALF_UP)


def _amounts(goods: Decimal, vat: Decimal) -> dict[str, int]:
    return {"goods": int(goods * 100), "vat": int(vat * 100), "total": int((goods + vat) * 100)}
