"""How a plan's changes are spread: kept a chunk at a time, and adding up to what was approved."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from remediation.causes import Causes, cause_in_words, largest_of, merge_causes, parts_of, size_of
from remediation.figures import (
    EDGES,
    MOST_OUTLIERS,
    agrees,
    bounds_of,
    edge_of,
    merge_spreads,
    merge_stores,
    most_stores,
    share_of,
    spread_of,
    stores_of,
)
from remediation.models import PlanChunkFigures
from tests.remediation.driving import previewed
from tests.remediation.incident import report

amounts = st.integers(-(2**62), 2**62)
changes = st.lists(st.tuples(amounts, amounts, st.integers(1, 10**9), st.integers(1, 9)), max_size=60)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_every_change_lies_in_the_bin_that_its_edge_begins(added: int) -> None:
    low, high = bounds_of(edge_of(added))
    assert (low <= added < high) if added >= 0 else (high < added <= low)


def test_bins_begin_at_one_two_and_five_of_every_power_of_ten() -> None:
    assert EDGES[:8] == [0, 1, 2, 5, 10, 20, 50, 100]
    assert [edge_of(added) for added in (-1000, -999, -1, 0, 1, 4, 5, 99)] == [
        -1000,
        -500,
        -1,
        0,
        1,
        2,
        5,
        50,
    ]


@given(st.lists(changes, max_size=5))
def test_the_figures_of_chunks_add_up_to_those_of_the_whole(chunks: list[Any]) -> None:
    whole = [change for chunk in chunks for change in chunk]
    merged = merge_spreads([spread_of({"USD:2": chunk}) for chunk in chunks])
    if not whole:
        assert merged == []
        return
    (spread,) = merged
    assert (spread.rows, spread.added) == (len(whole), sum(change[0] for change in whole))
    assert spread.down.rows == sum(change[0] < 0 for change in whole)
    assert spread.up.added == sum(change[0] for change in whole if change[0] > 0)
    assert [size_of(each) for each in spread.largest] == sorted(map(size_of, whole), reverse=True)[
        :MOST_OUTLIERS
    ]
    shares = sorted((share_of(each) for each in whole if each[1]), reverse=True)
    assert [share_of(each) for each in spread.relative] == shares[:MOST_OUTLIERS]
    money = {"USD:2": {"delta": spread.added}}
    assert agrees(merged, money, len(whole))
    assert not agrees(merged, money, len(whole) + 1)
    assert not agrees(merged, {"USD:2": {"delta": spread.added + 1}}, len(whole))


@given(st.lists(changes, min_size=1, max_size=4), st.integers(1, 9))
def test_stores_of_chunks_add_up_and_say_where_some_were_left(chunks: list[Any], most: int) -> None:
    whole = [change for chunk in chunks for change in chunk]
    merged = merge_stores([stores_of({"USD:2": chunk}, most) for chunk in chunks], 9)
    cut = any(len({change[3] for change in chunk}) > most for chunk in chunks)
    if not whole:
        return
    (sums,) = merged
    assert sums.exact is not cut
    for each in sums.by_money:
        mine = [change for change in whole if change[3] == each.store]
        if sums.exact:
            assert (each.rows, each.added) == (len(mine), sum(change[0] for change in mine))
        assert each.rows <= len(mine)
        assert each.size <= sum(map(size_of, mine))
    assert [each.size for each in sums.by_money] == sorted(
        (each.size for each in sums.by_money), reverse=True
    )
    assert [each.rows for each in sums.by_rows] == sorted((each.rows for each in sums.by_rows), reverse=True)


@given(changes, st.integers(1, 5))
def test_the_largest_are_those_that_sorting_puts_first(found: list[Any], most: int) -> None:
    sizes = [size_of(each) for each in found]
    assert largest_of(found, sizes, most) == sorted(found, key=size_of, reverse=True)[:most]


def test_a_plan_of_many_chunks_keeps_fewer_stores_of_each() -> None:
    assert [most_stores(chunks) for chunks in (0, 1, 40, 100_000)] == [80_000, 80_000, 2_000, 20]


def counted(*rows: tuple[int, int, int]) -> dict[str, Any]:
    causes = Causes()
    for transaction, old, new in rows:
        causes.add({"fee": old, "total": old}, {"fee": new, "total": new}, transaction, "USD", 2)
    return causes.as_json()


def test_a_cause_keeps_its_three_largest_examples_over_all_chunks() -> None:
    chunks = [
        counted((1, 10, 20), (2, 10, 40), (3, 10, 15)),
        counted((4, 10, 35), (5, 10, 11), (6, 10, 12), (7, 10, 13)),
    ]
    (cause,) = merge_causes(chunks)
    assert cause["examples"] == [[2, 30, "USD:2"], [4, 25, "USD:2"], [1, 10, "USD:2"]]
    assert (cause["example"], cause["example_delta"], cause["largest"]) == (2, 30, {"USD:2": 30})
    assert (cause["count"], cause["delta"]) == (7, {"USD:2": 76})


def test_chunks_that_kept_one_example_are_still_read() -> None:
    old = {"fee up, total up": {"count": 2, "delta": {"USD:2": 9}, "example": 8, "example_delta": 7}}
    of_two = {
        "fee up, total up": {"count": 2, "delta": {"JPY:0": 9, "USD:2": 9}, "example": 9, "example_delta": 1}
    }
    reverted = {"revert of plan 3": {"count": 2, "delta": {"USD:2": 9}, "example": 0, "example_delta": -1}}
    cause, revert = merge_causes([old, counted((1, 10, 15)), of_two, reverted])
    assert cause["examples"] == [[8, 7, "USD:2"], [1, 5, "USD:2"], [9, 1, ""]]
    assert cause["largest"] == {"USD:2": 7}
    assert (revert["examples"], revert["largest"]) == ([], {})


def test_examples_are_of_each_currency_before_two_are_of_one() -> None:
    causes = Causes()
    for number, (currency, new) in enumerate(
        [("JPY", 9000), ("JPY", 8000), ("JPY", 7000), ("USD", 30), ("EUR", 20)]
    ):
        causes.add({"total": 10}, {"total": new}, number, currency, 2)
    (found,) = causes.as_json().values()
    assert [example[2] for example in found["examples"]] == ["JPY:2", "USD:2", "EUR:2"]


def test_a_cause_is_read_as_a_sentence() -> None:
    assert parts_of("net_fee new, total up") == [("net_fee", "new"), ("total", "up")]
    assert cause_in_words("net_fee new, total up") == "Net fee is added, total goes up"
    assert cause_in_words("revert of plan 3") == "revert of plan 3"


@pytest.mark.django_db
def test_a_preview_keeps_the_figures_of_each_chunk_and_they_agree_with_what_is_approved(
    engineer: User, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 4
    report(6)
    report(3, first=50, currency="JPY", scale=0, store="s-2")
    plan = previewed(engineer)
    kept = PlanChunkFigures.objects.filter(plan_chunk__plan=plan)
    assert kept.count() == plan.chunks.count() == 3
    spreads = merge_spreads(each.spread for each in kept)
    assert plan.manifest is not None
    assert agrees(spreads, plan.manifest["money"], plan.manifest["proposed"])
    assert [(each.currency, each.up.rows, each.up.added, each.down.rows) for each in spreads] == [
        ("JPY", 3, 33, 0),
        ("USD", 6, 60, 0),
    ]
    stores = merge_stores((each.stores for each in kept), 5)
    assert [[(each.rows, each.added) for each in sums.by_money] for sums in stores] == [[(3, 33)], [(6, 60)]]
