"""95% confidence intervals of a share and of a sum, from random samples of a finite population.

Floats are at home here and nowhere else: amounts come in as whole smallest units and leave as such, an interval rounded outwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, hypot, sqrt

Z = 1.959963984540054
"""Two-sided 95% of the normal distribution."""
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Two-sided 95% of Student's t for 1 to 10 degrees of freedom; beyond, its expansion around the normal is exact enough."""


@dataclass(frozen=True)
class Share:
    """A share between 0 and 1 with its 95% interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Sum:
    """A sum of amounts with its 95% interval, in whole smallest units."""

    estimate: int
    low: int
    high: int


@dataclass(frozen=True)
class Weighed:
    """A row of a Poisson sample: its total and delta in smallest units, and the chance (0, 1] that it had to be drawn."""

    total: int
    delta: int
    chance: float


def share_interval(positive: int, sampled: int, population: int) -> Share:
    """Wilson's interval of a share, from a uniform sample, corrected for a finite population; exact where all were sampled."""
    if not sampled:
        return Share(0.0, 0.0, 1.0 if population else 0.0)
    share = positive / sampled
    if sampled >= population:
        return Share(share, share, share)
    size = sampled * (population - 1) / (population - sampled)
    centre = (share + Z * Z / (2 * size)) / (1 + Z * Z / size)
    spread = Z * sqrt(share * (1 - share) / size + Z * Z / (4 * size * size)) / (1 + Z * Z / size)
    # What was seen is certain: so many are positive at least, and so many are not.
    low = max(centre - spread, positive / population)
    high = min(centre + spread, 1 - (sampled - positive) / population)
    return Share(share, min(low, share), max(high, share))


def sum_interval(drawn: Sequence[Weighed], *, expected: float, size: float) -> Sum:
    """The sum of the population's deltas, from a Poisson sample of it. Exact where every chance was 1.

    `expected` is the sum of the population's chances below 1, `size` the sum of its totals' absolute values.

    Each delta stands for 1 / chance of its kind, scaled by how many were drawn against how many were expected; the variance is Hájek's.
    The interval is Student's with as many degrees of freedom as there are differences less one: a few differences say less
    than many zeros suggest. It is never narrower than what such a sample may well have missed altogether, rows as heavy as the
    heaviest that it holds; where nothing differs, a row's whole total is at stake.
    """
    certain = sum(each.delta for each in drawn if each.chance >= 1)
    chancy = [each for each in drawn if each.chance < 1]
    if expected <= 0:
        return Sum(certain, certain, certain)
    if len(chancy) < 2:
        # A sample of next to nothing says next to nothing.
        known = certain + sum(each.delta for each in chancy)
        return Sum(known, known - ceil(size), known + ceil(size))
    scaling = expected / len(chancy)
    expanded = [scaling * each.delta / each.chance for each in chancy]
    summed = sum(expanded)
    doubts = [1 - each.chance for each in chancy]
    mean = sum(doubt * value for doubt, value in zip(doubts, expanded, strict=True)) / sum(doubts)
    squares = sum(doubt * (value - mean) ** 2 for doubt, value in zip(doubts, expanded, strict=True))
    error = sqrt(squares * len(chancy) / (len(chancy) - 1))
    differences = sum(1 for each in chancy if each.delta)
    heaviest = max(map(abs, expanded)) or max(scaling * abs(each.total) / each.chance for each in chancy)
    spread = max(student(differences - 1) * error, _may_be_missed(len(chancy)) * heaviest)
    return Sum(certain + round(summed), certain + floor(summed - spread), certain + ceil(summed + spread))


@dataclass(frozen=True)
class Expansion:
    """A uniform sample of `looked_at` of a `population`, that another sample was drawn from."""

    looked_at: int
    population: int

    def of(self, found: Sum, drawn: Sequence[Weighed], *, expected: float) -> Sum:
        """What `sum_interval` found of the rows looked at, as the sum of the population's deltas. `drawn` and `expected` as there.

        What the first sample leaves to chance is added to what the second did: the rows' second moment is estimated as their sum is, and
        to that what such a sample may well have missed, rows as heavy as the heaviest that was drawn: where few hold most of the money, a
        sample that missed some of them does not know how much it may vary.
        """
        chancy = sum(1 for each in drawn if each.chance < 1)
        scaling = expected / chancy if chancy else 1.0
        squares = sum(each.delta**2 * (1 if each.chance >= 1 else scaling / each.chance) for each in drawn)
        variance = max(squares / self.looked_at - (found.estimate / self.looked_at) ** 2, 0)
        factor = self.population / self.looked_at
        error = self.population * sqrt((1 - 1 / factor) * variance / self.looked_at)
        heaviest = max((abs(each.delta) for each in drawn), default=0) or max(
            (abs(each.total) for each in drawn), default=0
        )
        spread = hypot(Z * error, _may_be_missed(self.looked_at) * factor * heaviest)
        below = hypot(factor * (found.estimate - found.low), spread)
        above = hypot(factor * (found.high - found.estimate), spread)
        estimate = factor * found.estimate
        return Sum(round(estimate), floor(estimate - below), ceil(estimate + above))


def _may_be_missed(draws: int) -> float:
    """Of so many draws, how many could by 95% have been of a kind that none of them was."""
    return draws * Z * Z / (draws + Z * Z)


def student(freedom: int) -> float:
    """Two-sided 95% quantile of Student's t; of 1 degree of freedom where there is none."""
    if freedom <= len(_STUDENT):
        return _STUDENT[max(freedom, 1) - 1]
    return (
        Z
        + (Z**3 + Z) / (4 * freedom)
        + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)
        + (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / (384 * freedom**3)
    )
