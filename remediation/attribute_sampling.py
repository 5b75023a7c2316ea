"""Attribute sampling: how many to look at, and what so many errors among them say of all.

The method is that of the AICPA's guide “Audit Sampling” (appendix A, whose tables are the binomial's) and of ISA 530; since the
population is known and drawn from without replacement, the hypergeometric distribution takes the binomial's place, which is the
finite population correction in full. Limits are Clopper and Pearson's (Biometrika 26, 1934), by turning the test around.
Whatever decides is exact, in whole numbers: the same comes out on every machine. Floats only say where to look first.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, comb, exp, inf, lgamma, log

from audit.errors import Refused

LARGEST_SAMPLE = 10_000
"""More than so many corrections nobody judges one by one."""
LIMIT_STEP = Fraction(1, 1_000_000)
"""Clopper and Pearson's limit is given in steps of one in a million, rounded up."""


class SamplingImpossible(Refused):
    """No sample can say what was asked for. The message says why, and what to ask instead."""


def shows_few(population: int, wrong: int, sampled: int, found: int, *, risk: Fraction) -> bool:
    """Whether the chance is at most `risk` that `sampled` of a population with `wrong` errors show `found` of them or fewer.

    Drawn without replacement: the hypergeometric distribution, exactly.
    """
    # It stays the same where sample and errors change places; the smaller one is quicker.
    drawn, marked = sorted((sampled, wrong))
    if found >= drawn:
        return risk >= 1
    others = population - marked
    hits = max(0, drawn - others)
    ways, term = 0, comb(marked, hits) * comb(others, drawn - hits)
    while hits <= found:
        ways += term
        term = term * (marked - hits) * (drawn - hits) // ((hits + 1) * (others - drawn + hits + 1))
        hits += 1
    return ways * risk.denominator <= comb(population, drawn) * risk.numerator


def shows_few_of_many(rate: Fraction, sampled: int, found: int, *, risk: Fraction) -> bool:
    """The same of a population without end, of which `rate` (below 1) is wrong: the binomial distribution, exactly."""
    if found >= sampled:
        return risk >= 1
    wrong, right = rate.numerator, rate.denominator - rate.numerator
    ways, term, whole = 0, int(right**sampled), int(rate.denominator**sampled)
    for hits in range(found + 1):
        ways += term
        term = term * (sampled - hits) * wrong // ((hits + 1) * right)
    return ways * risk.denominator <= whole * risk.numerator


def tolerable_errors(population: int, tolerable: Fraction) -> int:
    """The fewest errors with which a population has the tolerable rate: it is accepted where so many can be ruled out."""
    return max(ceil(population * tolerable), 1)


def sample_size(population: int, *, confidence: Fraction, tolerable: Fraction, expected: Fraction) -> int:
    """The fewest corrections to draw, so that a rate as expected lets the population be accepted. Raises `SamplingImpossible`.

    Accepted is a population of which `confidence` rules out that the `tolerable` rate of it or more is wrong. The sample may show
    `expected` of its size, rounded up as the AICPA's tables do. Never more than the population.
    """
    _check(population, confidence, tolerable, expected)
    bad, risk, most = tolerable_errors(population, tolerable), 1 - confidence, min(population, LARGEST_SAMPLE)

    def enough_for(found: int, least: int) -> int:
        return _first(
            lambda size: shows_few(population, bad, size, found, risk=risk),
            lambda size: _about(population, bad, size, found) <= risk,
            least,
            most + 1,
        )

    size = _fewest(enough_for, most, expected)
    if size > most and population > LARGEST_SAMPLE:
        raise _too_many()
    return min(size, most)


def sample_size_of_many(*, confidence: Fraction, tolerable: Fraction, expected: Fraction) -> int:
    """The same for a population without end, as published tables have it. Raises `SamplingImpossible`."""
    _check(1, confidence, tolerable, expected)
    risk = 1 - confidence

    def enough_for(found: int, least: int) -> int:
        return _first(
            lambda size: shows_few_of_many(tolerable, size, found, risk=risk),
            lambda size: _about_of_many(tolerable, size, found) <= risk,
            least,
            LARGEST_SAMPLE + 1,
        )

    size = _fewest(enough_for, LARGEST_SAMPLE, expected)
    if size > LARGEST_SAMPLE:
        raise _too_many()
    return size


