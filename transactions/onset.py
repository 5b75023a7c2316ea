"""When a release's mismatches began and ended, against the code of another version.

All of what matches is looked at where that is little. Otherwise a uniform random sample is recalculated, and each end of what is wrong
in it is narrowed: between the last that are right and the first that is wrong another sample is drawn, and so on, until what lies
between is little enough to be looked at whole. How many right ones in a row are taken to mean that nothing is wrong before them depends
on the share that is wrong in between: so many that chance would give them once in a thousand times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, log
from secrets import randbits

import orjson
from django.db import connection

from audit.errors import Refused
from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure, RegisteredCalculator, run
from transactions.canonical import amounts_json
from transactions.estimate import Asking
from transactions.finder import EXACT_TO, count
from transactions.models import Release
from transactions.sampling import everything, random_sample
from transactions.selection import Condition, Selection
from transactions.standing import begins_at_facts

SAMPLED = 3000
"""So many transactions of the window are looked at first; where there are no more, nothing is left to chance."""
NARROWED_BY = 500
"""So many of what lies between are looked at each time."""
READ_WHOLE = 4000
"""Where no more lie between, all of them are."""
ROUNDS = 6
_BY_CHANCE = 0.001
_LOOKED_AT = 25_000
"""Where more than a window is asked, the sample comes from so many of the window."""
_BATCH = 1000


class SeveralReleases(Refused):
    """The onset is that of one release: several would blur each other's."""


@dataclass(frozen=True, order=True)
class Look:
    """A transaction that was recalculated, in the order of their calculations; one that cannot be is not wrong."""

    calculated_at: datetime
    calculation_id: int
    transaction_id: int
    reference: str
    wrong: bool
    failed: bool


@dataclass(frozen=True)
class Edge:
    """The first or the last wrong transaction that was found.

    `exact`: every transaction from it to `searched_to` was looked at, and none is wrong. What lies beyond that was sampled; `right_beyond`
    are known to be right beyond the edge, and where they are `too_few` it may only seem to have begun, or ended, within the window.
    """

    look: Look
    exact: bool
    searched_to: datetime
    right_beyond: int
    too_few: bool


@dataclass(frozen=True)
class Onset:
    """What was looked at and found. `sample` is uniform, and all of what matches where it is `complete`.

    `looked_at` counts what was recalculated in all. `began` and `ended` are None where nothing wrong was found.
    """

    release: Release
    target_version: str
    seed: int
    sample: list[Look]
    complete: bool
    looked_at: int
    began: Edge | None
    ended: Edge | None

    @property
    def wrong(self) -> int:
        """How many of the sample are wrong."""
        return sum(look.wrong for look in self.sample)

    @property
    def failed(self) -> int:
        """How many of the sample the target cannot calculate."""
        return sum(look.failed for look in self.sample)

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """From when to before when, in whole seconds, all that was found wrong was calculated; a little more where an edge is not exact."""
        if self.began is None or self.ended is None:
            return None
        first = self.began.look.calculated_at if self.began.exact else self.began.searched_to
        last = self.ended.look.calculated_at if self.ended.exact else self.ended.searched_to
        return first.replace(microsecond=0), last.replace(microsecond=0) + timedelta(seconds=1)


def find_onset(
    selection: Selection, target_version: str, *, seed: int | None = None, asking: Asking = run
) -> Onset:
    """When what is selected of one release began to differ from what the target's code makes of it, and when that ended.

    Raises `InvalidSelection`, `TargetWithoutCode`, `SeveralReleases`. The same seed in the same database gives the same.
    """
    releases = selection.releases()
    if len(releases) > 1:
        raise SeveralReleases(
            "Choose one release of one service: " + ", ".join(str(release) for release in releases) + "."
        )
    seed = randbits(31) if seed is None else seed
    search = _Search(
        selection, calculator_for(selection.calculator, target_version), releases[0], seed, asking
    )
    sample, complete = search.sampled(selection, SAMPLED)
    began = ended = None
    if any(look.wrong for look in sample):
        right_in_a_row = _right_in_a_row(sample)
        began = search.edge(sample, complete, right_in_a_row, last=False)
        ended = search.edge(sample, complete, right_in_a_row, last=True)
    return Onset(releases[0], target_version, seed, sample, complete, search.looked_at, began, ended)


def _right_in_a_row(sample: Sequence[Look]) -> int:
    """How many right ones in a row there hardly are where it is wrong, by the share that is wrong from the first wrong one to the last."""
    wrong = [index for index, look in enumerate(sample) if look.wrong]
    share = len(wrong) / (wrong[-1] - wrong[0] + 1)
    return 1 if share >= 1 else max(1, ceil(log(_BY_CHANCE) / log(1 - share)))


