"""How a time is written where a program reads it, or a hash or a signature covers it."""

from datetime import UTC, datetime


def utc_timestamp(moment: datetime) -> str:
    """`moment`, which has an offset, in UTC to the microsecond: "2026-11-23T04:05:06.123456Z"."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
