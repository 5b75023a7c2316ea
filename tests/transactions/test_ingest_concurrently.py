"""Several imports at once: nothing is landed twice, and a deadlock with somebody else is tried again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.conftest import UserFactory
from transactions.ingest import IngestResult, ReportedTransaction, ingest
from transactions.models import Calculation, CurrentCalculation, IngestBatch, Transaction

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def reported(number: int, position: int) -> ReportedTransaction:
    return ReportedTransaction(
        position=position,
        reference=f"ticket-{number:04}",
        store=f"garage-{number % 50}",
        currency="USD",
        scale=2,
        occurred_at=NOON,
        inputs={"hours": "1"},
        service=f"gate-{number % 3}",
        calculator="parking",
        version="1.0.0",
        calculated_at=NOON,
        amounts={"total": number},
    )


@pytest.mark.usefixtures("committed_db")
def test_imports_at_once_land_each_transaction_once(users: UserFactory) -> None:
    user = users("engineer")
    ready = threading.Barrier(3)

    def land(numbers: list[int]) -> IngestResult:
        try:
            ready.wait(timeout=30)
            records = [reported(number, position) for position, number in enumerate(numbers)]
            return ingest(records, source="tickets", origin="at once", acting_user=user)
        finally:
            connection.close()

    forwards = list(range(600))
    with ThreadPoolExecutor(max_workers=3) as pool:
        results = list(pool.map(land, (forwards, forwards[::-1], forwards[300:] + forwards[:300])))
    assert sum(result.imported for result in results) == 600
    assert sum(result.unchanged for result in results) == 1200
    assert [result.rejections for result in results] == [[], [], []]
    assert (Transaction.objects.count(), Calculation.objects.count(), CurrentCalculation.objects.count()) == (
        600,
    ) * 3
    standing = CurrentCalculation.objects.select_related("transaction", "calculation")
    assert all(int(each.transaction.reference[-4:]) == each.calculation.total for each in standing)


def test_a_landing_that_met_a_deadlock_is_tried_again(
    users: UserFactory, owner_connection: "psycopg.Connection[Any]"
) -> None:
    user = users("engineer")
    ingest([reported(50, 0)], source="tickets", origin="before", acting_user=user)
    insert = (
        "INSERT INTO transactions_transaction (source, reference, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id)"
        " SELECT source, %s, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id FROM transactions_transaction"
        " WHERE reference = 'ticket-0050'"
    )

    def land() -> IngestResult:
        try:
            records = [reported(0, 0), reported(100, 1)]
            return ingest(records, source="tickets", origin="deadlocked", acting_user=user)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        with owner_connection.transaction(force_rollback=True):
            # Somebody has the second, and wants the first, which the landing has by then. It waits the longer, so it gives way.
            owner_connection.execute(insert, ["ticket-0100"])
            landing = pool.submit(land)
            _wait_until_it_waits_for(owner_connection)
            owner_connection.execute(insert, ["ticket-0000"])
            assert not landing.done()
        result = landing.result(timeout=60)
    assert (result.imported, result.rejections) == (2, [])
    assert IngestBatch.objects.filter(origin="deadlocked").count() == 1
    assert set(Transaction.objects.values_list("reference", flat=True)) == {
        "ticket-0000",
        "ticket-0050",
        "ticket-0100",
    }


def _wait_until_it_waits_for(holder: "psycopg.Connection[Any]") -> None:
    """Until another backend waits for a lock that `holder` has."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        found = holder.execute(waiting).fetchone()
        if found and found[0]:
            return
        time.sleep(0.02)
    raise AssertionError("the landing never waited")
