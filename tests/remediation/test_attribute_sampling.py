"""Sample sizes and limits, held against published tables, another program, and every sample there is."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remediation.attribute_sampling import (
    LIMIT_STEP,
    SamplingImpossible,
    allowed_errors,
    clopper_pearson_limit,
    most_errors,
    sample_size,
    sample_size_of_many,
    shows_few,
    tolerable_errors,
)


def percent(text: str) -> Fraction:
    return Fraction(text) / 100


# AICPA, Audit Guide “Audit Sampling”, appendix A, tables A-1 (risk of overreliance 5 %) and A-2 (10 %): confidence, tolerable and expected
# rate, and the size with the expected number of deviations.
AICPA_SIZES = [
    ("95", "2", "0", 149, 0),
    ("95", "3", "0", 99, 0),
    ("95", "4", "0", 74, 0),
    ("95", "5", "0", 59, 0),
    ("95", "6", "0", 49, 0),
    ("95", "7", "0", 42, 0),
    ("95", "8", "0", 36, 0),
    ("95", "9", "0", 32, 0),
    ("95", "10", "0", 29, 0),
    ("95", "15", "0", 19, 0),
    ("95", "20", "0", 14, 0),
    ("95", "2", "0.25", 236, 1),
    ("95", "3", "0.75", 208, 2),
    ("95", "4", "1", 156, 2),
    ("95", "5", "1", 93, 1),
    ("95", "5", "1.5", 124, 2),
    ("95", "5", "2", 181, 4),
    ("95", "6", "2", 127, 3),
    ("95", "10", "2", 46, 1),
    ("90", "2", "0", 114, 0),
    ("90", "5", "0", 45, 0),
    ("90", "10", "0", 22, 0),
    ("90", "7", "3", 94, 3),
    ("90", "8", "4", 98, 4),
]


@pytest.mark.parametrize(("confidence", "tolerable", "expected", "size", "deviations"), AICPA_SIZES)
def test_sizes_are_those_of_the_published_tables(
    confidence: str, tolerable: str, expected: str, size: int, deviations: int
) -> None:
    asked = {"confidence": percent(confidence), "tolerable": percent(tolerable)}
    assert sample_size_of_many(**asked, expected=percent(expected)) == size
    assert -(-percent(expected) * size // 1) == deviations
    # The tables are for large populations: of a billion the hypergeometric asks for as many.
    assert sample_size(10**9, **asked, expected=percent(expected)) == size
    assert allowed_errors(10**9, size, **asked) == deviations


def test_one_percent_at_95_takes_299_and_a_small_population_takes_fewer() -> None:
    asked = {"confidence": percent("95"), "tolerable": percent("1"), "expected": Fraction(0)}
    assert sample_size_of_many(**asked) == 299
    assert [sample_size(each, **asked) for each in (10_000_000, 10_000, 1_000, 500, 100, 1)] == [
        299,
        294,
        258,
        225,
        95,
        1,
    ]


# scipy 1.17.1: beta.ppf(confidence, found + 1, sampled - found).
SCIPY_LIMITS = [
    (59, 0, "95", "0.04950760988822693"),
    (93, 1, "95", "0.049993978387988317"),
    (150, 3, "95", "0.050877067978523934"),
    (299, 0, "95", "0.009969146792899269"),
    (299, 2, "95", "0.020905416104254625"),
    (100, 5, "90", "0.09077146961407018"),
    (1000, 17, "99", "0.02912922472764841"),
]


@pytest.mark.parametrize(("sampled", "found", "confidence", "limit"), SCIPY_LIMITS)
def test_clopper_pearson_limits_are_another_programs_rounded_up(
    sampled: int, found: int, confidence: str, limit: str
) -> None:
    ours = clopper_pearson_limit(sampled, found, confidence=percent(confidence))
    assert 0 <= ours - Fraction(limit) < LIMIT_STEP
    # Of a population without end the exact limit is the same.
    assert (
        abs(Fraction(most_errors(10**8, sampled, found, confidence=percent(confidence)), 10**8) - ours)
        < 2 * LIMIT_STEP
    )


def test_all_wrong_has_no_limit_below_all() -> None:
    assert clopper_pearson_limit(20, 20, confidence=percent("95")) == 1
    assert most_errors(500, 20, 20, confidence=percent("95")) == 500


# scipy 1.17.1: hypergeom.cdf(found, population, wrong, sampled).
SCIPY_CHANCES = [
    (500, 25, 56, 0, "0.04745377144080921"),
    (1000, 10, 258, 0, "0.04979580327339196"),
    (10_000_000, 100_000, 299, 0, "0.049534027389799194"),
    (400_000, 4000, 473, 1, "0.04970625372282215"),
    (50, 5, 22, 1, "0.2589863882648341"),
    (1000, 50, 120, 3, "0.12803458804516626"),
]


@pytest.mark.parametrize(("population", "wrong", "sampled", "found", "chance"), SCIPY_CHANCES)
def test_the_chance_to_see_few_is_another_programs(
    population: int, wrong: int, sampled: int, found: int, chance: str
) -> None:
    about, near = Fraction(chance), Fraction(1, 10**9)
    assert shows_few(population, wrong, sampled, found, risk=about + near)
    assert not shows_few(population, wrong, sampled, found, risk=about - near)


populations = st.integers(1, 60)
shares = st.integers(1, 99).map(lambda whole: Fraction(whole, 100))


def counted(population: int, wrong: int, sampled: int, found: int) -> Fraction:
    """The chance to see at most `found`, by counting samples."""
    few = sum(
        comb(wrong, hits) * comb(population - wrong, sampled - hits)
        for hits in range(min(found, wrong, sampled) + 1)
    )
    return Fraction(few, comb(population, sampled))


@given(populations, st.data(), shares)
def test_the_limit_is_the_most_errors_that_such_a_sample_does_not_rule_out(
    population: int, data: st.DataObject, risk: Fraction
) -> None:
    sampled = data.draw(st.integers(1, population))
    found = data.draw(st.integers(0, sampled))
    possible = range(found, population - (sampled - found) + 1)
    assert most_errors(population, sampled, found, confidence=1 - risk) == max(
        wrong for wrong in possible if counted(population, wrong, sampled, found) > risk
    )


@given(populations, st.integers(50, 99), shares, shares)
def test_a_size_is_the_smallest_that_can_accept_and_accepting_is_what_the_limit_says(
    population: int, confidence_percent: int, tolerable: Fraction, expected: Fraction
) -> None:
    assume(expected < tolerable)
    confidence = Fraction(confidence_percent, 100)
    size = sample_size(population, confidence=confidence, tolerable=tolerable, expected=expected)
    bad = tolerable_errors(population, tolerable)

    def accepts(sampled: int, found: int) -> bool:
        return counted(population, bad, sampled, found) <= 1 - confidence

    fits = [each for each in range(1, population + 1) if accepts(each, -(-expected * each // 1))]
    assert size == (fits[0] if fits else population)
    allowed = allowed_errors(population, size, confidence=confidence, tolerable=tolerable)
    for found in range(size + 1):
        within = most_errors(population, size, found, confidence=confidence) < bad
        assert within == (found <= allowed)


@pytest.mark.parametrize(
    ("population", "confidence", "tolerable", "expected", "said"),
    [
        (0, "95", "1", "0", "nothing to draw from"),
        (1000, "100", "1", "0", "between 50 % and 99.99 %"),
        (1000, "49", "1", "0", "between 50 % and 99.99 %"),
        (1000, "95", "0", "0", "above 0 %"),
        (1000, "95", "100", "0", "above 0 %"),
        (1000, "95", "1", "1", "below the tolerable one"),
        (10**7, "99.99", "0.01", "0", "more than 10,000"),
        (10**7, "95", "1", "0.99", "more than 10,000"),
    ],
)
def test_what_no_sample_can_say_is_refused_with_the_reason(
    population: int, confidence: str, tolerable: str, expected: str, said: str
) -> None:
    with pytest.raises(SamplingImpossible, match=said):
        sample_size(
            population,
            confidence=percent(confidence),
            tolerable=percent(tolerable),
            expected=percent(expected),
        )
