"""Saying which transactions are meant."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.remediation.incident import START, report
from transactions.finder import count
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
