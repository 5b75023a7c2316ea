"""Transactions for the engine's tests, reported by a service as it would: by SQL, as the application's role."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from transactions.canonical import canonical_json, facts_hash, microseconds
from transactions.leaves import cover_batch
from transactions.models import IngestBatch, Release, Store, Transaction

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""When the first transaction of an incident was calculated; one a second follows."""


def report(
    count: int,
    *,
    version: str = "1.0.0",
    fee_percent: int = 1,
    service: str = "payments",
    start: datetime = START,
    first: int = 0,
    currency: str = "USD",
    scale: int = 2,
    store: str = "s-1",
) -> list[int]:
    """Let `service` report transactions o-`first`, … with net amounts of 1000, 1001, … smallest units. Their ids, in that order."""
    release, _ = Release.objects.get_or_create(service=service, calculator="fee", version=version)
    shop, _ = Store.objects.get_or_create(reference=store, defaults={"country": "US"})
    batch = IngestBatch.objects.create(source="shop", origin="test")
    ids: list[int] = []
    with transaction.atomic():
        ids += [
            _transaction(index, shop, batch, currency, scale, start + timedelta(seconds=index)).pk
            for index in range(first, first + count)
        ]
        calculations = [
            _calculate(known, index, release, batch, fee_percent, start + timedelta(seconds=index))
            for index, known in enumerate(ids, first)
        ]
        _point(calculations)
        cover_batch(batch)
    return ids


def recalculate(
    transaction_id: int, *, fee_percent: int, at: datetime, version: str = "1.0.0", service: str = "payments"
) -> int:
    """Let a service report another calculation of a known transaction. The calculation's id."""
    release, _ = Release.objects.get_or_create(service=service, calculator="fee", version=version)
    batch = IngestBatch.objects.create(source="shop", origin="recalculation")
    facts = Transaction.objects.get(pk=transaction_id)
    with transaction.atomic():
        calculation = _calculate(
            transaction_id, int(facts.reference.removeprefix("o-")), release, batch, fee_percent, at
        )
        _point([calculation])
        cover_batch(batch)
    return calculation


def totals(ids: list[int]) -> list[int]:
    """What each transaction's total is now, in smallest units, in the order of `ids`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current.transaction_id, c.total FROM transactions_currentcalculation current"
            " JOIN transactions_calculation c ON c.id = current.calculation_id WHERE current.transaction_id = ANY(%s)",
            [ids],
        )
        found = dict(cursor.fetchall())
    return [found[known] for known in ids]


def pointers(ids: list[int]) -> dict[int, int]:
    """Transaction id → id of the calculation it stands on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT transaction_id, calculation_id FROM transactions_currentcalculation WHERE transaction_id = ANY(%s)",
            [ids],
        )
        return dict(cursor.fetchall())


def fee(net: int, percent: int) -> int:
    """The total of a net amount with its fee, as tests expect it."""
    return net + net * percent // 100


def _transaction(
    index: int, store: Store, batch: IngestBatch, currency: str, scale: int, at: datetime
) -> Transaction:
    net = 1000 + index
    inputs = {"net": f"{net // 10**scale}.{net % 10**scale:0{scale}d}" if scale else str(net)}
    facts: dict[str, Any] = {
        "source": "shop",
        "reference": f"o-{index}",
        "currency": currency,
        "scale": scale,
    }
    return Transaction.objects.create(
        **facts,
        store=store,
        occurred_at=at,
        inputs=inputs,
        batch=batch,
        facts_hash=facts_hash(
            **facts,
            store=store.reference,
            occurred_at_us=microseconds(at),
            inputs_text=canonical_json(inputs),
        ),
    )


def _calculate(
    transaction_id: int, index: int, release: Release, batch: IngestBatch, fee_percent: int, at: datetime
) -> int:
    net = 1000 + index
    amounts = {"net": net, "fee": net * fee_percent // 100, "total": fee(net, fee_percent)}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
            [transaction_id, release.pk, canonical_json(amounts), amounts["total"], at, batch.pk],
        )
        return int(cursor.fetchone()[0])


def _point(calculations: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM amends_point_at_reported(%s)", [calculations])
