"""Several imports at once: nothing is landed twice, and a deadlock with somebody else is tried again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
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
    # Whoever waits the longer gives way. On a slow machine that is now and then the other one, and nothing is shown: so once more.
    for first in range(1000, 6000, 1000):
        result = _landing_that_meets_a_deadlock(first, user, owner_connection)
        if result is not None:
            break
    else:
        raise AssertionError("The landing never was the one to give way.")
    assert (result.imported, result.rejections) == (2, [])
    assert IngestBatch.objects.filter(origin=f"deadlocked {first}").count() == 1
    assert Transaction.objects.filter(reference__in=[f"ticket-{first}", f"ticket-{first + 100}"]).count() == 2


def _landing_that_meets_a_deadlock(
    first: int, user: User, somebody: "psycopg.Connection[Any]"
) -> IngestResult | None:
    """What a landing answers that somebody else wants something of; None where that somebody had to give way."""
    insert = (
        "INSERT INTO transactions_transaction (source, reference, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id)"
        " SELECT source, %s, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id FROM transactions_transaction"
        " WHERE reference = 'ticket-0050'"
    )

    def land() -> IngestResult:
        try:
            records = [reported(first, 0), reported(first + 100, 1)]
            return ingest(records, source="tickets", origin=f"deadlocked {first}", acting_user=user)
        finally:
            connection.close()

    gave_way = False
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            with somebody.transaction(force_rollback=True):
                # They have the second, and want the first, which the landing has by then.
                somebody.execute(insert, [f"ticket-{first + 100}"])
                landing = pool.submit(land)
                _wait_until_it_waits_for(somebody)
                somebody.execute(insert, [f"ticket-{first}"])
                assert not landing.done()
        except psycopg.errors.DeadlockDetected:
            gave_way = True
        result = landing.result(timeout=60)
    return None if gave_way else result


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
