"""Searching an indexed text by its beginning."""

from functools import cache

from django.db import connection
from django.db.models import Q

_LAST_CHARACTER = "\U0010ffff"


@cache
def ordered_by_code_point() -> bool:
    """Whether this database orders texts by code point: only then does an index find a beginning."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT datcollate FROM pg_database WHERE datname = current_database()")
        return str(cursor.fetchone()[0]).upper() in ("C", "POSIX", "C.UTF-8", "C.UTF8")


def begins_with(field: str, beginning: str) -> Q:
    """Rows whose `field` begins with `beginning`, found along the field's index; or is just that, where the index cannot tell."""
    if not ordered_by_code_point():
        return Q(**{field: beginning})
    return Q(**{f"{field}__gte": beginning, f"{field}__lt": beginning + _LAST_CHARACTER})
