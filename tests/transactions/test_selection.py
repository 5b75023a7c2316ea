"""Saying which transactions are meant."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, verified
from tests.remediation.incident import START, report, totals
from transactions.finder import count, page
from transactions.selection import InvalidSelection, Selection


@pytest.mark.django_db
def test_what_cannot_be_meant_is_refused() -> None:
    report(1)
    with pytest.raises(InvalidSelection, match="No release matches"):
        count(Selection("fee", versions=("7",)))
    with pytest.raises(InvalidSelection, match="explicit offset"):
        Selection("fee", calculated_from=datetime(2026, 3, 2))  # noqa: DTZ001 (the point of the test)
    with pytest.raises(InvalidSelection, match="window is empty"):
        Selection("fee", calculated_from=START, calculated_before=START)
    with pytest.raises(InvalidSelection, match="Unknown criteria: colour"):
        Selection.from_criteria({"calculator": "fee", "colour": "red"})


@pytest.mark.parametrize("criteria", [{}, {"services": ["payments"]}])
def test_stored_criteria_without_a_calculator_are_refused(criteria: dict[str, object]) -> None:
    with pytest.raises(InvalidSelection, match="needs its calculator"):
        Selection.from_criteria(criteria)


@pytest.mark.django_db
def test_a_window_means_the_same_moments_at_any_offset() -> None:
    report(3)
    tokyo = timezone(timedelta(hours=9))
    window = Selection(
        "fee",
        calculated_from=START.astimezone(tokyo),
        calculated_before=datetime(2026, 3, 2, 8, 0, 2, tzinfo=UTC),
    )
    assert count(window).matched == 2
    assert count(Selection.from_criteria(window.to_criteria())).matched == 2


@pytest.mark.django_db
def test_what_is_asked_for_is_never_read_as_sql() -> None:
    report(2, store="o'hara; --%s")
    assert count(Selection("fee", stores=("o'hara; --%s",))).matched == 2
    assert count(Selection("fee", stores=("' OR TRUE --",))).matched == 0


def test_a_selection_survives_being_stored_and_asks_the_same_in_any_order() -> None:
    selection = Selection("fee", versions=("2", "1", "1"), calculated_from=START, countries=("US",))
    assert Selection.from_criteria(selection.to_criteria()) == selection
    assert selection == Selection("fee", versions=("1", "2"), calculated_from=START, countries=("US",))


def test_criteria_of_before_references_and_totals_are_what_they_were() -> None:
    selection = Selection("fee", services=("payments",), calculated_from=START)
    assert selection.to_criteria() == {
        "calculator": "fee",
        "services": ["payments"],
        "calculated_from": "2026-03-02T08:00:00+00:00",
    }


def test_one_amount_has_one_way_to_be_kept() -> None:
    assert Selection("fee", total_from=" 010.50 ", total_to="+11.") == Selection(
        "fee", total_from="10.5", total_to="11"
    )
    assert Selection("fee", total_from="-0.00").to_criteria() == {"calculator": "fee", "total_from": "0"}
    selection = Selection("fee", references=("b", "a", "b"), total_from="-1.5", total_to="2")
    assert Selection.from_criteria(selection.to_criteria()) == selection
    assert selection.to_criteria()["references"] == ["a", "b"]


@pytest.mark.parametrize("amount", ["", "ten", "1e3", "NaN", "1,000", "1" * 40, "0.0000000000001", 5])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(InvalidSelection, match=r"^total_from: "):
        Selection("fee", total_from=amount)


def test_an_order_of_totals_that_nothing_has_is_refused() -> None:
    with pytest.raises(InvalidSelection, match="exchange the two"):
        Selection("fee", total_from="10", total_to="9.99")
    Selection("fee", total_from="10", total_to="10.00")


@pytest.mark.django_db
def test_a_total_is_compared_exactly_at_every_scale() -> None:
    report(3)  # 10.10, 10.11, 10.12
    report(3, first=3, currency="KWD", scale=3)  # 1.013, 1.014, 1.015
    report(3, first=6, currency="JPY", scale=0)  # 1016, 1017, 1018
    report(1, first=9, currency="EUR", scale=12)  # 0.000000001019
    for narrowed, expected in (
        ({"total_from": "10.11"}, [1, 2, 6, 7, 8]),
        ({"total_from": "10.1100000001"}, [2, 6, 7, 8]),
        ({"total_to": "1.014"}, [3, 4, 9]),
        ({"total_to": "1.0139999"}, [3, 9]),
        ({"total_from": "1017", "total_to": "1017"}, [7]),
        ({"total_to": "0.000000001019"}, [9]),
        ({"total_to": "0.000000001018"}, []),
        ({"total_from": "9999999999999999999"}, []),
        ({"references": ("o-4", "o-9", "o-77")}, [4, 9]),
        ({"references": ("o-4", "o-9"), "total_from": "1"}, [4]),
        ({"references": ("o-4", "o-9"), "stores": ("nowhere",)}, []),
    ):
        selection = Selection("fee", **narrowed)
        assert [each.reference for each in page(selection)] == [f"o-{index}" for index in expected]
        assert count(selection).matched == len(expected)


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        pytest.param({"references": ("o-1", "o-4", "o-6")}, [1, 4], id="references"),
        pytest.param({"total_from": "10.12", "total_to": "10.13"}, [2, 3], id="totals"),
    ],
)
def test_a_case_of_references_or_totals_previews_applies_and_verifies_just_those(
    users: UserFactory, narrowed: dict[str, Any], expected: list[int]
) -> None:
    ids = report(6)  # 10.10 to 10.15, of which the correction makes 10.20 to 10.30
    report(3, first=6, service="checkout")
    ana = users("engineer")
    selection = Selection("fee", services=("payments",), **narrowed)
    plan = previewed(ana, selection=selection)
    assert plan.manifest["proposed"] == len(expected)
    assert plan.manifest["criteria"] == selection.to_criteria()
    before = totals(ids)
    applied(approved(plan, users("approver")), ana)
    after = totals(ids)
    assert [index for index in range(6) if after[index] != before[index]] == expected
    result = verified(plan.case, ana)
    assert (result["reconciled"], result["differing"]) == (True, 0)
    assert {name: found["rows"] for name, found in result["classes"].items() if found["rows"]} == {
        "matches": len(expected)
    }
