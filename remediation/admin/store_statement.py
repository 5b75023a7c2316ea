"""The answer on a store's page, its corrected and still wrong orders, and its statement of corrections to print and to take along."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.timezone import get_current_timezone_name, now
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from audit.admin.keyset import PlaceUnreadable, read_place, write_place
from audit.admin.zoned_time import zone_named
from audit.permission import NotPermitted
from remediation.statement import PERMISSIONS, show_statement, take_statement
from remediation.store_answer import Group, Money, StoreAnswer, answer_for, period_in_words
from remediation.store_rows import (
    REMAINING,
    STATED,
    Period,
    Place,
    Standing,
    StoreRow,
    Walked,
    count_up_to,
    walk,
    walk_some,
)
from transactions.admin.parts import shows_on_page_of
from transactions.models import Store

AT_ONCE = 500
"""A store of so many orders in the period, or fewer, is answered for on its page; of more when somebody asks."""
ROWS = 50
_ROWS_HERE, _TOTALS_HERE = "<!-- rows -->", "<!-- totals -->"

SHOWN = {"": tuple(Standing), "corrected": STATED, "wrong": REMAINING}
"""What the list can be narrowed to, by the address's `show`: all, what was corrected, what remains; or one standing alone."""


@dataclass
class Asked:
    """What an address asks for of a store's orders. `first` and `last` are days in `zone`, both included, as the form shows them."""

    zone: ZoneInfo
    period: Period = field(default_factory=Period)
    first: str = ""
    last: str = ""
    show: str = ""
    plan: int | None = None
    after: Place | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def days(self) -> dict[str, str]:
        """The period as an address has it."""
        return {name: value for name, value in (("from", self.first), ("to", self.last)) if value}

    def address(self, **more: Any) -> str:
        """A query string that asks for the same period, and for `more`."""
        return f"?{urlencode(self.days | {name: value for name, value in more.items() if value})}"

    def wants(self, row: StoreRow) -> bool:
        """Whether the list shows a row."""
        return row.standing in self.standings and (self.plan is None or row.plan == self.plan)

    @property
    def standings(self) -> tuple[Standing, ...]:
        return SHOWN.get(self.show) or (Standing(self.show),)


def read_asked(request: HttpRequest) -> Asked:
    """What the address asks for; what cannot be read is told in `problems`."""
    given = request.GET
    asked = Asked(zone_named(get_current_timezone_name()))
    begin, asked.first = _day(asked, given.get("from", ""))
    last, asked.last = _day(asked, given.get("to", ""))
    end = last + timedelta(days=1) if last is not None and last != date.max else None
    if begin is not None and end is not None and begin >= end:
        asked.problems.append(_("The period ends before it begins."))
    elif not asked.problems:
        asked.period = Period(_midnight(begin, asked.zone), _midnight(end, asked.zone))
    asked.show = given.get("show", "")
    plan = given.get("plan", "")
    if asked.show not in SHOWN and asked.show not in Standing.values:
        asked.problems.append(_("“%(show)s” is nothing that became of an order.") % {"show": asked.show[:40]})
        asked.show = ""
    if plan:
        if plan.isascii() and plan.isdigit() and len(plan) < 19:
            asked.plan = int(plan)
        else:
            asked.problems.append(_("“%(plan)s” is no number of a plan.") % {"plan": plan[:40]})
    if place := given.get("after", ""):
        try:
            at, order = read_place(place, 2)
            asked.after = Place(datetime.fromisoformat(str(at)), int(order))
        except (PlaceUnreadable, ValueError):
            asked.problems.append(_("“%(place)s” is no place in this list.") % {"place": place[:40]})
    return asked


def _day(asked: Asked, given: str) -> tuple[date | None, str]:
    if not given.strip():
        return None, ""
    try:
        day = date.fromisoformat(given.strip())
        if not 1 < day.year < 9999:
            raise ValueError
    except ValueError:
        asked.problems.append(_("“%(given)s” is no day, such as 2026-03-02.") % {"given": given[:40]})
        return None, ""
    return day, day.isoformat()


