"""AdventureWorks' purchase orders, four decimals: whose freight follows another rate than all others'."""

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from remediation.models import PlanChunk
from tests.acceptance.real_data import MAPPINGS, delta, records
from tests.commands import asked
from transactions.models import Calculation

FREIGHT = Decimal("0.025")
FINEST = Decimal("0.0001")


def test_the_orders_whose_freight_follows_another_rate_are_found_to_the_order(test_data: Path) -> None:
    file = test_data / "adventureworks" / "PurchaseOrderHeader.csv.gz"
    orders = {order["PurchaseOrderID"]: order for _, order in records(file)}
    other_rate = {
        number: order
        for number, order in orders.items()
        if (Decimal(order["SubTotal"]) * FREIGHT).quantize(FINEST, ROUND_HALF_UP) != Decimal(order["Freight"])
    }
    assert len(other_rate) == 12
    imported = asked(
        "import_transactions", str(file), "--mapping", str(MAPPINGS / "purchase_orders.toml"), "--as", "ada"
    )
    assert (imported["imported"], imported["rejected"]) == (len(orders), 0)

    plan = asked(
        *("preview", "--calculator", "purchase-order", "--release", "recorded", "--target", "1.0.0"),
        *("--reason", "Freight is 2.5 % of the subtotal.", "--as", "ada", "--work"),
    )
    assert (plan["scanned"], plan["proposed"], plan["failed"]) == (len(orders), 12, 0)
    chunks = list(PlanChunk.objects.filter(plan=plan["plan"]).values_list("pk", flat=True))
    proposals = Calculation.objects.filter(plan_chunk_id__in=chunks).select_related("transaction", "replaces")
    assert {proposal.transaction.reference for proposal in proposals} == set(other_rate)
    for proposal in proposals:
        order = other_rate[proposal.transaction.reference]
        assert proposal.replaces is not None
        assert proposal.replaces.amounts["freight"] == int(Decimal(order["Freight"]) * 10_000)
        assert proposal.amounts["freight"] == int(
            (Decimal(order["SubTotal"]) * FREIGHT).quantize(FINEST) * 10_000
        )
    money = sum(
        (
            (Decimal(o["SubTotal"]) * FREIGHT).quantize(FINEST, ROUND_HALF_UP) - Decimal(o["Freight"])
            for o in other_rate.values()
        ),
        Decimal(0),
    )
    assert plan["delta"] == delta("USD", 4, money)
    (cause,) = plan["causes"]
    assert (cause["cause"], cause["count"]) == ("freight up, total up", 12)
