"""Times as sources write them: with an offset as they are, naive ones in the source's time zone."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_TOO_FINE = re.compile(r"[.,]\d{7}")


class TimeRefused(ValueError):
    """A text is no time, or not one that there was."""


def parse_time(text: str, zone: ZoneInfo | None) -> tuple[datetime, bool]:
    """The time, in UTC, and whether its local time exists twice (the first is taken).

    ISO 8601, a blank or T between date and time. Raises `TimeRefused`: unparsable, finer than a microsecond, naive without a `zone`, or a
    local time that does not exist because clocks were put forward over it.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TimeRefused(f"“{text[:40]}” is no ISO 8601 time, such as 2024-03-01 09:00:00.") from None
    if _TOO_FINE.search(text):
        raise TimeRefused(f"“{text[:40]}” is finer than a microsecond. Round it at its source.")
    if moment.tzinfo is not None:
        try:
            return moment.astimezone(UTC), False
        except OverflowError:
            raise TimeRefused(f"“{text[:40]}” is out of range.") from None
    if zone is None:
        raise TimeRefused(f"“{text[:40]}” has no offset. Give source.timezone in the mapping.")
    quarter = moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)
    offset, twice = _offset(quarter, zone)
    if offset is None:
        raise TimeRefused(f"{text[:40]} did not exist in {zone.key}: clocks were put forward over it.")
    return (moment - offset).replace(tzinfo=UTC), twice


@lru_cache(maxsize=100_000)
def _offset(quarter: datetime, zone: ZoneInfo) -> tuple[timedelta | None, bool]:
    """The zone's offset at a local quarter of an hour (None where it did not exist), and whether it came twice.

    Clocks are changed at quarters of an hour, everywhere and ever since there are time zones by law.
    """
    first, second = quarter.replace(tzinfo=zone), quarter.replace(tzinfo=zone, fold=1)
    offset, other = first.utcoffset(), second.utcoffset()
    if offset is None or other is None or offset == other:
        return offset, False
    back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    return (None, False) if back != quarter else (offset, True)
