"""What can be asked of a search: how many are wrong and by how much, and when that began and ended. Samples, told as samples."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from audit.errors import Refused
from transactions.admin.find.form import FindForm, Problem, read_find
from transactions.admin.find.histogram import bar_of, bar_width
from transactions.admin.find.words import in_words
from transactions.calculators import CalculatorUnavailable
from transactions.estimate import Asking, Estimate, estimate
from transactions.isolation import LockedAway
from transactions.models import Release
from transactions.onset import Edge, Look, Onset, find_onset

MOST_BARS = 62
"""Of an onset's chart: about fifty of its sample are in each."""
_FULL = 1000
"""The height of an onset's chart: a share of 1."""
_SEED = "seed"
_RELEASE = "release"
_LARGEST_SEED = 2**31


@dataclass(frozen=True)
class ShareBar:
    """Of the sample in one stretch of time: how many were looked at, are wrong, and cannot be calculated."""

    x: int
    begin: datetime
    end: datetime
    looked_at: int
    wrong: int
    failed: int

    @property
    def height(self) -> int:
        """The share that is wrong, of a chart's full height; never nothing where any is."""
        return max(_FULL * self.wrong // self.looked_at, 12) if self.wrong else 0

    @property
    def y(self) -> int:
        return _FULL - self.height

    @property
    def share(self) -> float | None:
        return self.wrong / self.looked_at if self.looked_at else None


SECONDS = 10.0
"""So long a calculator may take for a page's answer, locked away: what it has not answered by then counts as failed."""


def estimate_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """The estimate that the address asks for."""
    return _answered(site, request, "transactions/find_estimate.html", _estimate)


def onset_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """The onset that the address asks for."""
    return _answered(site, request, "transactions/find_onset.html", _onset)


def _answered(
    site: AdminSite,
    request: HttpRequest,
    template: str,
    answer: Callable[[FindForm, int | None], dict[str, Any]],
) -> HttpResponse:
    asked = request.GET.copy()
    release, seed = asked.pop(_RELEASE, [""])[-1], asked.pop(_SEED, [""])[-1]
    # The choice of a release is the onset's: an estimate is of all.
    chosen = answer is not _onset or _narrow_to(asked, str(release))
    form = read_find(asked)
    number = _seed(form, str(seed))
    if not chosen:
        form.problems.append(
            Problem("version", _("There is no such release: choose one of those that are listed."))
        )
    if not form.values["target"]:
        form.problems.append(Problem("target", _("Choose the version whose amounts would be right.")))
    context: dict[str, Any] = {**site.each_context(request), "is_popup": False, "form": form}
    if not form.problems and form.selection is not None:
        context |= {"words": in_words(form), "same_again": f"?{form.fixed_address}"}
        try:
            context |= answer(form, number)
        except (Refused, CalculatorUnavailable) as refused:
            form.problems.append(Problem("", str(refused)))
    return TemplateResponse(request, template, context, status=400 if form.problems else 200)


def _narrow_to(asked: QueryDict, release: str) -> bool:
    """Ask for one release, by its number; whether there is one of that."""
    if not release:
        return True
    found = (
        Release.objects.filter(pk=int(release)).first() if release.isdecimal() and len(release) < 18 else None
    )
    if found is not None:
        asked["service"], asked["version"] = found.service, found.version
    return found is not None


def _seed(form: FindForm, given: str) -> int | None:
    if not given:
        return None
    if given.isascii() and given.isdigit() and len(given) < 12 and int(given) < _LARGEST_SEED:
        return int(given)
    form.problems.append(
        Problem("", _("“%(given)s” is no seed: take it out of the address.") % {"given": given[:60]})
    )
    return None


def _estimate(form: FindForm, seed: int | None) -> dict[str, Any]:
    assert form.selection is not None
    found = estimate(form.selection, form.values["target"], seed=seed, quickly=True)
    return {
        "title": _("Estimate"),
        "estimate": found,
        "about": _about(found),
        "seed_address": _with_seed(form, found.seed),
    }


def _locked_away() -> Asking:
    return LockedAway(lambda: None, seconds_in_all=SECONDS).first


def _about(found: Estimate) -> dict[str, int]:
    """How many are wrong, of all, by the share and its interval."""
    share = found.share_wrong
    return {
        name: round(part * found.population)
        for name, part in (("estimate", share.estimate), ("low", share.low), ("high", share.high))
    }


def _onset(form: FindForm, seed: int | None) -> dict[str, Any]:
    assert form.selection is not None
    onset = find_onset(form.selection, form.values["target"], seed=seed, asking=_locked_away())
    bars, words = _bars(onset.sample)
    window = onset.window
    return {
        "title": _("Onset"),
        "onset": onset,
        "bars": bars,
        "width_in_words": words,
        "full": _FULL,
        "edges": _edges(onset),
        "window": window,
        "window_address": form.with_window(*window) if window else "",
        "seed_address": _with_seed(form, onset.seed),
    }


def _edges(onset: Onset) -> list[tuple[str, Edge]]:
    return [
        (name, edge) for name, edge in (("began", onset.began), ("ended", onset.ended)) if edge is not None
    ]


def _bars(sample: list[Look]) -> tuple[list[ShareBar], Any]:
    if not sample:
        return [], ""
    first, last = sample[0].calculated_at, sample[-1].calculated_at
    width, words = bar_width(first, last, most=MOST_BARS)
    looks: dict[datetime, list[Look]] = {}
    begin = bar_of(first, width)
    while begin <= last:
        looks[begin] = []
        begin += width
    for look in sample:
        looks[bar_of(look.calculated_at, width)].append(look)
    return [
        ShareBar(
            x,
            begin,
            begin + width,
            len(within),
            sum(look.wrong for look in within),
            sum(look.failed for look in within),
        )
        for x, (begin, within) in enumerate(looks.items())
    ], words


def _with_seed(form: FindForm, seed: int) -> str:
    query = QueryDict(form.fixed_address, mutable=True)
    query[_SEED] = str(seed)
    return f"?{query.urlencode()}"
