"""How times, names and stored data are written for people."""

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def moment(at: datetime | None, zone: tzinfo | None = None) -> str | SafeString:
    """A time to the second, in UTC and saying so; in `zone` too where that is another one. "" for None."""
    if at is None:
        return ""
    in_utc = format_html(
        '<time datetime="{}">{} UTC</time>', at.isoformat(), f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    )
    if zone is None or str(zone) == "UTC":
        return in_utc
    local = at.astimezone(zone)
    return format_html(
        '{} <span class="local">({} {})</span>', in_utc, f"{local:%Y-%m-%d %H:%M:%S}", local.tzname()
    )


@register.filter
def grouped(number: int) -> str:
    """A number of things, grouped by thousands."""
    return str(number_format(number, decimal_pos=0, use_l10n=True, force_grouping=True))


@register.filter
def duration(length: timedelta) -> str:
    """A length of time in its two largest units: "2 h 5 min", "14 s", "under a second"."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return "under a second"
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
