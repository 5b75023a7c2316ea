"""What is wrong right now and wants somebody to look: the first page shows it. Whoever knows of such things registers a source."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest


@dataclass(frozen=True)
class Alert:
    """`what` is wrong, in a sentence; `remedy` what to do, "" where `link`'s page says it.

    `tone` is "bad", or "waiting" where it can wait.
    """

    what: str
    link: str
    remedy: str = ""
    tone: str = "bad"
    since: datetime | None = None


AlertSource = Callable[[HttpRequest], Iterable[Alert]]
"""Says what is wrong now of what the reader of `request` may see. Asked each time the first page is made: a few quick queries."""

_sources: list[AlertSource] = []


def tells_alerts(source: AlertSource) -> AlertSource:
    """Register a source; a decorator."""
    if source not in _sources:
        _sources.append(source)
    return source


def alerts_for(request: HttpRequest) -> list[Alert]:
    """Everything that is wrong now, the bad first, then the oldest."""
    found = [alert for source in _sources for alert in source(request)]
    return sorted(found, key=lambda alert: (alert.tone != "bad", alert.since is None, alert.since or 0))
