"""Times as sources write them: with an offset as they are, naive ones in the source's time zone."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_TOO_FINE = re.compile(r"[.,][0-9]{6}[0-9]*[1-9]").search
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = 40
"""Characters of a time, and of a refused text that its message repeats."""


class TimeRefused(ValueError):
    """A text is no time, or not one that there was."""


def parse_time(text: str, zone: ZoneInfo | None) -> tuple[datetime, bool]:
    """The time, in UTC, and whether its local time exists twice (the first is taken).

    ISO 8601, a blank or T between date and time. Raises `TimeRefused`: unparsable, finer than a microsecond, naive without a `zone`,
    out of range, or a local time that does not exist because clocks were put forward over it.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TimeRefused(f"{_shown(text)} is no ISO 8601 time, such as 2024-03-01 09:00:00.") from None
    if len(text) > _LONGEST or (len(text) > 26 and _TOO_FINE(text)):
        raise TimeRefused(f"{_shown(text)} is finer than a microsecond. Round it at its source.")
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC), False
        if zone is None:
            raise TimeRefused(f"{_shown(text)} has no offset. Give source.timezone in the mapping.")
        offset = _offset_of_hour(moment.replace(minute=0, second=0, microsecond=0), zone)
        if offset is not None:
            return (moment - offset).replace(tzinfo=UTC), False
        return _near_a_change(moment, zone)
    except OverflowError:
        raise TimeRefused(f"{_shown(text)} is out of range.") from None


@lru_cache(maxsize=50_000)
def _offset_of_hour(hour: datetime, zone: ZoneInfo) -> timedelta | None:
    """The zone's offset all through a local hour, or None where clocks are changed in it."""
    offsets = {
        moment.replace(tzinfo=zone, fold=fold).utcoffset()
        for moment in (hour, hour + _HOUR - _MICROSECOND)
        for fold in (0, 1)
    }
    return offsets.pop() if len(offsets) == 1 else None


def _near_a_change(moment: datetime, zone: ZoneInfo) -> tuple[datetime, bool]:
    first, second = moment.replace(tzinfo=zone), moment.replace(tzinfo=zone, fold=1)
    in_utc = first.astimezone(UTC)
    if in_utc.astimezone(zone).replace(tzinfo=None) != moment:
        raise TimeRefused(
            f"{_shown(moment.isoformat(' '))} did not exist in {zone.key}: clocks were put forward over it."
        )
    return in_utc, first.utcoffset() != second.utcoffset()


def _shown(text: str) -> str:
    return f"“{text}”" if len(text) <= _LONGEST else f"“{text[:_LONGEST]}…”"
