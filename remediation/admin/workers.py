"""The page of workers: who holds what, who answers the broker, and how many rows were done over the last hours."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from remediation.models import Job
from remediation.workers import ANSWER_SECONDS, LATELY, Done, ask_broker, done_over_time, workers_at_work

BUCKETS = {
    1: timedelta(minutes=1),
    6: timedelta(minutes=5),
    24: timedelta(minutes=20),
    168: timedelta(hours=2),
}
"""Hours that the chart may show, and what one of its bars stands for."""
USUAL_HOURS = 6
_HEIGHT, _STEP, _BAR = 100, 10, 8
"""Of the drawing, in its own units: how high the highest bar is, how far bars stand apart, how wide they are."""


@dataclass(frozen=True)
class Part:
    """One kind of job's part of a bar, in the drawing's units; `y` counts from the top."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """What was done in one bucket. `rows` by kind, and `a_minute` of all kinds together on average over it."""

    begin: datetime
    x: int
    parts: list[Part]
    rows: list[tuple[str, int]]
    total: int
    a_minute: int


@dataclass(frozen=True)
class Chart:
    """Rows a minute over time. `bars` are those of buckets in which something was done."""

    begin: datetime
    end: datetime
    hours: int
    width: int
    bars: list[Bar]
    kinds: list[tuple[str, str]]
    most_a_minute: int
    total: int

    @property
    def newest_first(self) -> list[Bar]:
        return self.bars[::-1]


def chart_of(hours: int, now: datetime) -> Chart:
    """The last `hours` before `now`, in whole buckets."""
    bucket = BUCKETS[hours]
    end = datetime.fromtimestamp(
        (now.timestamp() // bucket.total_seconds() + 1) * bucket.total_seconds(), UTC
    )
    begin = end - timedelta(hours=hours)
    done = done_over_time(begin, bucket)
    by_bucket = [(at, list(parts)) for at, parts in groupby(done, key=lambda each: each.begin)]
    most = max((sum(part.rows for part in parts) for _at, parts in by_bucket), default=0)
    minutes = bucket.total_seconds() / 60
    bars = [_bar(at, parts, round((at - begin) / bucket) * _STEP, most, minutes) for at, parts in by_bucket]
    shown = {each.kind for each in done}
    return Chart(
        begin=begin,
        end=end,
        hours=hours,
        width=round(timedelta(hours=hours) / bucket) * _STEP,
        bars=bars,
        kinds=[(kind.value, str(kind.label)) for kind in Job.Kind if kind.value in shown],
        most_a_minute=round(most / minutes),
        total=sum(bar.total for bar in bars),
    )


def _bar(at: datetime, done: list[Done], x: int, most: int, minutes: float) -> Bar:
    parts, top = [], float(_HEIGHT)
    for each in done:
        height = round(_HEIGHT * each.rows / most, 2) if most else 0.0
        top = round(top - height, 2)
        parts.append(Part(each.kind, top, height))
    total = sum(each.rows for each in done)
    rows = [(str(Job.Kind(each.kind).label), each.rows) for each in done]
    return Bar(at, x, parts, rows, total, round(total / minutes))


def workers_urls(site: AdminSite, opts: Any) -> list[URLPattern]:
    """Addresses of the page and of the two parts that it fetches by itself."""

    def page(request: HttpRequest) -> HttpResponse:
        _demand(request)
        now = datetime.now(UTC)
        asked = request.GET.get("hours", "")
        hours = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 4 else USUAL_HOURS
        context = {
            **site.each_context(request),
            "opts": opts,
            "title": _("Workers"),
            "is_popup": False,
            "workers": workers_at_work(),
            "lately": LATELY,
            "now": now,
            "chart": chart_of(hours if hours in BUCKETS else USUAL_HOURS, now),
            "spans": list(BUCKETS),
            "bar_width": _BAR,
            "height": _HEIGHT,
            # Without JavaScript the broker is asked by a link, and the page takes as long as that.
            "answer": ask_broker() if "ask" in request.GET else None,
            "answer_seconds": ANSWER_SECONDS,
        }
        return TemplateResponse(request, "remediation/workers.html", context)

    def live(request: HttpRequest) -> HttpResponse:
        _demand(request)
        context = {"workers": workers_at_work(), "lately": LATELY, "now": datetime.now(UTC)}
        return TemplateResponse(request, "remediation/workers_live.html", context)

    def broker(request: HttpRequest) -> HttpResponse:
        _demand(request)
        context = {"answer": ask_broker(), "answer_seconds": ANSWER_SECONDS}
        return TemplateResponse(request, "remediation/workers_broker.html", context)

    def wrap(view: Any) -> Any:
        return site.admin_view(never_cache(require_safe(view)))

    return [
        path("workers/", wrap(page), name="remediation_job_workers"),
        path("workers/live/", wrap(live), name="remediation_job_workers_live"),
        path("workers/broker/", wrap(broker), name="remediation_job_workers_broker"),
    ]


def _demand(request: HttpRequest) -> None:
    if not request.user.has_perm("remediation.view_job"):
        raise PermissionDenied
