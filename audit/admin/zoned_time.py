"""Times as forms give them: local to a time zone that the form names, unless they say their own offset."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from django.utils.translation import gettext as _

ZONES = (
    "UTC",
    "America/Los_Angeles",
    "America/Chicago",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Zurich",
    "Africa/Johannesburg",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
)
"""Offered in forms; every zone that IANA names is understood."""
_SHOWN = 60


class Unreadable(ValueError):
    """What a form was given is no time, or no time zone. Its text says so and how one looks."""


def zone_named(given: str) -> ZoneInfo:
    """The time zone that IANA names so. Raises `Unreadable`."""
    if given not in available_timezones():
        raise Unreadable(
            _("“%(given)s” is no time zone, such as Europe/Zurich or UTC.") % {"given": given[:_SHOWN]}
        )
    return ZoneInfo(given)


def time_given(given: str, zone: ZoneInfo, *, ends: bool) -> datetime:
    """The moment, in `zone`, that a form means by `given`, such as 2026-03-02T08:00. Raises `Unreadable`.

    Where clocks were set back a time happens twice: a period begins with the first and `ends` with the second.
    """
    try:
        read = datetime.fromisoformat(given)
        local = read.astimezone(zone) if read.tzinfo else read.replace(tzinfo=zone, fold=int(ends))
        local.astimezone(UTC)  # the first and the last years have moments that UTC has not
    except (ValueError, OverflowError):
        raise Unreadable(
            _("“%(given)s” is no time, such as 2026-03-02T08:00.") % {"given": given[:_SHOWN]}
        ) from None
    return local


def for_field(moment: datetime, zone: ZoneInfo) -> str:
    """A moment as a field of type datetime-local takes it, in `zone`."""
    return f"{moment.astimezone(zone):%Y-%m-%dT%H:%M:%S}"
