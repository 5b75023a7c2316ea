"""Looking for transactions: how many stand on a matching calculation, of which releases, in which hours; and a page of them.

Only what a transaction stands on counts. A proposal that was never applied changes no answer here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import randbits
from typing import Any

from django.db import connection

from transactions.models import Release
from transactions.sampling import random_sample
from transactions.selection import Condition, Selection
from transactions.standing import hours_where_any_stand, standing, standing_by_hour

EXACT_TO = 50_000
"""So many matching transactions are counted one by one where the rollups have no answer."""
_SAMPLED_FOR_COUNTS = 20_000


@dataclass(frozen=True)
class Counts:
    """How many transactions match: in all, by release, and by hour of calculated_at (UTC, the hour's beginning).

    Where they are not `exact`, there are more than `EXACT_TO`, and about so many; the parts are estimates of their own.
    """

    matched: int
    by_release: list[tuple[Release, int]]
    by_hour: list[tuple[datetime, int]]
    exact: bool = True


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


_Cell = tuple[int, datetime, int]
"""A release's id, an hour, and how many transactions of that match."""


def count(selection: Selection) -> Counts:
    """How many transactions match, by release and by hour. Raises `InvalidSelection`.

    From the rollups, and exact, where only calculator, service, release and a window of calculated_at are asked. Where more is asked,
    the matching rows are counted one by one; beyond `EXACT_TO` of them their number is estimated from a random sample.
    """
    releases = {release.pk: release for release in selection.releases()}
    if not selection.needs_transaction:
        return _summed(releases, _cells(standing_by_hour(selection), {"releases": list(releases)}))
    cells = _rows_by_hour(selection, list(releases))
    if sum(rows for _, _, rows in cells) <= EXACT_TO:
        return _summed(releases, cells)
    return _summed(releases, _about_by_hour(selection, list(releases)), exact=False)


def _summed(releases: dict[int, Release], cells: list[_Cell], *, exact: bool = True) -> Counts:
    # Releases without a row are left out: one may be known only as the target of a preview, which is to change no answer here.
    by_release: dict[int, int] = {}
    by_hour: dict[datetime, int] = {}
    for release_id, hour, rows in cells:
        by_release[release_id] = by_release.get(release_id, 0) + rows
        by_hour[hour] = by_hour.get(hour, 0) + rows
    matched = sum(by_release.values())
    return Counts(
        matched=matched if exact else max(matched, EXACT_TO + 1),
        by_release=[(releases[release_id], rows) for release_id, rows in sorted(by_release.items())],
        by_hour=sorted(by_hour.items()),
        exact=exact,
    )


def _cells(query: Condition, params: dict[str, Any]) -> list[_Cell]:
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.params | params)
        return list(cursor.fetchall())


def _rows_by_hour(selection: Selection, releases: list[int]) -> list[_Cell]:
    """Of as many matching rows as are counted one by one, and one more."""
    condition = selection.condition()
    sql = f"""
        SELECT release_id, hour, count(*)
        FROM (
            SELECT c.release_id, amends_hour(c.calculated_at) AS hour
            FROM {standing(selection)}
            WHERE c.release_id = ANY(%(releases)s) AND {condition.sql}
            LIMIT {EXACT_TO + 1}
        ) AS matching
        GROUP BY 1, 2
    """
    return _cells(Condition(sql, condition.params), {"releases": releases})


def _about_by_hour(selection: Selection, releases: list[int]) -> list[_Cell]:
    """Estimated from how many of a random sample of the window match."""
    sample = random_sample(selection, size=_SAMPLED_FOR_COUNTS, seed=randbits(31))
    sql = f"""
        WITH {sample.sql}
        SELECT member.release_id, amends_hour(member.calculated_at), round(count(*) * max(frame.standing) / max(frame.looked_at))::bigint
        FROM member CROSS JOIN frame
        GROUP BY 1, 2
    """
    return _cells(Condition(sql, sample.params), {"releases": releases})


def page(selection: Selection, *, after: Place | None = None, limit: int = 100) -> list[FoundTransaction]:
    """The next `limit` matching transactions behind `after`. A deep page costs what the first one does.

    Where few of a release's transactions match, by store or currency, more of its keyset is walked to fill a page.
    """
    found: list[FoundTransaction] = []
    for release_id, begin, end in _inhabited(selection, after):
        if len(found) == limit:
            break
        behind = after if after is not None and after.release_id == release_id else None
        stretch = _Stretch(release_id, begin, end, behind)
        found += _page_of_stretch(selection, stretch, limit - len(found))
    return found


@dataclass(frozen=True)
class _Stretch:
    """Hours of a release that follow each other, from `begin` up to `end`; only what is `behind` a place in it."""

    release_id: int
    begin: datetime
    end: datetime
    behind: Place | None


def _inhabited(selection: Selection, after: Place | None) -> list[tuple[int, datetime, datetime]]:
    """Where there is anything at all: release, and from when to when transactions stand on calculations of every hour.

    All that a release calculated may have been corrected since, or proposed and never applied: no page is to walk through that.
    """
    hours = hours_where_any_stand(selection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH counted AS ({hours.sql})
            SELECT release_id, min(hour), max(hour) + interval '1 hour'
            FROM (
                SELECT release_id, hour,
                       hour - row_number() OVER (PARTITION BY release_id ORDER BY hour) * interval '1 hour' AS stretch
                FROM counted WHERE (release_id, hour) >= (%(after_release)s, %(after_hour)s)
            ) AS numbered
            GROUP BY release_id, stretch
            ORDER BY 1, 2
            """,
            hours.params
            | {
                "releases": [release.pk for release in selection.releases()],
                "after_release": after.release_id if after else 0,
                "after_hour": after.calculated_at - timedelta(hours=1) if after else "-infinity",
            },
        )
        return list(cursor.fetchall())


def _page_of_stretch(selection: Selection, stretch: _Stretch, limit: int) -> list[FoundTransaction]:
    """One release at a time, since the keyset gives an order only within one."""
    condition = selection.condition()
    parameters: dict[str, Any] = condition.params | {
        "release": stretch.release_id,
        "begin": stretch.begin,
        "end": stretch.end,
        "limit": limit,
    }
    behind = "TRUE"
    if stretch.behind is not None:
        behind = "(c.calculated_at, c.id) > (%(calculated_at)s, %(calculation)s)"
        parameters |= {
            "calculated_at": stretch.behind.calculated_at,
            "calculation": stretch.behind.calculation_id,
        }
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT t.id, t.reference, s.reference, t.currency, t.scale, t.occurred_at, c.id, c.release_id, c.calculated_at, c.total
            FROM {standing(selection, with_facts=True)}
            CROSS JOIN LATERAL (SELECT reference FROM transactions_store WHERE id = t.store_id OFFSET 0) AS s
            WHERE c.release_id = %(release)s AND c.calculated_at >= %(begin)s AND c.calculated_at < %(end)s
              AND {condition.sql} AND {behind}
            ORDER BY c.calculated_at, c.id
            LIMIT %(limit)s
            """,
            parameters,
        )
        return [FoundTransaction(*row) for row in cursor.fetchall()]