def _midnight(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


@shows_on_page_of(Store, top="remediation/store_answer.html")
def store_answer(request: HttpRequest, store: Store) -> dict[str, Any]:
    """The answer, where the store has few orders, and the first page of the orders that it is about."""
    if not _may_see(request):
        return {}
    asked = read_asked(request)
    if asked.problems:
        return {"asked": asked}
    few = count_up_to(store, asked.period, AT_ONCE + 1) <= AT_ONCE
    walked = walk_some(
        store, asked.period, after=None if few else asked.after, orders=AT_ONCE + 1 if few else AT_ONCE
    )
    context = {"asked": asked, "few": few, "at_once": AT_ONCE, **_list(asked, walked)}
    return context | (_answer(store, asked, [walked]) if few else {})


def _may_see(request: HttpRequest) -> bool:
    return all(request.user.has_perm(each) for each in PERMISSIONS)


def _answer(store: Store, asked: Asked, walked: Iterable[Walked]) -> dict[str, Any]:
    answer = answer_for(store, asked.period, walked)
    return {
        "answer": answer,
        "sentences": answer.sentences(),
        "group_lines": [
            (each, each.standing.label, _rows_of(each, asked), _sums(each.money)) for each in answer.in_order
        ],
    }


def _rows_of(group: Group, asked: Asked) -> str:
    return asked.address(show=group.standing.value, plan=group.plan)


def _sums(money: dict[tuple[str, int], Money]) -> list[tuple[str, int, Money]]:
    return [(currency, scale, each) for (currency, scale), each in sorted(money.items())]


def _list(asked: Asked, walked: Walked) -> dict[str, Any]:
    """Some of the rows, and how to go on. Where few orders are of the kind that is shown, a page may be short and say so."""
    after = asked.after
    found = [row for row in walked.rows if asked.wants(row) and (after is None or row.place > after)]
    shown = found[:ROWS]
    while len(shown) < len(found) and found[len(shown)].order == shown[-1].order:
        shown.append(found[len(shown)])  # an order's rows stay together: the next page begins behind it
    cut = len(found) > len(shown)
    onward = shown[-1].place if cut else walked.onward
    behind = write_place([onward.at, onward.order]) if onward else ""
    return {
        "rows": shown,
        "next_rows": asked.address(show=asked.show, plan=asked.plan, after=behind) if behind else "",
        "first_rows": asked.address(show=asked.show, plan=asked.plan) if asked.after else "",
        "looked_to": onward.at if onward and not cut else None,
        "shows": [
            (name, label, asked.address(show=name), asked.show == name) for name, label in _show_labels()
        ],
        "narrowed": asked.show if asked.show not in SHOWN else "",
        "narrowed_to": Standing(asked.show).label if asked.show not in SHOWN else "",
    }


def _show_labels() -> list[tuple[str, str]]:
    return [
        ("", _("All that were or are wrong")),
        ("corrected", _("Corrected")),
        ("wrong", _("Still to be corrected")),
    ]


def statement_urls(site: AdminSite) -> list[URLPattern]:
    """Addresses below a store's page."""

    def guarded(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        def page(request: HttpRequest, pk: int) -> HttpResponseBase:
            if not _may_see(request) or not request.user.has_perm("transactions.view_store"):
                raise PermissionDenied
            store = Store.objects.filter(pk=pk).first() if pk < 2**63 else None
            if store is None:
                raise Http404(_("There is no store %(number)s.") % {"number": pk})
            return view(request, store)

        return site.admin_view(page)

    below = "transactions/store/<int:pk>"
    answer, statement = partial(_answer_view, site), partial(_statement_view, site)
    return [
        path(f"{below}/answer/", guarded(require_safe(answer)), name="transactions_store_answer"),
        path(f"{below}/statement/", guarded(require_safe(statement)), name="transactions_store_statement"),
        path(
            f"{below}/statement/csv/",
            guarded(require_POST(_csv_view)),
            name="transactions_store_statement_csv",
        ),
    ]


def _answer_view(site: AdminSite, request: HttpRequest, store: Store) -> HttpResponse:
    """The answer of all orders, however many: takes some seconds for a hundred thousand."""
    asked = _asked_or_404(request)
    context = {
        "subject": store,
        "asked": asked,
        "few": True,
        **_answer(store, asked, walk(store, asked.period)),
    }
    if request.headers.get("HX-Request"):
        return TemplateResponse(request, "remediation/store_answer_text.html", context)
    context |= site.each_context(request) | {
        "opts": Store._meta,
        "title": _("What was wrong with the orders of %(store)s") % {"store": store},
    }
    return TemplateResponse(request, "remediation/store_answer_page.html", context)


def _asked_or_404(request: HttpRequest) -> Asked:
    asked = read_asked(request)
    if asked.problems:
        raise Http404(" ".join(asked.problems))
    return asked


def _statement_view(site: AdminSite, request: HttpRequest, store: Store) -> HttpResponseBase:
    """The statement as a page that prints well, written as the orders are read; its totals stand at its end."""
    asked = _asked_or_404(request)
    context = site.each_context(request) | {
        "opts": Store._meta,
        "title": _("Statement of corrections"),
        "subject": store,
        "asked": asked,
        "period": period_in_words(asked.period),
        "made_at": now(),
    }
    page = render_to_string("remediation/store_statement.html", context, request)
    head, _mark, rest = page.partition(_ROWS_HERE)
    between, _mark, tail = rest.partition(_TOTALS_HERE)
    if request.method == "HEAD":
        return HttpResponse(headers={"Cache-Control": "no-store"})
    assert isinstance(request.user, User)
    answer = StoreAnswer(store, asked.period)
    rows = show_statement(store, asked.period, answer, acting_user=request.user)

    def blocks() -> Iterator[str]:
        yield head
        number = 0
        for some in rows:
            if some:
                yield render_to_string(
                    "remediation/store_statement_rows.html", {"rows": some, "after": number}
                )
                number += len(some)
        yield between
        answer.learn_names()
        yield render_to_string(
            "remediation/store_statement_totals.html",
            {
                "answer": answer,
                "corrections": number,
                "totals": _sums(answer.corrected),
                "plans": [
                    (plan, answer.approvals.get(plan.pk, []))
                    for plan in sorted(answer.plans.values(), key=lambda plan: plan.pk)
                    if any(
                        each.plan == plan.pk and each.standing in STATED for each in answer.groups.values()
                    )
                ],
                "taken_back": sum(
                    each.orders for each in answer.groups.values() if each.standing == Standing.TAKEN_BACK
                ),
            },
        )
        yield tail

    return StreamingHttpResponse(blocks(), headers={"Cache-Control": "no-store"})


def _csv_view(request: HttpRequest, store: Store) -> HttpResponseBase:
    """The statement as a file, which is written as it is read."""
    asked = _asked_or_404(request)
    assert isinstance(request.user, User)
    try:
        blocks = take_statement(store, asked.period, acting_user=request.user)
    except NotPermitted as refused:
        raise PermissionDenied(str(refused)) from refused
    name = f"corrections-store-{store.pk}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    return StreamingHttpResponse(
        blocks,
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
