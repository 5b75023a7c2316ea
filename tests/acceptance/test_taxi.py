"""New York's yellow taxis of 2019, imported to the cent and the second: which recorded totals are not the sum of their parts, found by
real workers.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audit.models import AuditEntry
from remediation.models import PlanChunk
from tests.acceptance.real_data import MAPPINGS, amounts_now, delta, every_hash_is_right, records, times_now
from tests.commands import asked
from tests.conftest import WorkerFactory
from transactions.models import Calculation

NEW_YORK = ZoneInfo("America/New_York")
COMPONENTS = (
    *("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"),
    *("improvement_surcharge", "congestion_surcharge"),
)


class Trip:
    """A trip as the file has it: what its meter recorded, what all components add up to, and what they do as its vendor counts."""

    def __init__(self, record: dict[str, str]) -> None:
        parts = [Decimal(record[name] or "0") for name in COMPONENTS]
        self.recorded = Decimal(record["total_amount"])
        self.times = _local(record["pickup_datetime"]), _local(record["dropoff_datetime"])
        self.summed = sum(parts, Decimal(0))
        congestion = Decimal(record["congestion_surcharge"] or "0")
        self.as_vendor_counts = self.summed - (congestion if record["vendor_id"] == "1" else 0)


@pytest.mark.timeout(900)  # two hundred thousand rows, on a machine that does other things too
def test_every_trip_whose_total_is_not_the_sum_is_proposed_and_no_other(
    test_data: Path, worker_process: WorkerFactory
) -> None:
    file = test_data / "nyc_taxi" / "nyc_yellow_taxi_sample_2019.csv.gz"
    trips = {number: Trip(record) for number, record in records(file)}
    worker_process(concurrency=2)
    imported = _imported(file)
    assert (imported["imported"], imported["unchanged"], imported["rejected"]) == (120_000, 0, 0)
    before = amounts_now()
    assert {_row(reference): amounts["total"] for reference, (_, amounts) in before.items()} == {
        number: int(trip.recorded * 100) for number, trip in trips.items()
    }
    assert {_row(reference): times for reference, times in times_now().items()} == {
        number: trip.times for number, trip in trips.items()
    }
    assert every_hash_is_right()
    entry = AuditEntry.objects.get(event="transactions.imported")
    assert (entry.data["imported"], entry.data["origin"]) == (120_000, file.name)
    again = _imported(file)
    assert (again["imported"], again["unchanged"], again["rejected"]) == (0, 120_000, 0)
    assert again["batch"] is None
    assert AuditEntry.objects.filter(event="transactions.imported").count() == 1
    assert amounts_now() == before

    wrong = {number: trip for number, trip in trips.items() if trip.summed != trip.recorded}
    assert len(wrong) == 36_095
    plan = _previewed("1.0.0")
    assert (plan["scanned"], plan["proposed"], plan["failed"]) == (120_000, 36_095, 0)
    assert plan["unchanged"] == 120_000 - 36_095
    assert plan["delta"] == delta("USD", 2, sum((t.summed - t.recorded for t in wrong.values()), Decimal(0)))
    assert _proposed_rows(plan["plan"]) == set(wrong)

    wrong = {number: trip for number, trip in trips.items() if trip.as_vendor_counts != trip.recorded}
    assert len(wrong) == 259
    plan = _previewed("2.0.0")
    assert (plan["scanned"], plan["proposed"], plan["failed"]) == (120_000, 259, 0)
    money = delta("USD", 2, sum((t.as_vendor_counts - t.recorded for t in wrong.values()), Decimal(0)))
    assert plan["delta"] == money
    assert _proposed_rows(plan["plan"]) == set(wrong)
    assert amounts_now() == before

    asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    applied = asked("apply", str(plan["plan"]), "--as", "ada")
    assert (applied["applied"], applied["conflicts"], applied["failed"], applied["delta"]) == (
        259,
        0,
        0,
        money,
    )
    verified = asked("verify", str(plan["case"]), "--as", "ada")
    assert (verified["differing"], verified["reconciled"]) == (0, True), verified["problems"]
    assert verified["classes"]["matches"]["rows"] == 120_000
    totals = {_row(reference): amounts["total"] for reference, (_, amounts) in amounts_now().items()}
    assert totals == {number: int(trip.as_vendor_counts * 100) for number, trip in trips.items()}


def _imported(file: Path) -> dict[str, Any]:
    return asked("import_transactions", str(file), "--mapping", str(MAPPINGS / "taxi.toml"), "--as", "ada")


def _previewed(target: str) -> dict[str, Any]:
    return asked(
        *("preview", "--calculator", "taxi-sum", "--release", "recorded", "--target", target),
        *("--reason", f"Totals are to be what {target} makes of the components.", "--as", "ada"),
    )


def _proposed_rows(plan: int) -> set[int]:
    """The data records that a plan proposes corrections for, as stored."""
    chunks = PlanChunk.objects.filter(plan=plan).values_list("pk", flat=True)
    proposals = Calculation.objects.filter(plan_chunk_id__in=list(chunks)).select_related("transaction")
    return {_row(proposal.transaction.reference) for proposal in proposals}


def _row(reference: str) -> int:
    return int(reference.rpartition(":")[2])


def _local(text: str) -> datetime:
    """The first moment when New York's clocks showed it. All of the file's were shown."""
    moment = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    there = datetime.fromtimestamp(moment.timestamp(), NEW_YORK)
    assert there.replace(tzinfo=None) == moment.replace(tzinfo=None)
    # In UTC: Python calls no two times equal whose clocks showed them twice.
    return moment.astimezone(UTC)
