"""Looking for transactions: how many stand on a matching calculation, of which releases, in which hours; and a page of them.

Only what a transaction stands on counts. A proposal that was never applied changes no answer here.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, floor
from secrets import randbits
from typing import Any, NamedTuple

from django.db import connection

from transactions.confidence import share_interval
from transactions.models import Release
from transactions.sampling import random_sample
from transactions.selection import Condition, Selection
from transactions.standing import begins_at_facts, hours_where_any_stand, standing, standing_by_hour

EXACT_TO = 50_000
"""So many matching transactions are counted one by one where the rollups have no answer."""
WALK = 20_000
"""So many standing transactions one page looks through for those that match, where only the facts tell."""
_SAMPLED_FOR_COUNTS = 20_000
_SAMPLED_QUICKLY = 3_000


@dataclass(frozen=True)
class Counts:
    """How many transactions match: in all, by release, by hour of calculated_at (UTC, the hour's beginning), and by both (`cells`).

    Where they are not `exact`, about so many match, by a sample of `looked_at` of the window; the parts are
    estimates of their own, and by 95% `low` to `high` match in all.
    """

    matched: int
    by_release: list[tuple[Release, int]]
    by_hour: list[tuple[datetime, int]]
    exact: bool = True
    cells: list["Cell"] = field(default_factory=list)
    looked_at: int = 0
    low: int = 0
    high: int = 0


class Cell(NamedTuple):
    """How many transactions of a release match in an hour of calculated_at, which begins at `hour` (UTC)."""

    release_id: int
    hour: datetime
    transactions: int


@dataclass(frozen=True)
class FoundTransaction:
    """A matching transaction with the calculation that it stands on. `total` is in smallest units of `scale` digits."""

    transaction_id: int
    reference: str
    store_id: int
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


def count(selection: Selection, *, quickly: bool = False) -> Counts:
    """How many transactions match, by release and by hour. Raises `InvalidSelection`.

    From the rollups, and exact, where only calculator, service, release and a window of calculated_at are asked. Where more is asked,
    the matching rows are counted one by one; beyond `EXACT_TO` of them their number is estimated from a random sample. Where few of many
    match, all of the window is read for that. `quickly` it is not: then a window of more than `EXACT_TO` is sampled at once.
    """
    releases = {release.pk: release for release in selection.releases()}
    if not selection.needs_transaction:
        return _summed(releases, _cells(standing_by_hour(selection), {"releases": list(releases)}))
    if quickly and not begins_at_facts(selection):
        window = _cells(standing_by_hour(selection), {"releases": list(releases)})
        if sum(cell.transactions for cell in window) > EXACT_TO:
            return _about(selection, releases, size=_SAMPLED_QUICKLY, least=0)
    cells = _rows_by_hour(selection, list(releases))
    if sum(cell.transactions for cell in cells) <= EXACT_TO:
        return _summed(releases, cells)
    return _about(selection, releases, size=_SAMPLED_FOR_COUNTS, least=EXACT_TO + 1)


def _summed(releases: dict[int, Release], cells: list[Cell], **about: Any) -> Counts:
    # Releases without a row are left out: one may be known only as the target of a preview, which is to change no answer here.
    by_release: dict[int, int] = {}
    by_hour: dict[datetime, int] = {}
    for release_id, hour, rows in cells:
        by_release[release_id] = by_release.get(release_id, 0) + rows
        by_hour[hour] = by_hour.get(hour, 0) + rows
    return Counts(
        **({"matched": sum(by_release.values())} | about),
        by_release=[(releases[release_id], rows) for release_id, rows in sorted(by_release.items())],
        by_hour=sorted(by_hour.items()),
        cells=cells,
    )


def _cells(query: Condition, params: dict[str, Any]) -> list[Cell]:
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.params | params)
        return [Cell(*row) for row in cursor.fetchall()]


def _rows_by_hour(selection: Selection, releases: list[int]) -> list[Cell]:
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


def _about(selection: Selection, releases: dict[int, Release], *, size: int, least: int) -> Counts:
    """Estimated from how many of a random sample of the window match; `least` so many are known to."""
    sample = random_sample(selection, size=size, seed=randbits(31))
    sql = f"""
        WITH {sample.sql}
        SELECT member.release_id, amends_hour(member.calculated_at), count(member.id), max(frame.looked_at), max(frame.standing)
        FROM frame LEFT JOIN member ON TRUE
        GROUP BY 1, 2
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, sample.params | {"releases": list(releases)})
        rows = cursor.fetchall()
    looked_at, population = rows[0][3], rows[0][4] or 0
    found = [Cell(*row[:3]) for row in rows if row[2]]
    share = share_interval(sum(cell.transactions for cell in found), looked_at, population)
    factor = population / max(looked_at, 1)
    cells = [cell._replace(transactions=round(cell.transactions * factor)) for cell in found]
    return _summed(
        releases,
        cells,
        matched=max(sum(cell.transactions for cell in cells), least),
        exact=False,
        looked_at=looked_at,
        low=max(floor(share.low * population), least),
        high=max(ceil(share.high * population), least),
    )


def page(selection: Selection, *, after: Place | None = None, limit: int = 100) -> list[FoundTransaction]:
    """The next `limit` matching transactions behind `after`. A deep page costs what the first one does.

    Where few of a release's transactions match, by store or currency, more of its keyset is walked to fill a page.
    """
    return page_within(selection, after=after, limit=limit, walk=None).rows


