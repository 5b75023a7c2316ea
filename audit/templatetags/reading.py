"""How times, names and stored data are written for people."""

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext

register = template.Library()


@register.filter
def moment(at: datetime | None, zone: tzinfo | None = None) -> str | SafeString:
    """A time to the second, in the reader's zone, with UTC at hand; "" for None.

    `zone` is one that the page was asked for, as the trail is: then UTC stands beside it to be read, and not only as the title.
    """
    if at is None:
        return ""
    in_utc = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    local = at.astimezone(zone or get_current_timezone())
    if not local.utcoffset():
        return format_html('<time datetime="{}">{}</time>', at.isoformat(), in_utc)
    in_zone = f"{local:%Y-%m-%d %H:%M:%S} {_zone_mark(local)}"
    if zone is None:
        return format_html(
            '<time datetime="{}" title="{}">{}</time>', at.astimezone(UTC).isoformat(), in_utc, in_zone
        )
    return format_html(
        '<time datetime="{}">{}</time> <span class="local">({})</span>',
        at.astimezone(UTC).isoformat(),
        in_zone,
        in_utc,
    )


def _zone_mark(local: datetime) -> str:
    """The zone's short name at that time where it has one, "CEST"; else its offset, "UTC+05:30"."""
    name = local.tzname() or ""
    return name if name.isalpha() else f"UTC{local:%z}"[:6] + ":" + f"{local:%z}"[3:5]


def spoken(at: datetime) -> str:
    """A time to the minute, in the reader's zone and language, to be read aloud: "March 2, 2026, 08:00 UTC"."""
    local = at.astimezone(get_current_timezone())
    mark = _zone_mark(local) if local.utcoffset() else "UTC"
    return f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M} {mark}"


@register.filter
def grouped(number: int) -> str:
    """A number of things, grouped by thousands."""
    return str(number_format(number, decimal_pos=0, use_l10n=True, force_grouping=True))


@register.filter
def duration(length: timedelta) -> str:
    """A length of time in its two largest units: "2 h 5 min", "14 s", "under a second"."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return gettext("under a second")
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))]
    first = next(index for index, part in enumerate(parts) if not part.startswith("0 "))
    return " ".join(part for part in parts[first : first + 2] if not part.startswith("0 "))


@register.filter
def since(end: datetime, begin: datetime) -> str:
    """How long it was from `begin` to `end`: "2 min 5 s"."""
    return duration(end - begin)


@register.filter
def pretty_json(value: Any) -> str:
    """Stored data on several lines, as a person can read it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


@register.filter
def page_of(subject: Any) -> str:
    """The address of a thing's own page, "" where it has none."""
    try:
        return reverse(
            f"admin:{subject._meta.app_label}_{subject._meta.model_name}_change", args=[subject.pk]
        )
    except NoReverseMatch:
        return ""


@register.filter
def hexadecimal(value: bytes | memoryview | None) -> str:
    """Octets as hexadecimal digits; "" for None."""
    return bytes(value).hex() if value is not None else ""
