"""How many transactions are wrong, and by how much, from random samples.

The share comes from a uniform sample without replacement: the transactions whose calculations' ids hash lowest under a seed.
Money comes from a sample of its own. A few large transactions hold most of the money, and a uniform sample has hardly any of
them: its intervals missed the truth up to every second time. So half of a transaction's chance to be drawn is by its size, within
its currency and scale, and half is the same for all, since an error need not grow with size.

Both are drawn in one statement, of one state of the database; a seed gives the same samples again. Where more than
`READ_WHOLE` transactions match, both are drawn from a uniform sample of `LOOKED_AT` of the window, and what that leaves to chance is
in the intervals of the money.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from secrets import randbits
from typing import NamedTuple

import orjson
from django.db import connection

from audit.errors import Refused
from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure, RegisteredCalculator, run
from transactions.calculators.protocol import Batch, Result
from transactions.canonical import amounts_json
from transactions.confidence import Expansion, Share, Weighed, share_interval, sum_interval
from transactions.finder import count
from transactions.sampling import everything, random_sample
from transactions.selection import Selection

SAMPLE_SIZE = 1000
LARGEST_SAMPLE = 100_000
"""A sample is held in memory; beyond this size a preview is the better question."""
READ_WHOLE = 50_000
"""Up to so many matching transactions, all of their totals are looked at."""
LOOKED_AT = 25_000
"""Beyond, the totals of so many."""
_LEAST_PER_CURRENCY = 100
"""So many are drawn for the money of even the rarest currency, or the sample's size where that is less."""
_BATCH = 1000
"""Rows that a calculator is asked for at a time."""

Asking = Callable[[RegisteredCalculator, Batch], list[Result]]
"""How a calculator is asked for checked answers, one a row: in this process, or locked away."""


class SampleSizeImpossible(Refused):
    """A sample must have at least one transaction and at most `LARGEST_SAMPLE`."""


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
    """What samples say of `population` transactions. `exact` where the uniform one, of `sampled`, was all of them.

    `wrong` and `failed` are counts of the uniform sample. `weighed` is the size of the sample that `money` comes from.
    """

    target_version: str
    population: int
    sampled: int
    weighed: int
    seed: int
    wrong: int
    failed: int
    share_wrong: Share
    money: list[MoneyEstimate]

    @property
    def exact(self) -> bool:
        """Whether nothing was left to chance."""
        return self.sampled >= self.population


class _Drawn(NamedTuple):
    """A sampled transaction, for which of the samples, and what is known of all that share its currency and scale.

    `weight` is the chance it had to be drawn for money, and above 1 where it was certain and there was more to give; `draws` is
    the sum of all weights, 0 where all were taken; `size` is the sum of the totals' absolute values. `looked_at` of all that stand in the
    window (`standing`) were looked at, and `population` of those match; where all were, both are None.
    """

    currency: str
    scale: int
    amounts: str
    total: int
    inputs: str
    uniformly: bool
    by_size: bool
    weight: float
    draws: float
    size: float
    population: int
    looked_at: int | None
    standing: int | None

    @property
    def expansion(self) -> Expansion | None:
        """What is to be made of those looked at, where they were not all."""
        if self.looked_at is None or self.standing is None or self.looked_at >= self.standing:
            return None
        return Expansion(self.looked_at, self.standing)


class _Recalculated(NamedTuple):
    """What the target makes of a sampled transaction. `delta` is 0 where it agrees, and where it fails."""

    drawn: _Drawn
    delta: int
    wrong: bool
    failed: bool


def estimate(
    selection: Selection,
    target_version: str,
    *,
    sample_size: int = SAMPLE_SIZE,
    seed: int | None = None,
    quickly: bool = False,
    asking: Asking = run,
) -> Estimate:
    """Recalculate random samples with the target and infer; `quickly`, few of many are not all sought: see `transactions.finder.count`.

    A transaction is wrong where any of its amounts differs; one that the target cannot calculate counts as failed, not as wrong, and
    adds nothing to the money. `asking` runs the calculator. Raises `InvalidSelection`, `TargetWithoutCode`, `SampleSizeImpossible`.
    """
    if not 1 <= sample_size <= LARGEST_SAMPLE:
        raise SampleSizeImpossible(
            f"A sample of {sample_size:,} cannot be drawn: take 1 to {LARGEST_SAMPLE:,}, or preview all."
        )
    calculator = calculator_for(selection.calculator, target_version)
    seed = randbits(31) if seed is None else seed
    rows = list(_recalculated(calculator, asking, _draw(selection, sample_size, seed, quickly=quickly)))
    population = rows[0].drawn.population if rows else 0
    if rows and (expansion := rows[0].drawn.expansion) is not None:
        population = round(population * expansion.population / expansion.looked_at)
    uniform = [row for row in rows if row.drawn.uniformly]
    by_size = [row for row in rows if row.drawn.by_size]
    wrong = sum(row.wrong for row in uniform)
    return Estimate(
        target_version=target_version,
        population=population,
        sampled=len(uniform),
        weighed=len(by_size),
        seed=seed,
        wrong=wrong,
        failed=sum(row.failed for row in uniform),
        share_wrong=share_interval(wrong, len(uniform), population),
        money=_money(by_size),
    )