@dataclass(frozen=True)
class FoundPage:
    """Matching transactions, and where looking for more stopped before the page was full; None where it did not."""

    rows: list[FoundTransaction]
    looked_to: Place | None = None


def page_within(
    selection: Selection, *, after: Place | None = None, limit: int = 100, walk: int | None = WALK
) -> FoundPage:
    """The next `limit` matching transactions among about the next `walk` that stand behind `after` in the window; all, where it is None.

    Whole hours are looked at, so that there are a few more than `walk` where an hour has many.
    """
    if begins_at_facts(selection):
        return FoundPage(_page_from_facts(selection, after, limit))
    found: list[FoundTransaction] = []
    walked = 0
    stretches = _inhabited(selection, after, walk)
    for number, (release_id, begin, end, standing_there) in enumerate(stretches):
        behind = after if after is not None and after.release_id == release_id else None
        stretch = _Stretch(release_id, begin, end, behind)
        found += _page_of_stretch(selection, stretch, limit - len(found))
        walked += standing_there
        if len(found) == limit:
            return FoundPage(found)
        if walk is not None and walked >= walk and number == len(stretches) - 1:
            return FoundPage(found, looked_to=Place(release_id, end, 0))
    return FoundPage(found)


@dataclass(frozen=True)
class _Stretch:
    """Hours of a release that follow each other, from `begin` up to `end`; only what is `behind` a place in it."""

    release_id: int
    begin: datetime
    end: datetime
    behind: Place | None


def _inhabited(
    selection: Selection, after: Place | None, walk: int | None
) -> list[tuple[int, datetime, datetime, int]]:
    """Where there is anything at all: release, from when to when transactions stand on calculations of every hour, and how many.

    All that a release calculated may have been corrected since, or proposed and never applied: no page is to walk through that. Ends
    with the hour in which there are `walk` of them.
    """
    hours = hours_where_any_stand(selection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH counted AS ({hours.sql})
            SELECT release_id, min(hour), max(hour) + interval '1 hour', sum(transactions)::bigint
            FROM (
                SELECT release_id, hour, transactions,
                       hour - row_number() OVER (PARTITION BY release_id ORDER BY hour) * interval '1 hour' AS stretch,
                       sum(transactions) OVER (ORDER BY release_id, hour) - transactions AS ahead
                FROM counted WHERE (release_id, hour) >= (%(after_release)s, %(after_hour)s)
            ) AS numbered
            WHERE %(walk)s::bigint IS NULL OR ahead < %(walk)s
            GROUP BY release_id, stretch
            ORDER BY 1, 2
            """,
            hours.params
            | {
                "releases": [release.pk for release in selection.releases()],
                "after_release": after.release_id if after else 0,
                "after_hour": after.calculated_at - timedelta(hours=1) if after else "-infinity",
                "walk": walk,
            },
        )
        return list(cursor.fetchall())


def _page_of_stretch(selection: Selection, stretch: _Stretch, limit: int) -> list[FoundTransaction]:
    """One release at a time, since the keyset gives an order only within one."""
    behind, params = "TRUE", {}
    if stretch.behind is not None:
        behind = "(c.calculated_at, c.id) > (%(calculated_at)s, %(calculation)s)"
        params = {
            "calculated_at": stretch.behind.calculated_at,
            "calculation": stretch.behind.calculation_id,
        }
    return _found(
        selection,
        f"c.release_id = %(release)s AND c.calculated_at >= %(begin)s AND c.calculated_at < %(end)s AND {behind}"
        " AND {condition} ORDER BY c.calculated_at, c.id",
        params | {"release": stretch.release_id, "begin": stretch.begin, "end": stretch.end, "limit": limit},
    )


def _page_from_facts(selection: Selection, after: Place | None, limit: int) -> list[FoundTransaction]:
    """All transactions of the selected stores or references are looked up, and put in order."""
    behind, params = "TRUE", {}
    if after is not None:
        behind = "(c.release_id, c.calculated_at, c.id) > (%(release)s, %(calculated_at)s, %(calculation)s)"
        params = {
            "release": after.release_id,
            "calculated_at": after.calculated_at,
            "calculation": after.calculation_id,
        }
    return _found(
        selection,
        f"c.release_id = ANY(%(releases)s) AND {behind}"
        " AND {condition} ORDER BY c.release_id, c.calculated_at, c.id",
        params | {"releases": [release.pk for release in selection.releases()], "limit": limit},
    )


def _found(selection: Selection, where: str, params: dict[str, Any]) -> list[FoundTransaction]:
    condition = selection.condition()
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT t.id, t.reference, t.store_id, s.reference, t.currency, t.scale, t.occurred_at, c.id, c.release_id,
                   c.calculated_at, c.total
            FROM {standing(selection, with_facts=True)}
            CROSS JOIN LATERAL (SELECT reference FROM transactions_store WHERE id = t.store_id OFFSET 0) AS s
            WHERE {where.replace("{condition}", condition.sql)}
            LIMIT %(limit)s
            """,
            condition.params | params,
        )
        return [FoundTransaction(*row) for row in cursor.fetchall()]
