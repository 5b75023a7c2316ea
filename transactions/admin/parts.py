"""Parts of the pages of transactions and stores that the floors above fill."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

PartContext = Callable[[HttpRequest, Any], dict[str, Any]]
"""Takes the request and what the page is about, and gives what its templates show."""


@dataclass(frozen=True)
class Part:
    """Templates at the top and at the bottom of a page, "" for none, and what they show."""

    context: PartContext
    top: str
    bottom: str


_parts: dict[type[Model], list[Part]] = {}


def shows_on_page_of(
    model: type[Model], *, top: str = "", bottom: str = ""
) -> Callable[[PartContext], PartContext]:
    """Register what fills a part of the page of every `model`; a decorator."""

    def register(context: PartContext) -> PartContext:
        _parts.setdefault(model, []).append(Part(context, top, bottom))
        return context

    return register


def parts_context(request: HttpRequest, subject: Model) -> dict[str, Any]:
    """What all parts of the page of `subject` show, and their templates as `top_parts` and `bottom_parts`."""
    parts = _parts.get(type(subject), [])
    context: dict[str, Any] = {}
    for part in parts:
        context |= part.context(request, subject)
    return context | {
        "top_parts": [part.top for part in parts if part.top],
        "bottom_parts": [part.bottom for part in parts if part.bottom],
    }
