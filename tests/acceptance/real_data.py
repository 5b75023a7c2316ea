"""The real files, read here with nothing of the product's, so that what the product says can be held against them."""

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import connection

MAPPINGS = Path(__file__).parent.parent / "real_data"


def records(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The data records of a gzipped CSV file with their numbers, from 1 on."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        yield from enumerate(csv.DictReader(text), 1)


def amounts_now() -> dict[str, tuple[int, dict[str, int]]]:
    """What every transaction stands on now: reference → (calculation id, amounts in smallest units)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.reference, c.id, c.amounts::text FROM transactions_transaction t"
            " JOIN transactions_currentcalculation current ON current.transaction_id = t.id"
            " JOIN transactions_calculation c ON c.id = current.calculation_id"
        )
        return {reference: (pk, _parsed(amounts)) for reference, pk, amounts in cursor.fetchall()}


def times_now() -> dict[str, tuple[datetime, datetime]]:
    """When every transaction occurred, and when what it stands on was calculated: reference → (occurred_at, calculated_at)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.reference, t.occurred_at, c.calculated_at FROM transactions_transaction t"
            " JOIN transactions_currentcalculation current ON current.transaction_id = t.id"
            " JOIN transactions_calculation c ON c.id = current.calculation_id"
        )
        return {reference: (occurred, calculated) for reference, occurred, calculated in cursor.fetchall()}


def every_hash_is_right() -> bool:
    """Whether each transaction's hash of its facts is what the database makes of them now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(t.facts_hash = amends_facts_hash(t.source, t.reference, s.reference, t.currency, t.scale,"
            " t.occurred_at, t.inputs)) FROM transactions_transaction t JOIN transactions_store s ON s.id = t.store_id"
        )
        return bool(cursor.fetchone()[0])


def sum_now() -> int:
    """All totals that transactions stand on now, added up, in smallest units."""
    return sum(amounts["total"] for _, amounts in amounts_now().values())


def delta(currency: str, scale: int, amount: Decimal) -> list[dict[str, Any]]:
    """One amount as answers give it."""
    return [{"currency": currency, "scale": scale, "amount": f"{amount:.{scale}f}"}]


def _parsed(amounts: str) -> dict[str, int]:
    parsed = json.loads(amounts)
    assert all(type(amount) is int for amount in parsed.values())
    return dict(parsed)
