"""A web shop's invoices: a window of them corrected to another release's rounding, proved, and taken back to the penny."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.acceptance.invoices import FILES, invoices
from tests.acceptance.real_data import MAPPINGS, amounts_now, delta, every_hash_is_right, records, sum_now
from tests.commands import asked
from transactions.models import PersonalData, Transaction

START, END = "2011-01-15T00:00:00+00:00", "2011-07-01T00:00:00+01:00"
WINDOW = ("--calculator", "retail-invoice", "--release", "1.0.0", "--from", START, "--to", END)


@pytest.mark.timeout(900)  # two hundred thousand rows, on a machine that does other things too
def test_a_window_of_invoices_is_corrected_verified_and_taken_back_amount_by_amount(test_data: Path) -> None:
    expected = invoices(test_data)
    imported = asked(
        "import_transactions",
        *(str(test_data / "online_retail" / file) for file in FILES),
        *("--mapping", str(MAPPINGS / "online_retail.toml"), "--as", "ada"),
    )
    assert (imported["imported"], imported["unchanged"], imported["rejected"]) == (len(expected), 0, 0)
    _are_put_together_from_all_files(test_data)
    first = amounts_now()
    assert {number: amounts for number, (_, amounts) in first.items()} == {
        number: invoice.line_by_line for number, invoice in expected.items()
    }

    start, end = datetime.fromisoformat(START), datetime.fromisoformat(END)
    window = {number: invoice for number, invoice in expected.items() if start <= invoice.at < end}
    wrong = {number: invoice for number, invoice in window.items() if invoice.line_by_line != invoice.at_once}
    pennies = sum(invoice.at_once["total"] - invoice.line_by_line["total"] for invoice in wrong.values())
    assert 1000 < len(wrong) < len(window) < len(expected)
    assert asked("find", *WINDOW)["matched"] == len(window)

    plan = asked(
        *("preview", *WINDOW, "--target", "2.0.0", "--reason", "Invoices were rounded line by line."),
        *("--as", "ada", "--work"),
    )
    assert (plan["scanned"], plan["unchanged"]) == (len(window), len(window) - len(wrong))
    assert (plan["proposed"], plan["failed"]) == (len(wrong), 0)
    assert plan["delta"] == delta("GBP", 2, Decimal(pennies) / 100)
    assert sum(cause["count"] for cause in plan["causes"]) == len(wrong)
    assert amounts_now() == first

    asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    applied = asked("apply", str(plan["plan"]), "--as", "ada", "--work")
    assert (applied["applied"], applied["conflicts"], applied["failed"]) == (len(wrong), 0, 0)
    assert applied["delta"] == plan["delta"]
    corrected = {
        number: (invoice.at_once if number in wrong else invoice.line_by_line)
        for number, invoice in expected.items()
    }
    assert {number: amounts for number, (_, amounts) in amounts_now().items()} == corrected
    assert sum_now() == sum(invoice.line_by_line["total"] for invoice in expected.values()) + pennies

    verified = asked("verify", str(plan["case"]), "--as", "ada", "--work")
    assert (verified["differing"], verified["reconciled"]) == (0, True), verified["problems"]
    assert {name: part["rows"] for name, part in verified["classes"].items() if part["rows"]} == {
        "matches": len(window)
    }
    assert verified["plans"][0]["applied"] == {"rows": len(wrong), "money": plan["delta"]}

    revert = asked("revert", str(plan["case"]), "--as", "ada", "--work")
    assert (revert["proposed"], revert["failed"], revert["moved_since"]) == (len(wrong), 0, 0)
    assert revert["delta"] == delta("GBP", 2, -Decimal(pennies) / 100)
    assert sum_now() == sum(amounts["total"] for amounts in corrected.values())
    asked("approve", str(revert["plan"]), "--digest", revert["digest"], "--as", "ben")
    taken_back = asked("apply", str(revert["plan"]), "--as", "ada", "--work")
    assert (taken_back["applied"], taken_back["conflicts"], taken_back["delta"]) == (
        len(wrong),
        0,
        revert["delta"],
    )
    assert amounts_now() == first
    verified = asked("verify", str(plan["case"]), "--as", "ada", "--work")
    assert (verified["differing"], verified["reconciled"]) == (len(wrong), True), verified["problems"]


def _are_put_together_from_all_files(test_data: Path) -> None:
    """Every line is in its invoice's inputs, in the files' order; customers are apart from them, and nothing comes in twice."""
    files = [test_data / "online_retail" / file for file in FILES]
    lines: dict[str, list[tuple[str, str]]] = defaultdict(list)
    customers: dict[str, str] = {}
    for file in files:
        for _, line in records(file):
            lines[line["InvoiceNo"]].append((line["Quantity"], line["UnitPrice"]))
            customers.setdefault(line["InvoiceNo"], line["CustomerID"])
    stored = dict(Transaction.objects.values_list("reference", "inputs"))
    assert {
        reference: [(line["quantity"], line["unit_price"]) for line in inputs["lines"]]
        for reference, inputs in stored.items()
    } == lines
    assert not any("CustomerID" in inputs or "customer" in inputs for inputs in stored.values())
    personal = PersonalData.objects.values_list("transaction__reference", "data")
    assert {reference: data["customer"] for reference, data in personal} == customers
    assert every_hash_is_right()
    again = asked(
        *("import_transactions", *map(str, reversed(files))),
        *("--mapping", str(MAPPINGS / "online_retail.toml"), "--as", "ada"),
    )
    assert (again["imported"], again["unchanged"] + again["rejected"]) == (0, len(lines))
