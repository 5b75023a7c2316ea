"""Counting and paging what stands on matching calculations."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import START, recalculate, report
from transactions.finder import FoundTransaction, count, page
from transactions.selection import Selection

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
    assert (count(PAYMENTS), page(PAYMENTS)) == before
    applied(approved(plan, users("approver")), users("engineer"))
    assert count(Selection("fee", versions=("2.0.0",))).matched == 5
    assert count(Selection("fee", versions=("1.0.0",))).matched == 0


def paged(selection: Selection, limit: int) -> list[FoundTransaction]:
    """All pages, one behind the other."""
    seen: list[FoundTransaction] = []
    while found := page(selection, after=seen[-1].place if seen else None, limit=limit):
        assert len(found) <= limit
        seen += found
    return seen


@pytest.mark.django_db
def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    report(7)
    report(4, service="checkout", first=7)
    for limit in (1, 3, 7, 11, 100):
        assert [each.reference for each in paged(Selection("fee"), limit)] == [
            f"o-{index}" for index in range(11)
        ]


@pytest.mark.django_db
def test_calculations_of_one_moment_are_each_on_one_page() -> None:
    for index in range(5):
        report(1, first=index, start=START - timedelta(seconds=index))
    found = paged(Selection("fee"), 2)
    assert len({each.calculated_at for each in found}) == 1
    assert [each.reference for each in found] == [f"o-{index}" for index in range(5)]


@pytest.mark.django_db
def test_pages_hold_what_the_count_counts_whatever_narrows_it() -> None:
    report(4)
    report(3, store="s-2", first=4, currency="JPY", scale=0)
    ids = report(3, store="s-2", first=7, service="checkout")
    recalculate(ids[0], fee_percent=3, at=START + timedelta(days=1), version="3.0.0", service="checkout")
    for selection, expected in (
        (Selection("fee", stores=("s-2",)), [4, 5, 6, 8, 9, 7]),
        (Selection("fee", stores=("s-2",), services=("checkout",), versions=("1.0.0",)), [8, 9]),
        (Selection("fee", currencies=("JPY",)), [4, 5, 6]),
        (Selection("fee", countries=("US",), occurred_from=START + timedelta(seconds=8)), [8, 9]),
        (Selection("fee", calculated_before=START + timedelta(seconds=2)), [0, 1]),
    ):
        found = paged(selection, 2)
        assert [each.reference for each in found] == [f"o-{index}" for index in expected]
        assert count(selection).matched == len(expected)
