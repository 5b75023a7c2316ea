"""Cutting a release's calculations into bounded pieces along their keyset (release, calculated_at, id)."""

from datetime import datetime

from django.conf import settings
from django.db import connection

from transactions.selection import Selection

Bound = tuple[datetime, int]
"""A place in a release's keyset: (calculated_at, calculation id)."""


def chunk_bounds(release_id: int, selection: Selection, high_water: int) -> list[tuple[Bound, Bound]]:
    """(after, through] bounds of at most AMENDS_PLAN_CHUNK_ROWS calculations each, in the order (calculated_at, id)."""
    window = {"low": selection.calculated_from, "before": selection.calculated_before}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT calculated_at, id, n FROM (
                SELECT calculated_at, id, row_number() OVER keyset AS n, lead(id) OVER keyset AS following
                FROM transactions_calculation
                WHERE release_id = %(release)s AND id <= %(high_water)s
                  AND (%(low)s::timestamptz IS NULL OR calculated_at >= %(low)s)
                  AND (%(before)s::timestamptz IS NULL OR calculated_at < %(before)s)
                WINDOW keyset AS (ORDER BY calculated_at, id)
            ) AS numbered
            WHERE n = 1 OR n %% %(rows)s = 0 OR following IS NULL
            ORDER BY n
            """,
            window
            | {"release": release_id, "high_water": high_water, "rows": settings.AMENDS_PLAN_CHUNK_ROWS},
        )
        found = cursor.fetchall()
    if not found:
        return []
    first_at, first_id, _ = found[0]
    ends: list[Bound] = [
        (at, last_id) for at, last_id, n in found if n % settings.AMENDS_PLAN_CHUNK_ROWS == 0
    ]
    last: Bound = (found[-1][0], found[-1][1])
    if not ends or ends[-1] != last:
        ends.append(last)
    starts: list[Bound] = [(first_at, first_id - 1), *ends[:-1]]
    return list(zip(starts, ends, strict=True))


def newest_calculation() -> int:
    """The highest calculation id that is visible now: what comes later is what arrived since."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM transactions_calculation")
        return int(cursor.fetchone()[0])