def allowed_errors(population: int, sampled: int, *, confidence: Fraction, tolerable: Fraction) -> int:
    """The most errors that `sampled` may show for the population to be accepted; -1 where not even none is enough."""
    bad, risk = tolerable_errors(population, tolerable), 1 - confidence
    too_many = _first(
        lambda found: not shows_few(population, bad, sampled, found, risk=risk),
        lambda found: _about(population, bad, sampled, found) > risk,
        0,
        sampled,
    )
    return too_many - 1


def most_errors(population: int, sampled: int, found: int, *, confidence: Fraction) -> int:
    """The upper limit: with `confidence` no more than so many of the population are wrong, when `sampled` of it showed `found`."""
    risk = 1 - confidence
    # With one more there would be too few right ones for those that were seen.
    impossible = population - (sampled - found) + 1
    ruled_out = _first(
        lambda wrong: shows_few(population, wrong, sampled, found, risk=risk),
        lambda wrong: _about(population, wrong, sampled, found) <= risk,
        found,
        impossible,
    )
    return ruled_out - 1


def clopper_pearson_limit(sampled: int, found: int, *, confidence: Fraction) -> Fraction:
    """The upper limit of the rate as tables give it, for a population without end: one-sided, rounded up to `LIMIT_STEP`."""
    if found >= sampled:
        return Fraction(1)
    risk, steps = 1 - confidence, LIMIT_STEP.denominator
    least = _first(
        lambda step: shows_few_of_many(step * LIMIT_STEP, sampled, found, risk=risk),
        lambda step: _about_of_many(step * LIMIT_STEP, sampled, found) <= risk,
        found * steps // sampled,
        steps,
    )
    return least * LIMIT_STEP


def _check(population: int, confidence: Fraction, tolerable: Fraction, expected: Fraction) -> None:
    if population < 1:
        raise SamplingImpossible("There is nothing to draw from: no correction of this job was applied.")
    if not Fraction(1, 2) <= confidence <= Fraction(9999, 10000):
        raise SamplingImpossible("The confidence must lie between 50 % and 99.99 %; 95 % is usual.")
    if not 0 < tolerable < 1:
        raise SamplingImpossible(
            "The tolerable error rate must lie above 0 % and below 100 %; no sample shows that nothing at all is wrong."
        )
    if not 0 <= expected < tolerable:
        raise SamplingImpossible(
            "The expected error rate must lie below the tolerable one: where as much is expected as can be tolerated, no sample helps."
        )


def _too_many() -> SamplingImpossible:
    return SamplingImpossible(
        f"That takes more than {LARGEST_SAMPLE:,} corrections. Tolerate more, expect fewer errors, or ask for less confidence; "
        "to know of every correction, verify the case."
    )


def _fewest(enough_for: Callable[[int, int], int], most: int, expected: Fraction) -> int:
    """The smallest size that is enough for the errors expected in it, or more than `most`.

    `enough_for(found, least)` is the smallest size from `least` on that may show `found` errors. First none is to be found; where more are
    expected in what that takes, so many are, and so on.
    """
    found, size = 0, 1
    while (size := enough_for(found, max(size, found + 1))) <= most:
        needed = ceil(expected * size)
        if needed <= found:
            break
        found = needed
    return size


def _first(holds: Callable[[int], bool], probably: Callable[[int], bool], low: int, high: int) -> int:
    """The lowest number from `low` on that `holds`, which all above it do too; `high` where none below it does.

    `probably` is the same in floats: it finds the place, and `holds` has the last word.
    """
    least, most = low, high
    while low < high:
        middle = (low + high) // 2
        if probably(middle):
            high = middle
        else:
            low = middle + 1
    while low < most and not holds(low):
        low += 1
    while low > least and holds(low - 1):
        low -= 1
    return low


def _about(population: int, wrong: int, sampled: int, found: int) -> float:
    """The hypergeometric chance of `found` errors or fewer."""
    if found >= min(wrong, sampled):
        return 1.0
    right = population - wrong
    whole = _ways(population, sampled)
    return sum(
        exp(_ways(wrong, hits) + _ways(right, sampled - hits) - whole)
        for hits in range(max(0, sampled - right), found + 1)
    )


def _about_of_many(rate: Fraction, sampled: int, found: int) -> float:
    """The binomial chance of `found` errors or fewer."""
    if found >= sampled:
        return 1.0
    wrong = log(rate) if rate else -inf
    right = log(1 - rate)
    return sum(
        exp(_ways(sampled, hits) + (hits * wrong if hits else 0) + (sampled - hits) * right)
        for hits in range(found + 1)
    )


def _ways(among: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose."""
    return lgamma(among + 1) - lgamma(chosen + 1) - lgamma(among - chosen + 1)
