"""Looking for transactions: how many stand on a matching calculation, of which releases, in which hours; and a page of them.

Only what a transaction stands on counts. A proposal that was never applied changes no answer here.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from transactions.models import Release
from transactions.selection import Selection

_ALONG_THE_KEYSET = """
    transactions_calculation c
    CROSS JOIN LATERAL (
        SELECT FROM transactions_currentcalculation current
        WHERE current.transaction_id = c.transaction_id AND current.calculation_id = c.id OFFSET 0
    ) AS standing
"""
_FACTS = """
    CROSS JOIN LATERAL (
        SELECT id, reference, store_id, currency, scale, occurred_at FROM transactions_transaction
        WHERE id = c.transaction_id OFFSET 0
    ) AS t
"""
_FROM_THE_STORES = """
    transactions_transaction t
    CROSS JOIN LATERAL (
        SELECT calculation_id FROM transactions_currentcalculation WHERE transaction_id = t.id OFFSET 0
    ) AS standing
    CROSS JOIN LATERAL (
        SELECT id, transaction_id, release_id, calculated_at, total FROM transactions_calculation
        WHERE id = standing.calculation_id AND transaction_id = t.id OFFSET 0
    ) AS c
"""


def standing(selection: Selection, *, with_facts: bool = False) -> str:
    """SQL for FROM: calculations `c` that their transactions stand on and, `with_facts` or where the selection needs them, facts `t`.

    Everything is looked up by primary key, from the keyset or, where stores are selected, from theirs. OFFSET 0 keeps the planner
    from choosing otherwise. It takes the two columns of the pointer for independent, so it expects next to no match and would sort
    all for a page of them; and an ANALYZE during the first import finds no row, whereupon joins that look free take time by the square.
    """
    if selection.stores:
        return _FROM_THE_STORES
    return _ALONG_THE_KEYSET + (_FACTS if with_facts or selection.needs_transaction else "")


@dataclass(frozen=True)
class Counts:
    """How many transactions match: in all, by release, and by hour of calculated_at (UTC, the hour's beginning)."""

    matched: int
    by_release: list[tuple[Release, int]]
    by_hour: list[tuple[datetime, int]]


@dataclass(frozen=True)
class FoundTransaction:
    """A matching transaction with the calculation that it stands on. `total` is in smallest units of `scale` digits."""

    transaction_id: int
    reference: str
    store: str
    currency: str
    scale: int
    occurred_at: datetime
    calculation_id: int
    release_id: int
    calculated_at: datetime
    total: int

    @property
    def place(self) -> "Place":
        """Where the next page begins, if this is the last row of one."""
        return Place(self.release_id, self.calculated_at, self.calculation_id)


@dataclass(frozen=True)
class Place:
    """A place in the order of the pages: release, calculated_at, calculation id."""

    release_id: int
    calculated_at: datetime
    calculation_id: int


def count(selection: Selection) -> Counts:
    """How many transactions match, by release and by hour, exactly, in one pass. Raises `InvalidSelection`."""
    releases = {release.pk: release for release in selection.releases()}
    condition = selection.condition()
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.release_id, date_trunc('hour', c.calculated_at, 'UTC'), count(*)
            FROM {standing(selection)}
            WHERE c.release_id = ANY(%(releases)s) AND {condition.sql}
            GROUP BY 1, 2
            """,
            condition.params | {"releases": list(releases)},
        )
        cells = cursor.fetchall()
    # Releases without a row are left out: one may be known only as the target of a preview, which is to change no answer here.
    by_release: dict[int, int] = {}
    by_hour: dict[datetime, int] = {}
    for release_id, hour, rows in cells:
        by_release[release_id] = by_release.get(release_id, 0) + rows
        by_hour[hour] = by_hour.get(hour, 0) + rows
    return Counts(
        matched=sum(by_release.values()),
        by_release=[(releases[release_id], rows) for release_id, rows in sorted(by_release.items())],
        by_hour=sorted(by_hour.items()),
    )


def page(selection: Selection, *, after: Place | None = None, limit: int = 100) -> list[FoundTransaction]:
    """The next `limit` matching transactions behind `after`. A deep page costs what the first one does.

    Where few of a release's transactions match, by store or currency, more of its keyset is walked to fill a page.
    """
    found: list[FoundTransaction] = []
    for release in selection.releases():
        if len(found) == limit:
            break
        if after is None or release.pk > after.release_id:
            found += _page_of_release(selection, release.pk, None, limit - len(found))
        elif release.pk == after.release_id:
            found += _page_of_release(selection, release.pk, after, limit - len(found))
    return found


def _page_of_release(
    selection: Selection, release_id: int, after: Place | None, limit: int
) -> list[FoundTransaction]:
    """One release at a time, since the keyset gives an order only within one."""
    condition = selection.condition()
    parameters: dict[str, Any] = condition.params | {"release": release_id, "limit": limit}
    behind = "TRUE"
    if after is not None:
        behind = "(c.calculated_at, c.id) > (%(calculated_at)s, %(calculation)s)"
        parameters |= {"calculated_at": after.calculated_at, "calculation": after.calculation_id}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT t.id, t.reference, s.reference, t.currency, t.scale, t.occurred_at, c.id, c.release_id, c.calculated_at, c.total
            FROM {standing(selection, with_facts=True)}
            CROSS JOIN LATERAL (SELECT reference FROM transactions_store WHERE id = t.store_id OFFSET 0) AS s
            WHERE c.release_id = %(release)s AND {condition.sql} AND {behind}
            ORDER BY c.calculated_at, c.id
            LIMIT %(limit)s
            """,
            parameters,
        )
        return [FoundTransaction(*row) for row in cursor.fetchall()]
