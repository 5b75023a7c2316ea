"""Lists over tables of any size: each page is read along an index from where the last one ended; no counts, no offsets."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DataError
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.translation import gettext as _

AFTER, BEFORE = "after", "before"
"""Parameters of an address that say where a page begins, or ends: a row's place in the keyset."""


class PlaceUnreadable(ValueError):
    """A place in a list, as an address gives it, is none of that list's."""


@dataclass(frozen=True)
class KeysetPage:
    """Rows of one page, in the list's order, and where the next and the previous page begin; "" where there is none."""

    rows: list[Any]
    after: str = ""
    before: str = ""


def keyset_page(
    queryset: QuerySet[Any], keyset: Sequence[str], size: int, *, after: str = "", before: str = ""
) -> KeysetPage:
    """`size` rows of `queryset` behind the place `after`, or just ahead of `before`.

    `keyset` names local fields, all with "-" or none, that together are unique and that an index holds in that order.
    Raises `PlaceUnreadable`.
    """
    fields = [name.removeprefix("-") for name in keyset]
    descending = keyset[0].startswith("-")
    backward = bool(before)
    place = before or after
    order = [name if not backward else name[1:] if descending else f"-{name}" for name in keyset]
    try:
        if place:
            beyond = beyond_place(fields, read_place(place, len(fields)), below=descending != backward)
            queryset = queryset.filter(beyond)
        found = list(queryset.order_by(*order)[: size + 1])
    except (ValidationError, ValueError, TypeError, DataError) as error:
        if not place:
            raise
        raise PlaceUnreadable(_("“%(place)s” is no place in this list.") % {"place": place}) from error
    more, rows = len(found) > size, found[:size]
    if backward:
        rows.reverse()
    if not rows:
        return KeysetPage([])
    return KeysetPage(
        rows,
        after=place_of(rows[-1], fields) if more or backward else "",
        before=place_of(rows[0], fields) if (more if backward else bool(after)) else "",
    )


def beyond_place(fields: Sequence[str], values: list[Any], *, below: bool) -> Q:
    """Rows beyond `values` in the order of `fields`, written so that an index on the fields can begin there."""
    side = "lt" if below else "gt"
    if len(fields) == 1:
        return Q(**{f"{fields[0]}__{side}": values[0]})
    first, second = fields
    return Q(**{f"{first}__{side}e": values[0]}) & (
        Q(**{f"{first}__{side}": values[0]}) | Q(**{f"{second}__{side}": values[1]})
    )


def place_of(row: Model, fields: Sequence[str]) -> str:
    """Where `row` stands in a list along `fields`, for an address."""
    return write_place([row.serializable_value(name) for name in fields])


def write_place(values: list[Any]) -> str:
    """The values of a place, numbers, texts and times, as an address holds them."""
    return urlsafe_b64encode(json.dumps(values, cls=_Exact).encode()).decode().rstrip("=")


def read_place(place: str, length: int) -> list[Any]:
    """The values of a place in a list along `length` fields. Raises `PlaceUnreadable`."""
    try:
        values = json.loads(urlsafe_b64decode(place + "=" * (-len(place) % 4)))
    except (Base64Error, ValueError) as error:
        raise PlaceUnreadable(_("“%(place)s” is no place in a list.") % {"place": place}) from error
    if (
        not isinstance(values, list)
        or len(values) != length
        or not all(isinstance(v, str | int) for v in values)
    ):
        raise PlaceUnreadable(_("“%(place)s” is no place in this list.") % {"place": place})
    return values


class _Exact(DjangoJSONEncoder):
    """Times to the microsecond: Django's own encoder cuts them to the millisecond, and rows would be shown twice or never."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if hasattr(o, "isoformat") else super().default(o)


class KeysetChangeList(ChangeList):
    """Django's change list without its counts and offsets. The model admin's `get_keyset` says along which fields it is read."""

    page: KeysetPage
    model_admin: Any
    _places: dict[str, str]

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        if not hasattr(self, "_places"):
            # Links to filters begin at the first page again.
            self._places = {name: self.params.pop(name, "") for name in (AFTER, BEFORE)}
            for name in (AFTER, BEFORE):
                self.filter_params.pop(name, None)
        queryset: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return queryset

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return list(self.model_admin.get_keyset(request))

    def get_results(self, request: HttpRequest) -> None:
        try:
            self.page = keyset_page(
                self.queryset, self.model_admin.get_keyset(request), self.list_per_page, **self._places
            )
        except PlaceUnreadable as error:
            raise IncorrectLookupParameters from error
        self.model_admin.prepare_rows(request, self.page.rows)
        self.result_list = self.page.rows
        self.result_count = len(self.page.rows)
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = None

    @property
    def next_page(self) -> str:
        """The query string of the following page, "" on the last."""
        return self.get_query_string({AFTER: self.page.after}) if self.page.after else ""

    @property
    def previous_page(self) -> str:
        """The query string of the page ahead of this one, "" on the first."""
        return self.get_query_string({BEFORE: self.page.before}) if self.page.before else ""

    @property
    def first_page(self) -> str:
        """The query string of the first page, "" where this is it."""
        return self.get_query_string() if any(self._places.values()) else ""
