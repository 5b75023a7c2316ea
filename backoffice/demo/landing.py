"""Getting the demo's transactions into the database: by the same landing that imports use."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from django.contrib.auth.models import User

from backoffice.demo.generator import (
    BEGIN,
    CALCULATOR,
    DAYS,
    ROLLOUTS,
    SOURCE,
    DemoTransaction,
    generate,
)
from backoffice.demo.narration import Narrator
from backoffice.demo.proof import DemoDoesNotAddUp
from backoffice.demo.shops import MARKETS, UNITS_PER_EURO
from transactions.ingest import ReportedTransaction, ingest
from transactions.models import IngestBatch

BATCH = 25_000
"""Transactions that land together."""


@dataclass(frozen=True)
class Size:
    """How much there is to be, and which."""

    transactions: int
    stores: int
    seed: int


def foreign_data() -> bool:
    """Whether the database holds transactions that are not the demo's, and none that are."""
    batches = IngestBatch.objects.all()
    return batches.exists() and not batches.filter(source=SOURCE).exists()


def land(size: Size, narrator: Narrator, *, acting_user: User) -> None:
    """Let the services report all of the demo's transactions; what they had reported before changes nothing.

    Raises `DemoDoesNotAddUp` where one is rejected, or where other transactions of another seed are there.
    """
    narrator.heading(
        f"A month at {size.stores:,} stores in {len(MARKETS)} countries and {len(UNITS_PER_EURO)} currencies: "
        f"{size.transactions:,} transactions, {DAYS} days from {BEGIN:%d %B %Y} on, calculated by {', '.join(ROLLOUTS)}"
    )
    origin = f"The demo, seed {size.seed}"
    known = 0
    with narrator.progress("  Generate, calculate, land", size.transactions) as bar:
        reported = _reported(generate(transactions=size.transactions, stores=size.stores, seed=size.seed))
        for batch in _prepared_ahead(reported):
            result = ingest(batch, source=SOURCE, origin=origin, acting_user=acting_user)
            if result.rejections:
                raise DemoDoesNotAddUp(
                    f"{len(result.rejections)} transactions were rejected: {result.rejections[0]}"
                )
            known += result.unchanged
            bar.advance(len(batch))
    if known:
        narrator.say(f"{known:,} of them were there already, and are unchanged.")


def _prepared_ahead(reported: Iterator[ReportedTransaction]) -> Iterator[list[ReportedTransaction]]:
    """Batches of them; the next one is calculated while the database is busy with the last."""
    with ThreadPoolExecutor(max_workers=1) as ahead:
        coming = ahead.submit(_batch, reported)
        while batch := coming.result():
            coming = ahead.submit(_batch, reported)
            yield batch


def _batch(reported: Iterator[ReportedTransaction]) -> list[ReportedTransaction]:
    return list(islice(reported, BATCH))


def _reported(orders: Iterator[DemoTransaction]) -> Iterator[ReportedTransaction]:
    for position, order in enumerate(orders, 1):
        yield ReportedTransaction(
            position=position,
            reference=order.reference,
            store=order.shop.reference,
            store_name=order.shop.name,
            store_country=order.shop.country,
            currency=order.currency,
            scale=order.scale,
            occurred_at=order.occurred_at,
            inputs=order.inputs,
            service=order.service,
            calculator=CALCULATOR,
            version=order.version,
            calculated_at=order.calculated_at,
            amounts=order.amounts,
        )