@dataclass
class _Search:
    selection: Selection
    calculator: RegisteredCalculator
    release: Release
    seed: int
    asking: Asking
    looked_at: int = 0

    def edge(self, sample: list[Look], complete: bool, right_in_a_row: int, *, last: bool) -> Edge:
        """The first wrong transaction, or the `last`, as near as it can be had."""
        looks, sampled_beyond = sample, 0
        for round_number in range(ROUNDS + 1):
            ordered = looks[::-1] if last else looks
            found = next(index for index, look in enumerate(ordered) if look.wrong)
            edge, right = ordered[found], ordered[:found]
            # What lies further out than so many right ones is taken to be right, and not looked at again.
            nearest, further = right[-right_in_a_row:], right[:-right_in_a_row]
            limit = nearest[0].calculated_at if len(nearest) == right_in_a_row else None
            known = sampled_beyond + len(right)
            sampled_beyond += len(further)
            if complete:
                beyond = ordered[0].calculated_at if right else edge.calculated_at
                return Edge(edge, True, beyond, known, known < right_in_a_row)
            between = self._between(limit, edge, last=last)
            looks, complete = self._whole(between), True
            if not looks:
                if round_number == ROUNDS:
                    bound = between.calculated_before if last else between.calculated_from
                    beyond = bound or ordered[0].calculated_at
                    return Edge(edge, False, beyond, known, known < right_in_a_row)
                drawn, complete = self.sampled(between, NARROWED_BY)
                looks = sorted({*drawn, *nearest, edge})
        raise AssertionError("A search ends in its last round.")

    def _between(self, limit: datetime | None, edge: Look, *, last: bool) -> Selection:
        """What lies from the right ones, or from the window's end, to the edge; with both."""
        tick = timedelta(microseconds=1)
        if last:
            before = self.selection.calculated_before if limit is None else limit + tick
            return replace(self.selection, calculated_from=edge.calculated_at, calculated_before=before)
        begin = self.selection.calculated_from if limit is None else limit
        return replace(self.selection, calculated_from=begin, calculated_before=edge.calculated_at + tick)

    def _whole(self, between: Selection) -> list[Look]:
        """All of it; nothing where that is too much."""
        if count(between if begins_at_facts(between) else between.window).matched > READ_WHOLE:
            return []
        return self._looked_at(everything(between), READ_WHOLE * 2)

    def sampled(self, selection: Selection, size: int) -> tuple[list[Look], bool]:
        """About `size` of what is selected, and whether that is all."""
        counts = count(selection, quickly=True)
        if counts.exact and counts.matched <= size:
            return self._looked_at(everything(selection), size), True
        if counts.exact and selection.needs_transaction and counts.matched <= EXACT_TO:
            return self._looked_at(everything(selection), size), False
        drawn = max(_LOOKED_AT, size) if selection.needs_transaction else size
        return self._looked_at(random_sample(selection, size=drawn, seed=self.seed), size), False

    def _looked_at(self, members: Condition, size: int) -> list[Look]:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                WITH {members.sql}, chosen AS MATERIALIZED (
                    SELECT id, transaction_id, calculated_at FROM member ORDER BY hashint8extended(id, %(seed)s), id LIMIT %(size)s
                )
                SELECT chosen.calculated_at, chosen.id, chosen.transaction_id, t.reference, c.amounts::text, t.inputs::text, t.scale
                FROM chosen
                CROSS JOIN LATERAL (
                    SELECT amounts FROM transactions_calculation WHERE id BETWEEN chosen.id AND chosen.id ORDER BY id LIMIT 1
                ) AS c
                CROSS JOIN LATERAL (
                    SELECT reference, inputs, scale FROM transactions_transaction WHERE id = chosen.transaction_id OFFSET 0
                ) AS t
                ORDER BY chosen.calculated_at, chosen.id
                """,
                members.params | {"releases": [self.release.pk], "seed": self.seed, "size": size},
            )
            rows = cursor.fetchall()
        self.looked_at += len(rows)
        looks = []
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            results = self.asking(
                self.calculator, [(orjson.loads(inputs), scale) for *_, inputs, scale in batch]
            )
            for row, result in zip(batch, results, strict=True):
                at, calculation_id, transaction_id, reference, amounts = row[:5]
                failed = isinstance(result, CalculationFailure)
                wrong = not isinstance(result, CalculationFailure) and amounts_json(result) != amounts
                looks.append(Look(at, calculation_id, transaction_id, reference, wrong, failed))
        return looks
