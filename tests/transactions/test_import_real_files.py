"""Real files imported whole; what stands is held against decimals read with nothing of the product's. tests/acceptance has the largest."""

import csv
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.commands import asked
from tests.conftest import PASSWORD, UserFactory
from transactions.models import PersonalData, Transaction

MAPPINGS = Path(__file__).parent.parent / "real_data"


@pytest.fixture(autouse=True)
def ada(db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> User:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return users("engineer", name="ada")


def imported(mapping: str, rejects: Path, *files: Path) -> dict[str, Any]:
    chosen = str(MAPPINGS / f"{mapping}.toml")
    return asked(
        *(
            "import_transactions",
            *map(str, files),
            "--mapping",
            chosen,
            "--rejects",
            str(rejects),
            "--as",
            "ada",
        )
    )


def records(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def standing() -> dict[str, tuple[Any, ...]]:
    """reference → (occurred_at, calculated_at, amounts, total) of what every transaction stands on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.reference, t.occurred_at, c.calculated_at, c.amounts::text, c.total FROM transactions_transaction t"
            " JOIN transactions_currentcalculation current ON current.transaction_id = t.id"
            " JOIN transactions_calculation c ON c.id = current.calculation_id"
        )
        return {
            reference: (*times, json.loads(amounts), total)
            for reference, *times, amounts, total in cursor.fetchall()
        }


def test_purchase_orders_keep_four_decimals(test_data: Path, tmp_path: Path) -> None:
    file = test_data / "adventureworks" / "PurchaseOrderHeader.csv.gz"
    expected = {
        order["PurchaseOrderID"]: {
            name: int(Decimal(order[column]) * 10_000)
            for name, column in (
                ("subtotal", "SubTotal"),
                ("tax", "TaxAmt"),
                ("freight", "Freight"),
                ("total", "TotalDue"),
            )
        }
        for order in records(file)
    }
    answer = imported("purchase_orders", tmp_path / "rejects.csv", file)
    assert (answer["imported"], answer["rejected"]) == (len(expected), 0)
    assert {reference: row[2] for reference, row in standing().items()} == expected
    assert set(Transaction.objects.values_list("currency", "scale").distinct()) == {("USD", 4)}


def test_lines_of_grocery_tills(test_data: Path, tmp_path: Path) -> None:
    (file,) = (test_data / "complete_journey").glob("*.csv.gz")
    wanted = {f"{file.name.removesuffix('.gz')}:{n}": r for n, r in enumerate(records(file), 1)}
    answer = imported("complete_journey", tmp_path / "rejects.csv", file)
    assert answer["imported"] + answer["rejected"] == len(wanted)
    assert {reference: row[3] for reference, row in standing().items()} == {
        reference: int(Decimal(record["sales_value"]) * 100)
        for reference, record in wanted.items()
        if all(
            Decimal(record[name]) == round(Decimal(record[name]), 2)
            for name in ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
        )
    }
    assert PersonalData.objects.count() == answer["imported"]
