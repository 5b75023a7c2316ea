"""Cutting a release's calculations into bounded pieces along their keyset (release, calculated_at, id)."""

from datetime import datetime

from django.conf import settings
from django.db import connection

from transactions.selection import Selection

Bound = tuple[datetime, int]
"""A place in a release's keyset: (calculated_at, calculation id)."""


def chunk_bounds(release_id: int, selection: Selection, high_water: int) -> list[tuple[Bound, Bound]]:
    """(after, through] bounds of at most AMENDS_PLAN_CHUNK_ROWS calculations each, in the order (calculated_at, id).

    Walks the keyset's index and nothing else, a chunk at a time: no statement takes longer than a chunk of it.
    """
    window = {
        "release": release_id,
        "high_water": high_water,
        "low": selection.calculated_from,
        "before": selection.calculated_before,
    }
    with connection.cursor() as cursor:
        ends: dict[str, Bound | None] = {}
        for end, order in (("first", "calculated_at, id"), ("last", "calculated_at DESC, id DESC")):
            cursor.execute(f"{_WINDOW} ORDER BY {order} LIMIT 1", window)
            ends[end] = cursor.fetchone()
        first, last = ends["first"], ends["last"]
        if first is None or last is None:
            return []
        after: Bound = (first[0], first[1] - 1)
        bounds: list[tuple[Bound, Bound]] = []
        while after != last:
            cursor.execute(
                f"{_WINDOW} AND (calculated_at, id) > (%(after_at)s, %(after_id)s)"
                " ORDER BY calculated_at, id OFFSET %(rows)s - 1 LIMIT 1",
                window
                | {"after_at": after[0], "after_id": after[1], "rows": settings.AMENDS_PLAN_CHUNK_ROWS},
            )
            through: Bound = cursor.fetchone() or last
            bounds.append((after, through))
            after = through
    return bounds


_WINDOW = """
    SELECT calculated_at, id FROM transactions_calculation
    WHERE release_id = %(release)s AND id <= %(high_water)s
      AND (%(low)s::timestamptz IS NULL OR calculated_at >= %(low)s)
      AND (%(before)s::timestamptz IS NULL OR calculated_at < %(before)s)
"""


def newest_calculation() -> int:
    """The highest calculation id that is visible now: what comes later is what arrived since."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM transactions_calculation")
        return int(cursor.fetchone()[0])
