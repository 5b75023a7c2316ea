"""Intervals that claim no more than their sample shows."""

import math
import random

import pytest

from transactions.confidence import Expansion, Sum, Weighed, share_interval, student, sum_interval


@pytest.mark.parametrize(
    ("freedom", "exact"), [(1, 12.706), (10, 2.228), (11, 2.201), (30, 2.042), (1000, 1.962)]
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, exact: float) -> None:
    assert student(freedom) == pytest.approx(exact, abs=0.001)


def test_wilsons_interval_of_a_large_population_is_that_of_the_textbooks() -> None:
    found = share_interval(10, 100, 10**9)
    assert [found.low, found.high] == pytest.approx([0.0552, 0.1744], abs=1e-4)
    assert share_interval(0, 100, 10**9).high == pytest.approx(0.0370, abs=1e-4)


def test_a_share_never_contradicts_what_was_seen() -> None:
    found = share_interval(1, 9, 10)
    assert found.low >= 0.1
    assert found.high <= 0.2 + 1e-12


def test_a_sum_of_all_is_exact_however_large() -> None:
    drawn = [Weighed(2**62, 2**62 - 1, 1.0), Weighed(2**62, 2**62 - 2, 1.0)]
    assert sum_interval(drawn, expected=0, size=2.0**63) == Sum(2**63 - 3, 2**63 - 3, 2**63 - 3)


def test_certain_rows_add_no_doubt() -> None:
    chancy = [Weighed(100, 1, 0.1)] * 10
    without = sum_interval(chancy, expected=10, size=100_000)
    with_one = sum_interval([*chancy, Weighed(90_000, 500, 1.0)], expected=10, size=100_000)
    assert with_one == Sum(without.estimate + 500, without.low + 500, without.high + 500)
    assert without.estimate == 100


def test_an_interval_does_not_collapse_where_all_that_was_seen_is_alike() -> None:
    none_differs = sum_interval([Weighed(100, 0, 0.1)] * 50, expected=50, size=50_000)
    all_differ = sum_interval([Weighed(100, 2, 0.1)] * 50, expected=50, size=50_000)
    assert none_differs.low < none_differs.estimate == 0 < none_differs.high
    assert all_differ.low < all_differ.estimate == 1000 < all_differ.high


@pytest.mark.parametrize("drawn", [[], [Weighed(100, 3, 0.5)]])
def test_a_sample_of_next_to_nothing_says_that_anything_may_be(drawn: list[Weighed]) -> None:
    found = sum_interval(drawn, expected=0.7, size=900.5)
    assert (found.estimate - found.low, found.high - found.estimate) == (901, 901)


@pytest.mark.parametrize(
    ("rate", "spread"),
    [
        pytest.param(0.1, 1, id="a tenth wrong"),
        pytest.param(0.02, 2, id="few wrong, most of the money in a few orders"),
    ],
)
def test_sums_of_ten_million_from_a_sample_of_25_000_are_covered_as_often_as_is_claimed(
    rate: float, spread: float
) -> None:
    chance, looked_at, population, draws = random.Random(1), 25_000, 10_000_000, 1000
    truth = population * rate * math.exp(8 + spread**2 / 2) / 100
    covered, tries = 0, 100
    for _ in range(tries):
        totals = [chance.lognormvariate(8, spread) for _ in range(looked_at)]
        size, drawn, certain = sum(totals), [], 0.0
        for total in totals:
            weight = draws * (0.5 / looked_at + 0.5 * total / size)
            if chance.random() < weight:
                delta = int(total / 100) if chance.random() < rate else 0
                drawn.append(Weighed(int(total), delta, min(weight, 1)))
                certain += weight if weight >= 1 else 0
        expected = draws - certain
        found = Expansion(looked_at, population).of(
            sum_interval(drawn, expected=expected, size=size), drawn, expected=expected
        )
        covered += found.low <= truth <= found.high
    assert covered >= tries * 0.9
