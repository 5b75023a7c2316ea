"""Bars of transactions by time, stacked by release: drawn by the server, in units that its SVG gives to bars and transactions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from audit.admin.zoned_time import for_field
from transactions.finder import Cell
from transactions.models import Release

MOST_BARS = 124
"""Where hours would be more, bars are of six hours; where those would, of a day; and so on. A month has 124 of six hours."""
MOST_SERIES = 7
"""Releases that have a colour of their own, the largest; the others share one."""
_EPOCH = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday: what bars are counted from."""
WIDTHS: tuple[tuple[timedelta, Promise], ...] = (
    (timedelta(hours=1), gettext_lazy("a bar an hour")),
    (timedelta(hours=6), gettext_lazy("a bar for six hours: the window is long")),
    (timedelta(days=1), gettext_lazy("a bar a day of UTC: the window is long")),
    (timedelta(days=7), gettext_lazy("a bar a week: the window is long")),
    (timedelta(days=28), gettext_lazy("a bar for four weeks: the window is long")),
    (timedelta(days=364), gettext_lazy("a bar for 52 weeks: the window is long")),
)


@dataclass(frozen=True)
class Part:
    """A release's part of a bar: where it begins and how high it is, in transactions from the top of the chart."""

    series: int
    y: int
    height: int


@dataclass(frozen=True)
class Bar:
    """Transactions of one stretch of time. `counts` are by series, in their order."""

    x: int
    begin: datetime
    end: datetime
    counts: list[int]
    parts: list[Part]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Series:
    """A colour of the chart: a release, or all others together (None)."""

    number: int
    release: Release | None
    total: int


@dataclass(frozen=True)
class Histogram:
    """Bars side by side from the first transaction to the last; `highest` transactions is the height of the chart."""

    bars: list[Bar]
    series: list[Series]
    highest: int
    width: timedelta
    width_in_words: Promise

    @property
    def middle(self) -> Bar:
        return self.bars[len(self.bars) // 2]

    @property
    def last(self) -> Bar:
        return self.bars[-1]

    def series_of(self, release: Release) -> int:
        """The colour of a release."""
        own = (each.number for each in self.series if each.release == release)
        return next(own, len(self.series) - 1)

    def edges(self, zone: ZoneInfo) -> list[str]:
        """The beginnings of all bars and the last one's end, as fields for times take them in `zone`."""
        return [for_field(bar.begin, zone) for bar in self.bars] + [for_field(self.bars[-1].end, zone)]


def bar_width(begin: datetime, end: datetime, *, most: int = MOST_BARS) -> tuple[timedelta, Promise]:
    """The narrowest bars of which `most` cover what lies between two times, and what to say of them."""
    for width, words in WIDTHS[:-1]:
        if bar_of(end, width) - bar_of(begin, width) < most * width:
            return width, words
    return WIDTHS[-1]


def bar_of(moment: datetime, width: timedelta) -> datetime:
    """The beginning of the bar that a moment is in."""
    return moment - (moment - _EPOCH) % width


def histogram(cells: Sequence[Cell], releases: Iterable[Release]) -> Histogram | None:
    """The bars of what was counted; None where nothing was."""
    if not cells:
        return None
    first, last = min(cell.hour for cell in cells), max(cell.hour for cell in cells)
    width, words = bar_width(first, last)
    series = _series(cells, {release.pk: release for release in releases})
    # Releases without a colour of their own share the last one.
    number = {each.release.pk: each.number for each in series if each.release is not None}
    counts: dict[datetime, list[int]] = {}
    begin = bar_of(first, width)
    while begin <= last:
        counts[begin] = [0] * len(series)
        begin += width
    for cell in cells:
        counts[bar_of(cell.hour, width)][number.get(cell.release_id, len(series) - 1)] += cell.transactions
    highest = max(sum(each) for each in counts.values())
    bars = [
        Bar(x, begin, begin + width, each, list(_stacked(each, highest)))
        for x, (begin, each) in enumerate(counts.items())
    ]
    return Histogram(bars, series, highest, width, words)


def _series(cells: Sequence[Cell], releases: dict[int, Release]) -> list[Series]:
    totals: dict[int, int] = {}
    for cell in cells:
        totals[cell.release_id] = totals.get(cell.release_id, 0) + cell.transactions
    largest = sorted(totals, key=lambda pk: (-totals[pk], pk))
    own = sorted(largest if len(largest) <= MOST_SERIES + 1 else largest[:MOST_SERIES])
    series = [Series(number, releases[pk], totals[pk]) for number, pk in enumerate(own)]
    if others := sum(totals[pk] for pk in largest if pk not in own):
        series.append(Series(len(series), None, others))
    return series


def _stacked(counts: list[int], highest: int) -> Iterable[Part]:
    top = highest
    for series, count in enumerate(counts):
        if count:
            top -= count
            yield Part(series, top, count)
