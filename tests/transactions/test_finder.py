"""Counting and paging what stands on matching calculations."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import START, recalculate, report
from transactions.finder import count, page
from transactions.selection import InvalidSelection, Selection

PAYMENTS = Selection("fee", services=("payments",))


@pytest.mark.django_db
def test_counts_are_exact_by_release_and_by_hour() -> None:
    report(3, start=START)
    report(2, start=START + timedelta(hours=5), first=3)
    report(4, service="checkout", first=10)
    counts = count(Selection("fee"))
    assert counts.matched == 9
    assert [(release.service, rows) for release, rows in counts.by_release] == [
        ("payments", 5),
        ("checkout", 4),
    ]
    assert counts.by_hour == [
        (datetime(2026, 3, 2, 8, tzinfo=UTC), 7),
        (datetime(2026, 3, 2, 13, tzinfo=UTC), 2),
    ]


@pytest.mark.django_db
def test_a_window_is_half_open_and_every_criterion_narrows() -> None:
    report(3, start=START)
    report(2, currency="JPY", scale=0, store="s-2", first=3)
    assert (
        count(Selection("fee", calculated_from=START, calculated_before=START + timedelta(seconds=2))).matched
        == 2
    )
    assert count(Selection("fee", occurred_from=START + timedelta(seconds=4))).matched == 1
    assert count(Selection("fee", currencies=("JPY",))).matched == 2
    assert count(Selection("fee", stores=("s-1",))).matched == 3
    assert count(Selection("fee", countries=("US",))).matched == 5
    assert count(Selection("fee", countries=("DE",))).matched == 0


@pytest.mark.django_db
def test_only_what_a_transaction_stands_on_counts() -> None:
    ids = report(3)
    recalculate(ids[0], fee_percent=3, at=START + timedelta(days=1), version="3.0.0")
    assert count(Selection("fee", versions=("1.0.0",))).matched == 2
    assert count(Selection("fee", versions=("3.0.0",))).matched == 1


@pytest.mark.usefixtures("committed_db")
def test_a_proposal_changes_no_answer_until_it_is_applied(users: UserFactory) -> None:
    report(5)
    before = count(PAYMENTS), page(PAYMENTS)
    plan = previewed(users("engineer"))
    after = count(PAYMENTS)
    assert (after.matched, after.by_hour) == (before[0].matched, before[0].by_hour)
    assert page(PAYMENTS) == before[1]
    applied(approved(plan, users("approver")), users("engineer"))
    assert count(Selection("fee", versions=("2.0.0",))).matched == 5
    assert count(Selection("fee", versions=("1.0.0",))).matched == 0


@pytest.mark.django_db
def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    report(7)
    report(4, service="checkout", first=7)
    seen, after = [], None
    while found := page(Selection("fee"), after=after, limit=3):
        seen += [each.reference for each in found]
        after = found[-1].place
    assert seen == [f"o-{index}" for index in range(11)]


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


def test_a_selection_survives_being_stored_and_asks_the_same_in_any_order() -> None:
    selection = Selection("fee", versions=("2", "1", "1"), calculated_from=START, countries=("US",))
    assert Selection.from_criteria(selection.to_criteria()) == selection
    assert selection == Selection("fee", versions=("1", "2"), calculated_from=START, countries=("US",))
