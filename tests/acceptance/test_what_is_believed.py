"""Verification believes pointers and rows, not counters; and nobody believes a preview that was never applied."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.real_data import MAPPINGS
from tests.commands import asked

SELECTION = ("--calculator", "purchase-order", "--release", "recorded")


@pytest.fixture
def orders(people: Any, test_data: Path) -> int:
    """How many purchase orders were imported; the freight of 12 of them is to be corrected."""
    file = test_data / "adventureworks" / "PurchaseOrderHeader.csv.gz"
    mapping = MAPPINGS / "purchase_orders.toml"
    imported = asked("import_transactions", str(file), "--mapping", str(mapping), "--as", "ada")["imported"]
    assert isinstance(imported, int)
    return imported


def previewed() -> dict[str, Any]:
    return asked(
        *("preview", *SELECTION, "--target", "1.0.0", "--reason", "Freight is 2.5 % of the subtotal."),
        *("--as", "ada", "--work"),
    )


@pytest.mark.parametrize(
    ("table", "corruption"),
    [
        (
            "transactions_currentcalculation",
            "UPDATE transactions_currentcalculation SET calculation_id = (SELECT replaces_id FROM transactions_calculation"
            " WHERE id = %(proposal)s) WHERE transaction_id = %(transaction)s",
        ),
        (
            "transactions_calculation",
            "UPDATE transactions_calculation SET amounts = amounts || jsonb_build_object('total', total + 1), total = total + 1"
            " WHERE id = %(proposal)s",
        ),
        (
            "transactions_transaction",
            'UPDATE transactions_transaction SET inputs = inputs || \'{"subtotal": "1.0000"}\' WHERE id = %(transaction)s',
        ),
    ],
    ids=["pointer", "calculation", "facts"],
)
def test_one_corrupted_pointer_or_row_and_nothing_is_reconciled(
    orders: int, owner_connection: "psycopg.Connection[Any]", table: str, corruption: str
) -> None:
    plan = previewed()
    asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    assert asked("apply", str(plan["plan"]), "--as", "ada", "--work")["applied"] == 12
    case = str(plan["case"])
    verified = asked("verify", case, "--as", "ada", "--work")
    assert (verified["reconciled"], verified["problems"]) == (True, [])

    found = owner_connection.execute(
        "SELECT transaction_id, id FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL ORDER BY id LIMIT 1"
    ).fetchone()
    assert found is not None
    with owner_connection.transaction():
        owner_connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        changed = owner_connection.execute(corruption, {"transaction": found[0], "proposal": found[1]})
        assert changed.rowcount == 1
        owner_connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    verified = asked("verify", case, "--as", "ada", "--work")
    assert verified["reconciled"] is False
    assert verified["problems"]
    assert asked("show", case)["stage"] == "unreconciled"


def test_a_discarded_preview_changes_no_answer_of_find(orders: int) -> None:
    questions = [
        ("find", *SELECTION),
        ("find", "--calculator", "purchase-order"),
        ("find", "--calculator", "purchase-order", "--currency", "USD", "--target", "1.0.0", "--seed", "7"),
    ]
    before = [asked(*question) for question in questions]
    assert [answer["matched"] for answer in before] == [orders] * 3
    plan = previewed()
    assert plan["proposed"] == 12
    assert [asked(*question) for question in questions] == before
    asked("reject", str(plan["plan"]), "--digest", plan["digest"], "--comment", "Not now.", "--as", "ben")
    assert [asked(*question) for question in questions] == before
