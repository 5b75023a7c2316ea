"""Two cases over the same invoices, one applied after the other: the second overwrites nothing, and both add up."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.invoices import FILES, Invoice, invoices
from tests.acceptance.real_data import MAPPINGS, amounts_now, delta
from tests.commands import asked

FIRST, SECOND = (
    ("2010-12-15T00:00:00Z", "2011-01-25T00:00:00Z"),
    ("2011-01-10T00:00:00Z", "2011-02-20T00:00:00Z"),
)


@pytest.fixture
def shop(people: Any, test_data: Path) -> dict[str, Invoice]:
    """The invoices of the first file, imported."""
    expected = invoices(test_data, FILES[:1])
    file = test_data / "online_retail" / FILES[0]
    asked("import_transactions", str(file), "--mapping", str(MAPPINGS / "online_retail.toml"), "--as", "ada")
    return expected


def selection(window: tuple[str, str]) -> tuple[str, ...]:
    return ("--calculator", "retail-invoice", "--release", "1.0.0", "--from", window[0], "--to", window[1])


def previewed(window: tuple[str, str]) -> dict[str, Any]:
    reason = f"Invoices from {window[0]} were rounded line by line."
    return asked(
        "preview", *selection(window), "--target", "2.0.0", "--reason", reason, "--as", "ada", "--work"
    )


def applied(plan: dict[str, Any]) -> dict[str, Any]:
    asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    return asked("apply", str(plan["plan"]), "--as", "ada", "--work")


def wrong_in(shop: dict[str, Invoice], window: tuple[str, str]) -> set[str]:
    start, end = map(datetime.fromisoformat, window)
    return {
        number
        for number, invoice in shop.items()
        if start <= invoice.at < end and invoice.line_by_line != invoice.at_once
    }


def money(shop: dict[str, Invoice], numbers: set[str]) -> list[dict[str, Any]]:
    pennies = sum(shop[number].at_once["total"] - shop[number].line_by_line["total"] for number in numbers)
    return delta("GBP", 2, Decimal(pennies) / 100)


def test_the_second_of_two_overlapping_cases_reports_conflicts_and_overwrites_nothing(
    shop: dict[str, Invoice],
) -> None:
    first_wrong, second_wrong = wrong_in(shop, FIRST), wrong_in(shop, SECOND)
    both = first_wrong & second_wrong
    assert 50 < len(both) < len(second_wrong)
    first, second = previewed(FIRST), previewed(SECOND)
    assert (first["proposed"], second["proposed"]) == (len(first_wrong), len(second_wrong))
    assert applied(first)["conflicts"] == 0
    after_first = amounts_now()

    answer = applied(second)
    assert (answer["applied"], answer["conflicts"], answer["failed"]) == (
        len(second_wrong - both),
        len(both),
        0,
    )
    assert answer["delta"] == money(shop, second_wrong - both)
    (reason,) = answer["conflict_reasons"]
    assert reason["rows"] == len(both)
    assert "Another plan corrected it" in reason["reason"]
    after_second = amounts_now()
    assert {number: after_second[number] for number in both} == {
        number: after_first[number] for number in both
    }
    assert {number: amounts for number, (_, amounts) in after_second.items()} == {
        number: invoice.at_once if number in first_wrong | second_wrong else invoice.line_by_line
        for number, invoice in shop.items()
    }
    for plan in (first, second):
        verified = asked("verify", str(plan["case"]), "--as", "ada", "--work")
        assert verified["problems"] == []
        assert (verified["differing"], verified["reconciled"]) == (0, True)
    (sums,) = verified["plans"]
    assert sums["previewed"] == {"rows": len(second_wrong), "money": money(shop, second_wrong)}
    assert sums["applied"] == {"rows": len(second_wrong - both), "money": money(shop, second_wrong - both)}
    assert sums["conflicts"] == {"rows": len(both), "money": money(shop, both)}
