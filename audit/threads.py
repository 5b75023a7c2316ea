"""Everything that belongs to one thing, a case say: the entries about it and about whatever is part of it.

The floors above say what belongs to what, as branches: each is a part of the trail that one index holds in the order of time, so that all
of them together are read in that order, however long the trail is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from audit.models import AuditEntry

Branch = Callable[["QuerySet[AuditEntry]"], "QuerySet[AuditEntry]"]
"""Narrows the trail to entries that one index holds in the order of (occurred_at, id). No entry is in two branches."""


class UnknownThread(LookupError):
    """No floor says what belongs to a thing of that kind."""


@dataclass(frozen=True)
class Thread:
    """A kind of thing ("case") that other things belong to; `branches` takes one's id."""

    name: str
    branches: Callable[[int], Iterable[Branch]]


_registered: dict[str, Thread] = {}


def register_thread(name: str, branches: Callable[[int], Iterable[Branch]]) -> None:
    """Let the trail be asked for everything of a `name`, such as “case 3”."""
    _registered[name] = Thread(name, branches)


def thread(name: str) -> Thread:
    """The thread of that name. Raises `UnknownThread`."""
    try:
        return _registered[name]
    except KeyError:
        raise UnknownThread(f"Nobody says what belongs to a {name}.") from None


def about(subject_type: str, subject_id: int) -> Branch:
    """The branch of one thing's own entries, such as about("remediation.plan", 3)."""
    return lambda entries: entries.filter(subject_type=subject_type, subject_id=subject_id)
