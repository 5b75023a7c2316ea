"""Every page that somebody can get to by following links: found by following them, so that a new page is not forgotten."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import MappingProxyType
from urllib.parse import urldefrag, urljoin, urlsplit

from django.test import Client
from django.urls import Resolver404, resolve

SEARCHES = frozenset(
    {"admin:find", "admin:find_estimate", "admin:find_onset", "admin:remediation_case_open", "admin:search"}
)
"""Views that take the parameters of a search: with any of them they are the same page, and there are too many sets of them to follow."""


@dataclass
class ReachablePages:
    """Addresses of pages, and of the parts that pages load by themselves, by the name of their view; and what did not answer with either:
    address → status.
    """

    by_view: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each page's view and address."""
        for view, addresses in sorted(self.by_view.items()):
            yield from ((view, address) for address in addresses)


class _Links(HTMLParser):
    """Where a page leads: its links, and the parts that it loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        for name in ("href", "hx-get"):
            address = named.get(name)
            if address and tag != "link" and "download" not in named:
                self.found.append(address)


def reachable_pages(
    client: Client, *, start: str = "/", each_view: int = 2, more_of: Mapping[str, int] = MappingProxyType({})
) -> ReachablePages:
    """Every page that leads on from `start`, at most `each_view` addresses of a view, told apart by which parameters they have too.

    `more_of` says of how many addresses of some views, by name. Files that pages offer (not HTML) are asked for once and left out.
    """
    pages = ReachablePages()
    waiting, seen, counted = [start], {start}, dict[tuple[str, tuple[str, ...]], int]()
    while waiting:
        address = waiting.pop(0)
        kind = _kind(address)
        if kind is None or counted.get(kind, 0) >= more_of.get(kind[0], each_view):
            continue
        counted[kind] = counted.get(kind, 0) + 1
        answer = client.get(address)
        if answer.status_code in (301, 302):
            following = [answer["Location"]]
        elif answer.status_code != 200:
            pages.broken[address] = answer.status_code
            continue
        elif not answer["Content-Type"].startswith("text/html"):
            continue
        else:
            page = answer.getvalue().decode()  # some are streamed
            kinds = pages.by_view if "<html" in page else pages.parts
            kinds.setdefault(kind[0], []).append(address)
            links = _Links()
            links.feed(page)
            following = links.found
        for link in following:
            known = urldefrag(urljoin(address, link)).url
            if known not in seen:
                seen.add(known)
                waiting.append(known)
    return pages


def _kind(address: str) -> tuple[str, tuple[str, ...]] | None:
    """The view's name and the names of the parameters; None for what is not this site's, or nobody can ask for."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or parts.path.startswith("/static/"):
        return None
    try:
        view = resolve(parts.path).view_name
    except Resolver404:
        view = "nowhere"
    parameters = sorted({pair.partition("=")[0] for pair in parts.query.split("&") if pair})
    return view, () if view in SEARCHES else tuple(parameters)
