"""What most people would write: amounts updated in place through Django's ORM, with an audit row each, in one process.

The table is a model's with all the orders that the product has, an order a row as wide as the product's transaction and calculation
together, with the indexes that its pages would need. Audit rows go into a model of the product's own shape. Reading and calculating are
part of it, by the same lean calculator. The first wrong orders are measured, and rates are compared.
"""

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import psycopg
from django.db import models, transaction
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from audit.models import AuditEntry
from benchmarks.calculators import LeanPricing
from benchmarks.databases import settle
from benchmarks.settings import APPLICATION_URL, OWNER_URL
from transactions.models import Release

_CALCULATOR = LeanPricing()
BATCH = 1000
"""Rows of one `bulk_update`, its `bulk_create` and their transaction."""

_TABLE = """
CREATE TABLE bench_order AS
SELECT t.id, t.source, t.reference, t.store_id, t.currency, t.scale, t.occurred_at, t.inputs,
       c.amounts, c.total, c.release_id, c.calculated_at
FROM transactions_transaction t
JOIN transactions_calculation c ON c.transaction_id = t.id
ORDER BY t.id;
ALTER TABLE bench_order ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX ON bench_order (source, reference);
CREATE INDEX ON bench_order (store_id, occurred_at);
CREATE INDEX ON bench_order (release_id, calculated_at);
GRANT SELECT, UPDATE ON bench_order TO {application};
ANALYZE bench_order;
"""


class BenchOrder(models.Model):
    """An order with its amounts in the same row."""

    source = models.CharField(max_length=100)
    reference = models.CharField(max_length=200)
    store_id = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    scale = models.SmallIntegerField()
    occurred_at = models.DateTimeField()
    inputs = models.JSONField()
    amounts = models.JSONField()
    total = models.BigIntegerField()
    release_id = models.BigIntegerField()
    calculated_at = models.DateTimeField()

    class Meta:
        app_label = "benchmarks"
        db_table = "bench_order"
        managed = False
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.reference


def make_table() -> None:
    """Make the table anew, as the owner."""
    application = str(conninfo_to_dict(APPLICATION_URL)["user"])
    with psycopg.connect(OWNER_URL, autocommit=True) as owner:
        owner.execute("DROP TABLE IF EXISTS bench_order")
        owner.execute(SQL(_TABLE).format(application=Identifier(application)))


def bulk_update(rows: int) -> float:
    """Rows a second by `bulk_update` and `bulk_create`, a transaction for each `BATCH` rows."""
    make_table()
    settle()
    begun = time.perf_counter()
    done = 0
    for batch in _batches(rows):
        entries = [_correct(order) for order in batch]
        with transaction.atomic():
            BenchOrder._default_manager.bulk_update(batch, ["amounts", "total"])
            AuditEntry.objects.bulk_create(entries)
        done += len(batch)
    return done / (time.perf_counter() - begun)


def save_each(rows: int) -> float:
    """Rows a second by `save()` and an audit row's `create`, a transaction for each row."""
    make_table()
    settle()
    begun = time.perf_counter()
    done = 0
    for batch in _batches(rows):
        for order in batch:
            entry = _correct(order)
            with transaction.atomic():
                order.save()
                entry.save()
            done += 1
    return done / (time.perf_counter() - begun)


def _batches(rows: int) -> Iterator[list[BenchOrder]]:
    wrong = BenchOrder._default_manager.filter(release_id=Release.objects.get(version="1.9.0").pk)
    after = 0
    while rows > 0 and (batch := list(wrong.filter(pk__gt=after).order_by("pk")[: min(BATCH, rows)])):
        after = batch[-1].pk
        rows -= len(batch)
        yield batch


def _correct(order: BenchOrder) -> AuditEntry:
    before: dict[str, Any] = order.amounts
    order.amounts = _CALCULATOR.calculate(order.inputs, order.scale)
    order.total = order.amounts["total"]
    return AuditEntry(
        event="order.corrected",
        actor_label="bench",
        subject_type="benchmarks.benchorder",
        subject_id=order.pk,
        subject_label=order.reference,
        reason="Tax was taken before discount.",
        data={"before": before, "after": order.amounts},
    )
