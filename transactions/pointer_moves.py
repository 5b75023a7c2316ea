"""Where a transaction stood at any time: every move that its pointer ever made, told by the floors that move it.

Ingest moves it by the first calculation and by supersessions; the floors above register what they move. Nothing is stored for this.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from transactions.models import Calculation, CurrentCalculation, Supersession, Transaction


@dataclass(frozen=True)
class PointerMove:
    """At `at`, by the database's clock, a transaction came to stand on calculation `to` instead of `replaced`; None where it came in."""

    at: datetime
    to: int
    replaced: int | None


class MovesUnclear(LookupError):
    """The moves that are known do not lead to where the transaction stands: something was lost, or changed by hand."""


MoveSource = Callable[[Transaction], Iterable[PointerMove]]

_sources: list[MoveSource] = []


def tells_moves(source: MoveSource) -> MoveSource:
    """Register a function that tells what it moved of a transaction; a decorator."""
    if source not in _sources:
        _sources.append(source)
    return source


@tells_moves
def superseded(transaction: Transaction) -> Iterable[PointerMove]:
    """Newer calculations by its service."""
    for each in Supersession.objects.filter(transaction=transaction).order_by("id"):
        yield PointerMove(each.recorded_at, each.superseded_by_id, each.superseded_id)


def moves_of(transaction: Transaction) -> list[PointerMove]:
    """Every move of the pointer, the earliest first, its first calculation's coming in ahead of them. Raises `MovesUnclear`."""
    standing = (
        CurrentCalculation.objects.filter(transaction=transaction)
        .values_list("calculation", flat=True)
        .first()
    )
    if standing is None:
        return []
    told = [move for source in _sources for move in source(transaction)]
    first = _first(told, standing)
    came_in = Calculation.objects.filter(pk=first).values_list("recorded_at", flat=True).first()
    if came_in is None:
        raise MovesUnclear(
            f"Calculation {first}, on which transaction {transaction.pk} first stood, is gone."
        )
    return in_order([PointerMove(came_in, first, None), *told], standing)


def stood_on(moves: Sequence[PointerMove], at: datetime) -> int | None:
    """The calculation that a transaction with these `moves`, in order, stood on at that time; None before it came in."""
    stood = None
    for move in moves:
        if move.at > at:
            break
        stood = move.to
    return stood


def _first(told: Sequence[PointerMove], standing: int) -> int:
    """The calculation that the moves lead away from once more than to it; where there is none they go round, and begin where they end."""
    away: dict[int, int] = {}
    for move in told:
        away[move.to] = away.get(move.to, 0) - 1
        if move.replaced is not None:
            away[move.replaced] = away.get(move.replaced, 0) + 1
    return next((known for known, more in away.items() if more > 0), standing)


def in_order(moves: Sequence[PointerMove], standing: int) -> list[PointerMove]:
    """`moves` as they followed each other: each begins where the one before led, all of them are used, and earlier ones come first.

    Their times alone do not tell: one is when a database transaction began, another when it was about to end, and whichever waited for
    the other's lock came later. No move is told to be earlier than the one before it. Raises `MovesUnclear` where they do not all follow
    each other to `standing`.
    """
    away: dict[int | None, list[PointerMove]] = {}
    for move in sorted(moves, key=lambda move: move.at, reverse=True):
        away.setdefault(move.replaced, []).append(move)
    # A trail along every edge of a graph, by Hierholzer: what leads into a dead end too early is what the rest is put ahead of.
    begun: list[PointerMove | None] = [None]
    backward: list[PointerMove] = []
    while begun:
        last = begun[-1]
        onward = away.get(last.to if last else None)
        if onward:
            begun.append(onward.pop())
        elif (ended := begun.pop()) is not None:
            backward.append(ended)
    ordered: list[PointerMove] = []
    stands: int | None = None
    for move in reversed(backward):
        if move.replaced != stands:
            break
        ordered.append(replace(move, at=max(move.at, ordered[-1].at)) if ordered else move)
        stands = move.to
    if len(ordered) != len(moves) or stands != standing:
        raise MovesUnclear(
            f"The moves that are known do not lead to calculation {standing}, on which it stands."
        )
    return ordered
