"""Real files imported whole; what stands afterwards is held against decimals read from them with nothing of the product's."""

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection

from audit.models import AuditEntry
from tests.commands import asked
from tests.conftest import PASSWORD, UserFactory
from transactions.models import PersonalData, Transaction

MAPPINGS = Path(__file__).parent.parent / "real_data"
NEW_YORK = ZoneInfo("America/New_York")


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


def every_hash_is_right() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(t.facts_hash = amends_facts_hash(t.source, t.reference, s.reference, t.currency, t.scale,"
            " t.occurred_at, t.inputs)) FROM transactions_transaction t JOIN transactions_store s ON s.id = t.store_id"
        )
        return bool(cursor.fetchone()[0])


def local(text: str) -> datetime | None:
    """The first moment when New York's clocks showed it; None where they never did."""
    moment = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    there = datetime.fromtimestamp(moment.timestamp(), NEW_YORK)
    # In UTC: Python calls no two times equal whose clocks showed them twice.
    return moment.astimezone(UTC) if there.replace(tzinfo=None) == moment.replace(tzinfo=None) else None


def test_a_year_of_taxi_trips_is_imported_to_the_cent_and_the_second(test_data: Path, tmp_path: Path) -> None:
    file = test_data / "nyc_taxi" / "nyc_yellow_taxi_sample_2019.csv.gz"
    expected: dict[str, tuple[datetime, datetime, Decimal]] = {}
    total = Decimal(0)
    impossible = 0
    for number, trip in enumerate(records(file), 1):
        picked_up, dropped_off = local(trip["pickup_datetime"]), local(trip["dropoff_datetime"])
        if picked_up is None or dropped_off is None:
            impossible += 1
            continue
        expected[f"nyc_yellow_taxi_sample_2019.csv:{number}"] = (
            picked_up,
            dropped_off,
            Decimal(trip["total_amount"]),
        )
        total += Decimal(trip["total_amount"])
    assert (len(expected), impossible) == (120_000, 0)

    answer = imported("taxi", tmp_path / "rejects.csv", file)
    assert (answer["imported"], answer["unchanged"], answer["rejected"]) == (len(expected), 0, impossible)
    assert answer["rows"] == len(expected) + impossible
    stands = standing()
    assert sum(row[3] for row in stands.values()) == int(total * 100)
    assert {reference: (row[0], row[1], row[3]) for reference, row in stands.items()} == {
        reference: (picked_up, dropped_off, int(amount * 100))
        for reference, (picked_up, dropped_off, amount) in expected.items()
    }
    assert every_hash_is_right()
    entry = AuditEntry.objects.get(event="transactions.imported")
    assert (entry.data["imported"], entry.data["origin"]) == (len(expected), file.name)

    again = imported("taxi", tmp_path / "rejects.csv", file)
    assert (again["imported"], again["unchanged"], again["rejected"]) == (0, len(expected), impossible)
    assert again["batch"] is None
    assert AuditEntry.objects.filter(event="transactions.imported").count() == 1
    assert standing() == stands


def test_invoices_are_put_together_from_three_files(test_data: Path, tmp_path: Path) -> None:
    files = sorted((test_data / "online_retail").glob("*.csv.gz"))
    assert len(files) == 3
    lines: dict[str, list[tuple[str, str]]] = defaultdict(list)
    customers: dict[str, str] = {}
    for file in files:
        for line in records(file):
            lines[line["InvoiceNo"]].append((line["Quantity"], line["UnitPrice"]))
            customers.setdefault(line["InvoiceNo"], line["CustomerID"])
    answer = imported("online_retail", tmp_path / "rejects.csv", *files)
    assert (answer["imported"], answer["unchanged"], answer["rejected"]) == (len(lines), 0, 0)
    assert answer["rows"] == sum(map(len, lines.values()))
    stored = dict(Transaction.objects.values_list("reference", "inputs"))
    assert {
        reference: [(line["quantity"], line["unit_price"]) for line in inputs["lines"]]
        for reference, inputs in stored.items()
    } == lines
    assert not any("CustomerID" in inputs or "customer" in inputs for inputs in stored.values())
    personal = PersonalData.objects.values_list("transaction__reference", "data")
    assert {reference: data["customer"] for reference, data in personal} == customers
    # An invoice's goods, of exact products rounded line by line, halves away from zero.
    goods = {
        reference: sum(
            int((abs(p := int(q) * Decimal(u)) * 100 + Decimal("0.5")) // 1) * (1 if p >= 0 else -1)
            for q, u in rows
        )
        for reference, rows in lines.items()
    }
    assert {reference: row[2]["goods"] for reference, row in standing().items()} == goods
    assert every_hash_is_right()
    again = imported("online_retail", tmp_path / "rejects.csv", *reversed(files))
    assert (again["imported"], again["unchanged"] + again["rejected"]) == (0, len(lines))


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