def _draw(selection: Selection, size: int, seed: int, *, quickly: bool) -> list[_Drawn]:
    """The rows of both samples, in one pass over the matching transactions' totals. A row may be in both."""
    counts = count(selection, quickly=quickly)
    if counts.matched <= max(READ_WHOLE, size) and (counts.exact or not quickly):
        members = everything(selection)
    else:
        members = random_sample(selection, size=max(LOOKED_AT, size), seed=seed)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH {members.sql}, uniform AS MATERIALIZED (
                SELECT id FROM member ORDER BY hashint8extended(id, %(seed)s), id LIMIT %(sample_size)s
            ), kind AS (
                SELECT currency, scale, count(*) AS members, sum(abs(total::float8)) AS size,
                       (sum(count(*)) OVER ())::bigint AS population
                FROM member GROUP BY currency, scale
            ), planned AS MATERIALIZED (
                SELECT *, greatest(
                    ceil(%(sample_size)s::numeric * members / population), least(%(sample_size)s, %(least)s)
                )::float8 AS draws
                FROM kind
            ), drawn AS (
                SELECT member.id, member.transaction_id, member.total, planned.*, id IN (SELECT id FROM uniform) AS uniformly,
                    -- 53 bits of a second hash, independent of the first: a number from 0 up to 1.
                    (hashint8extended(id, ~%(seed)s::bigint) & 9007199254740991)::float8 / 9007199254740992 AS lot,
                    CASE WHEN draws >= members THEN 1
                         ELSE draws * (0.5 / members + 0.5 * coalesce(abs(member.total::float8) / nullif(planned.size, 0), 1.0 / members))
                    END AS weight
                FROM member JOIN planned USING (currency, scale)
            )
            SELECT drawn.currency, drawn.scale, c.amounts::text, drawn.total, t.inputs::text, uniformly, lot < weight, weight,
                   CASE WHEN draws >= members THEN 0 ELSE draws END, drawn.size, population, frame.looked_at, frame.standing
            FROM frame CROSS JOIN drawn
            CROSS JOIN LATERAL (
                SELECT amounts FROM transactions_calculation WHERE id BETWEEN drawn.id AND drawn.id ORDER BY id LIMIT 1
            ) AS c
            CROSS JOIN LATERAL (SELECT inputs FROM transactions_transaction WHERE id = drawn.transaction_id OFFSET 0) AS t
            WHERE uniformly OR lot < weight
            ORDER BY drawn.id
            """,
            members.params
            | {
                "releases": [release.pk for release in selection.releases()],
                "seed": seed,
                "sample_size": size,
                "least": _LEAST_PER_CURRENCY,
            },
        )
        return [_Drawn(*row) for row in cursor.fetchall()]


def _recalculated(
    calculator: RegisteredCalculator, asking: Asking, rows: list[_Drawn]
) -> Iterator[_Recalculated]:
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        results = asking(calculator, [(orjson.loads(row.inputs), row.scale) for row in batch])
        for row, result in zip(batch, results, strict=True):
            if isinstance(result, CalculationFailure):
                yield _Recalculated(row, 0, wrong=False, failed=True)
            else:
                wrong = amounts_json(result) != row.amounts
                yield _Recalculated(row, result["total"] - row.total, wrong, failed=False)


def _money(rows: list[_Recalculated]) -> list[MoneyEstimate]:
    """By currency and scale; `draws` and `size` are the same for all rows of one."""
    kinds: dict[tuple[str, int], list[_Recalculated]] = {}
    for row in rows:
        kinds.setdefault((row.drawn.currency, row.drawn.scale), []).append(row)
    estimates = []
    for (currency, scale), members in sorted(kinds.items()):
        kind = members[0].drawn
        # Those with a weight of 1 or more are all here, so the rest of the weights is that of the population's others.
        certain = sum(row.drawn.weight for row in members if row.drawn.weight >= 1)
        weighed = [Weighed(row.drawn.total, row.delta, min(row.drawn.weight, 1)) for row in members]
        expected = kind.draws - certain
        found = sum_interval(weighed, expected=expected, size=kind.size)
        if kind.expansion is not None:
            found = kind.expansion.of(found, weighed, expected=expected)
        estimates.append(MoneyEstimate(currency, scale, found.estimate, found.low, found.high))
    return estimates
