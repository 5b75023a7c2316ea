"""Entries that a stranger or a script could cause without end: they are written up to a limit, so that a flood cannot fill the trail.

Within any ten minutes at most so many entries of a kind are written for one account (or name that was tried), and at most so many in all.
What is beyond is told by one entry trail.flooded and, each, by a line in the log at WARNING; what is left out there cannot be told
from the trail. As many requests as are served at once may each come through beyond a limit.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model, Q
from django.db.models.functions import Now

from audit.events import EventData, EventType
from audit.models import AuditEntry
from audit.trail import record
from audit.trail_events import FLOODED, Flooded

PERIOD = timedelta(minutes=10)

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limit:
    """Entries of a kind within `PERIOD`: about one account, and in all."""

    a_subject: int
    in_all: int


def record_within(
    limit: Limit, event: EventType, subject: Model, data: EventData, *, actor: User | None, key: Q, what: str
) -> AuditEntry | None:
    """Write the entry, in a transaction of its own, unless there were too many like it; then None, and only the log has it.

    `key` finds the entries of the same account or name, and `what` names that for people.
    """
    with transaction.atomic():
        for most, narrower, of in ((limit.a_subject, key, what), (limit.in_all, Q(), "")):
            if recent(event.name, narrower, most) >= most:
                _tell_flood(event, subject, of, most)
                logger.warning(event.name, subject=what, **_told(data))
                return None
        return record(event, subject, data, actor=actor)


def recent(event: str, key: Q, most: int) -> int:
    """How many entries of an event there were within `PERIOD`, by the database's clock, which wrote their times.

    Counted no further than `most`, along the index of an event's entries in time.
    """
    return (
        AuditEntry.objects.filter(key, event=event, occurred_at__gt=Now() - PERIOD).order_by()[:most].count()
    )


def _tell_flood(event: EventType, subject: Model, of: str, most: int) -> None:
    told = Flooded(kind=event.name, of=of, most=most, minutes=int(PERIOD.total_seconds() // 60))
    if not recent(FLOODED.name, Q(data__kind=event.name, data__of=of), 1):
        record(FLOODED, subject, told, actor=None)


def _told(data: EventData) -> dict[str, object]:
    return {name: getattr(data, name) for name in data.__struct_fields__}
