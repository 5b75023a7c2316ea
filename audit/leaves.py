"""Holding leaves that were kept against leaves that were hashed anew from rows, and telling which row it is that differs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Difference(NamedTuple):
    """Where the two do not agree. `row` is the place of a row whose leaf was not kept (None: the row of a kept leaf is gone),
    `kept` the place of a kept leaf that no row has (None: the row was put in). `after` is the place of the row before, -1 for none.
    """

    row: int | None
    kept: int | None
    after: int


def differences(hashed: Sequence[bytes], kept: Sequence[bytes]) -> Iterator[Difference]:
    """Every difference between the leaves of rows as they are and those that were kept, both in the rows' order.

    Between two leaves that agree, as many rows as leaves are taken for edited, and what is left over for put in or deleted.
    """
    place_of = {leaf: place for place, leaf in enumerate(kept)}
    next_kept = 0
    unmatched: list[int] = []
    for row, leaf in enumerate(hashed):
        place = place_of.get(leaf, -1)
        if place < next_kept:
            unmatched.append(row)
            continue
        yield from _between(unmatched, range(next_kept, place), row)
        unmatched = []
        next_kept = place + 1
    yield from _between(unmatched, range(next_kept, len(kept)), len(hashed))


def _between(rows: list[int], kept: range, before: int) -> Iterator[Difference]:
    for row, place in zip(rows, kept, strict=False):
        yield Difference(row, place, row - 1)
    for row in rows[len(kept) :]:
        yield Difference(row, None, row - 1)
    for place in kept[len(rows) :]:
        yield Difference(None, place, before - 1)
