"""How many transactions are wrong, and by how much, from a random sample.

The sample is uniform and without replacement: the calculations with the lowest hashes of their ids, under a seed. A seed
gives the same sample again.

Floats stand in the statistics only; money goes in and comes out as whole smallest units, the interval rounded outwards.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, sqrt
from secrets import randbits
from typing import Any

import orjson
from django.db import connection

from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure, run
from transactions.canonical import amounts_json
from transactions.finder import count
from transactions.money import divide_half_even
from transactions.selection import Selection

SAMPLE_SIZE = 1000
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
class MoneyEstimate:
    """What correcting all would add to the totals, in whole smallest units, with its 95% interval."""

    currency: str
    scale: int
    estimate: int
    low: int
    high: int


@dataclass(frozen=True)
class Estimate:
    """What a sample of `sampled` of `population` transactions says. `exact` where it was all of them."""

    target_version: str
    population: int
    sampled: int
    seed: int
    wrong: int
    failed: int
    share_wrong: Share
    money: list[MoneyEstimate]

    @property
    def exact(self) -> bool:
        """Whether nothing was left to chance."""
        return self.sampled >= self.population


@dataclass(frozen=True)
class _Drawn:
    """A sampled transaction: its money's kind, what it stands on, and what the target would add (0 where it agrees)."""

    currency: str
    scale: int
    total: int
    delta: int
    wrong: bool
    failed: bool


def estimate(
    selection: Selection, target_version: str, *, sample_size: int = SAMPLE_SIZE, seed: int | None = None
) -> Estimate:
    """Recalculate a random sample with the target and infer. Raises `InvalidSelection`, `TargetWithoutCode`.

    A transaction is wrong where any of its amounts differs; one that the target cannot calculate counts as failed, not as wrong.
    """
    calculator_for(selection.calculator, target_version)
    population = count(selection).matched
    seed = randbits(31) if seed is None else seed
    drawn = _recalculated(selection, target_version, _draw(selection, sample_size, seed))
    wrong = sum(each.wrong for each in drawn)
    return Estimate(
        target_version=target_version,
        population=population,
        sampled=len(drawn),
        seed=seed,
        wrong=wrong,
        failed=sum(each.failed for each in drawn),
        share_wrong=share_interval(wrong, len(drawn), population),
        money=_money(drawn, population),
    )


def _draw(selection: Selection, size: int, seed: int) -> list[tuple[Any, ...]]:
    """The sampled rows. The hash orders an index-only scan; pointers are looked up only for a few times the sample, and for
    more where too many of those turn out not to be current.
    """
    for candidates in (3 * size, 30 * size):
        rows = _draw_of(selection, size, seed, candidates)
        if len(rows) == size:
            return rows
    return _draw_of(selection, size, seed, None)


def _draw_of(selection: Selection, size: int, seed: int, candidates: int | None) -> list[tuple[Any, ...]]:
    """The current ones, at most `size`, of the `candidates` calculations (None: all) that the seed puts first."""
    condition = selection.condition()
    facts = (
        "JOIN transactions_transaction t ON t.id = c.transaction_id" if selection.needs_transaction else ""
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH candidate AS MATERIALIZED (
                SELECT c.id, hashint8extended(c.id, %(seed)s) AS draw
                FROM transactions_calculation c {facts}
                WHERE c.release_id = ANY(%(releases)s) AND {condition.sql}
                ORDER BY draw LIMIT %(candidates)s
            )
            SELECT c.amounts::text, c.total, f.inputs::text, f.scale, f.currency
            FROM candidate
            JOIN transactions_calculation c ON c.id = candidate.id
            JOIN transactions_currentcalculation current
              ON current.transaction_id = c.transaction_id AND current.calculation_id = c.id
            JOIN transactions_transaction f ON f.id = c.transaction_id
            ORDER BY candidate.draw LIMIT %(size)s
            """,
            condition.params
            | {
                "releases": [release.pk for release in selection.releases()],
                "seed": seed,
                "size": size,
                "candidates": candidates,
            },
        )
        return list(cursor.fetchall())


def _recalculated(selection: Selection, target_version: str, rows: list[tuple[Any, ...]]) -> list[_Drawn]:
    calculator = calculator_for(selection.calculator, target_version)
    results = run(calculator, [(orjson.loads(inputs), scale) for _, _, inputs, scale, _ in rows])
    drawn = []
    for (amounts_text, total, _, scale, currency), result in zip(rows, results, strict=True):
        failed = isinstance(result, CalculationFailure)
        after = total if isinstance(result, CalculationFailure) else result["total"]
        differs = not isinstance(result, CalculationFailure) and amounts_json(result) != amounts_text
        drawn.append(_Drawn(currency, scale, total, after - total, differs, failed))
    return drawn


def share_interval(wrong: int, sampled: int, population: int) -> Share:
    """Wilson's 95% interval of a share, with the correction for a finite population; exact where all were sampled."""
    if not sampled:
        return Share(0.0, 0.0, 1.0 if population else 0.0)
    share = wrong / sampled
    if sampled >= population:
        return Share(share, share, share)
    size = sampled * (population - 1) / (population - sampled)
    centre = (share + Z * Z / (2 * size)) / (1 + Z * Z / size)
    spread = Z * sqrt(share * (1 - share) / size + Z * Z / (4 * size * size)) / (1 + Z * Z / size)
    # What was seen is certain: so many are wrong at least, and so many right.
    low = max(centre - spread, wrong / population)
    high = min(centre + spread, 1 - (sampled - wrong) / population)
    return Share(share, min(low, share), max(high, share))


def _money(drawn: list[_Drawn], population: int) -> list[MoneyEstimate]:
    kinds = sorted({(each.currency, each.scale) for each in drawn})
    return [
        _money_of(
            currency,
            scale,
            [e for e in drawn if (e.currency, e.scale) == (currency, scale)],
            len(drawn),
            population,
        )
        for currency, scale in kinds
    ]


def _money_of(currency: str, scale: int, drawn: list[_Drawn], sampled: int, population: int) -> MoneyEstimate:
    """The total of one currency: those of other currencies are zeros of the sample.

    The interval is Student's, with as many degrees of freedom as there are differences less one, since a few large differences say
    less than many zeros suggest. With no difference at all the interval is what the share's upper bound allows, at the largest
    amount that was seen.
    """
    deltas = [each.delta for each in drawn if each.delta]
    summed = sum(deltas)
    total = divide_half_even(population * summed, sampled)
    if sampled >= population:
        return MoneyEstimate(currency, scale, total, total, total)
    if not deltas:
        largest = max(abs(each.total) for each in drawn)
        most = ceil(share_interval(0, sampled, population).high * population * largest)
        return MoneyEstimate(currency, scale, 0, -most, most)
    mean = summed / sampled
    variance = (_squares(deltas) - sampled * mean * mean) / max(sampled - 1, 1)
    error = population * sqrt(max(variance, 0) / sampled * (population - sampled) / (population - 1))
    spread = student(len(deltas) - 1) * error
    return MoneyEstimate(currency, scale, total, floor(total - spread), ceil(total + spread))


def _squares(deltas: Iterable[int]) -> int:
    return sum(delta * delta for delta in deltas)


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
