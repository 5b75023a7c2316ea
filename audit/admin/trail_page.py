"""One page of the trail. What no index answers is looked for in a bounded number of entries, and the page says how far it looked."""

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import DataError
from django.utils.translation import gettext as _

from audit.admin.keyset import PlaceUnreadable, beyond_place, place_of, read_place
from audit.models import AuditEntry
from audit.trail_filter import Reading, TrailFilter, reading

LOOKED_THROUGH = 10_000
"""Entries that one page looks through at most."""
_FIELDS = ("occurred_at", "id")


@dataclass(frozen=True)
class TrailPage:
    """Entries, the newest first, and the places where older and newer ones begin; "" where there are none.

    `looked_to` is how far was looked, where that was not to the end and the page is not full for it.
    """

    rows: list[AuditEntry]
    older: str = ""
    newer: str = ""
    looked_to: datetime | None = None


def trail_page(wanted: TrailFilter, size: int, *, after: str = "", before: str = "") -> TrailPage:
    """`size` entries beyond the place `after`, which are older, or `before`, which are newer. Raises `PlaceUnreadable`."""
    backward = bool(before)
    place = before or after
    read = reading(wanted)
    try:
        if place:
            read = read.narrowed(beyond_place(_FIELDS, read_place(place, len(_FIELDS)), below=not backward))
        found = _found(read, size + 1, oldest_first=backward)
    except (ValidationError, ValueError, TypeError, DataError) as error:
        if not place:
            raise
        raise PlaceUnreadable(_("“%(place)s” is no place in the trail.") % {"place": place}) from error
    rows, more = found[:size], len(found) > size
    stopped_at = None if more else _stopped_at(read, oldest_first=backward)
    beyond = place_of(stopped_at, _FIELDS) if stopped_at else place_of(rows[-1], _FIELDS) if more else ""
    near = place_of(rows[0], _FIELDS) if rows and place else ""
    if backward:
        rows.reverse()
    return TrailPage(
        rows,
        older=(near if backward else beyond),
        newer=(beyond if backward else near),
        looked_to=stopped_at.occurred_at if stopped_at else None,
    )


def _found(read: Reading, most: int, *, oldest_first: bool) -> list[AuditEntry]:
    if not read.left:
        return list(read.ordered(oldest_first=oldest_first)[:most])
    looked_through = read.ordered(oldest_first=oldest_first).values_list("pk", flat=True)[:LOOKED_THROUGH]
    # A union within a query has no order of its own in Django: its ids are fetched first.
    within = looked_through if len(read.branches) == 1 else list(looked_through)
    entries = AuditEntry.objects.filter(read.left, pk__in=within)
    order = _FIELDS if oldest_first else tuple(f"-{name}" for name in _FIELDS)
    return list(entries.order_by(*order)[:most])


def _stopped_at(read: Reading, *, oldest_first: bool) -> AuditEntry | None:
    """The last entry that was looked at, where there may be more; None where all were."""
    if not read.left:
        return None
    return next(iter(read.ordered(oldest_first=oldest_first)[LOOKED_THROUGH - 1 : LOOKED_THROUGH]), None)
