"""Counting and paging what stands on matching calculations."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import START, recalculate, report
from transactions.finder import FoundTransaction, Place, count, page, page_within
from transactions.rollups import fold_counts
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


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.lists(st.integers(-200, 200), max_size=12),
    window=st.tuples(st.integers(-210, 210), st.integers(1, 300)),
    folded=st.integers(0, 12),
)
def test_a_count_from_the_rollups_is_that_of_the_rows_wherever_the_window_cuts(
    minutes: list[int], window: tuple[int, int], folded: int
) -> None:
    with transaction.atomic():
        report(0)
        for index, minute in enumerate(minutes):
            report(1, first=index, start=START + timedelta(minutes=minute) - timedelta(seconds=index))
            if index == folded:
                fold_counts()
        begin = START + timedelta(minutes=window[0])
        end = begin + timedelta(minutes=window[1])
        for selection, expected in (
            (Selection("fee"), minutes),
            (
                Selection("fee", calculated_from=begin),
                [minute for minute in minutes if minute >= window[0]],
            ),
            (
                Selection("fee", calculated_from=begin, calculated_before=end),
                [minute for minute in minutes if window[0] <= minute < window[0] + window[1]],
            ),
        ):
            counts = count(selection)
            assert counts.matched == len(expected)
            assert dict(counts.by_hour) == Counter(
                START + timedelta(hours=minute // 60) for minute in expected
            )
            assert len(paged(selection, 3)) == len(expected)
        transaction.set_rollback(True)


@pytest.mark.usefixtures("committed_db")
def test_what_was_corrected_or_only_proposed_is_not_walked_through_for_a_page(users: UserFactory) -> None:
    report(5)
    plan = previewed(users("engineer"))
    with CaptureQueriesContext(connection) as asked:
        assert page(Selection("fee", versions=("2.0.0",))) == []
    assert [query["sql"] for query in asked if "AS standing" in query["sql"]] == []
    applied(approved(plan, users("approver")), users("engineer"))
    with CaptureQueriesContext(connection) as asked:
        assert page(Selection("fee", versions=("1.0.0",))) == []
    assert [query["sql"] for query in asked if "AS standing" in query["sql"]] == []
    assert len(page(Selection("fee"))) == 5


@pytest.mark.django_db
def test_what_the_rollups_have_no_answer_for_is_counted_up_to_a_number_and_estimated_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report(400)
    report(400, currency="JPY", scale=0, first=400)
    report(200, service="checkout", first=800, currency="JPY", scale=0, start=START + timedelta(hours=5))
    yen = Selection("fee", currencies=("JPY",))
    assert (count(yen).matched, count(yen).exact) == (600, True)
    monkeypatch.setattr("transactions.finder.EXACT_TO", 600)
    assert (count(yen).matched, count(yen).exact) == (600, True)
    monkeypatch.setattr("transactions.finder.EXACT_TO", 100)
    monkeypatch.setattr("transactions.finder._SAMPLED_FOR_COUNTS", 250)
    for _ in range(5):
        about = count(yen)
        assert not about.exact
        assert 400 < about.matched < 800
        assert [release.service for release, _ in about.by_release] == ["payments", "checkout"]
        assert sum(rows for _, rows in about.by_hour) == about.matched
        assert [hour for hour, _ in about.by_hour] == [START, START + timedelta(hours=5)]
    assert (count(Selection("fee")).matched, count(Selection("fee")).exact) == (1000, True)
    monkeypatch.setattr("transactions.finder.EXACT_TO", 599)
    monkeypatch.setattr("transactions.finder._SAMPLED_FOR_COUNTS", 20)
    assert all(count(yen).matched >= 600 for _ in range(5)), "more than were counted one by one"


@pytest.mark.django_db
def test_few_of_many_are_counted_quickly_from_a_sample_that_says_how_sure_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report(990)
    report(10, first=990, currency="JPY", scale=0)
    yen = Selection("fee", currencies=("JPY",))
    assert (count(yen, quickly=True).matched, count(yen, quickly=True).exact) == (10, True)
    monkeypatch.setattr("transactions.finder.EXACT_TO", 900)
    monkeypatch.setattr("transactions.finder._SAMPLED_QUICKLY", 300)
    assert count(yen).exact, "not quickly, all of the window is read"
    covered = 0
    for _ in range(20):
        about = count(yen, quickly=True)
        assert not about.exact
        assert 200 < about.looked_at < 400
        assert about.low <= about.matched <= about.high
        covered += about.low <= 10 <= about.high
        assert sum(cell.transactions for cell in about.cells) == about.matched
    assert covered >= 17
    none = count(Selection("fee", currencies=("KWD",)), quickly=True)
    assert (none.matched, none.low, none.exact) == (0, 0, False)
    assert 0 < none.high < 30, "none of those looked at, and by 95% not many of the others"
    assert count(Selection("fee", references=("o-1",)), quickly=True).exact, (
        "looked up, however many there are"
    )


@pytest.mark.django_db
def test_a_page_of_few_among_many_is_looked_for_only_so_far_and_says_where_to_go_on() -> None:
    for hour in range(6):
        report(10, first=hour * 10, start=START + timedelta(hours=hour))
    report(1, first=60, start=START + timedelta(hours=5, minutes=30), currency="JPY", scale=0)
    yen = Selection("fee", currencies=("JPY",))
    asked, after, found = 0, None, []
    while True:
        part = page_within(yen, after=after, limit=5, walk=20)
        found += part.rows
        asked += 1
        if part.looked_to is None:
            break
        after = part.looked_to
    assert [each.reference for each in found] == ["o-60"]
    assert asked >= 3
    release = found[0].release_id
    assert page_within(yen, limit=5, walk=20).looked_to == Place(release, START + timedelta(hours=2), 0)
    assert page_within(yen, limit=1, walk=20, after=after).looked_to is None
    assert page_within(yen, limit=5, walk=61).rows == found
