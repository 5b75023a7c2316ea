"""Which part of the trail is meant, and how it is read: in the order of time, along an index.

What no index answers is held against each entry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from audit.models import AuditEntry
from audit.threads import Branch, about, thread

EXPORTED_AT_ONCE = 2000
"""Rows that a stream has in memory."""


@dataclass(frozen=True)
class TrailFilter:
    """What an entry must be like. Empty or None: no matter. Times carry their zone; `occurred_before` is not in the period itself.

    `thread` names a kind of thing and one's id, such as ("case", 3): everything that belongs to it. `reason` is a part of the reason, in
    whatever case it is written.
    """

    actor: int | None = None
    by_amends: bool = False
    event: str = ""
    subject_type: str = ""
    subject_id: int | None = None
    thread: tuple[str, int] | None = None
    occurred_from: datetime | None = None
    occurred_before: datetime | None = None
    reason: str = ""

    def in_words(self) -> dict[str, str]:
        """What it asks for, by the names that an export's entry in the trail has for it."""
        told: dict[str, Any] = {
            "actor": "Amends" if self.by_amends else self.actor,
            "event": self.event,
            "subject": f"{self.subject_type} {self.subject_id or ''}".strip(),
            self.thread[0] if self.thread else "": self.thread[1] if self.thread else "",
            "from": self.occurred_from and self.occurred_from.isoformat(),
            "before": self.occurred_before and self.occurred_before.isoformat(),
            "reason": self.reason,
        }
        return {name: str(value) for name, value in told.items() if name and value not in ("", None)}


@dataclass(frozen=True)
class Reading:
    """How a filter is read: `branches`, each along an index in the order of time, and `left`, which no index answers."""

    branches: list["QuerySet[AuditEntry]"]
    left: Q

    def narrowed(self, place: Q) -> "Reading":
        """The same beyond a place in the order of time."""
        return Reading([branch.filter(place) for branch in self.branches], self.left)

    def ordered(self, *, oldest_first: bool = False) -> "QuerySet[AuditEntry]":
        """The branches' entries in the order of time; `left` is not asked yet."""
        order = ("occurred_at", "id") if oldest_first else ("-occurred_at", "-id")
        first, *others = self.branches
        return (first.union(*others, all=True) if others else first).order_by(*order)


def reading(wanted: TrailFilter) -> Reading:
    """How the entries that `wanted` asks for are read. Raises `audit.threads.UnknownThread`."""
    period = Q()
    if wanted.occurred_from is not None:
        period &= Q(occurred_at__gte=wanted.occurred_from)
    if wanted.occurred_before is not None:
        period &= Q(occurred_at__lt=wanted.occurred_before)
    conditions = _conditions(wanted)
    branches = _branches(wanted, conditions)
    # No default order: a part of a union must have none.
    entries = AuditEntry.objects.filter(period).order_by()
    left = Q()
    for condition in conditions.values():
        left &= condition
    return Reading([branch(entries) for branch in branches], left)


def _conditions(wanted: TrailFilter) -> dict[str, Q]:
    found: dict[str, Q] = {}
    if wanted.subject_type:
        found["subject"] = Q(subject_type=wanted.subject_type)
        if wanted.subject_id is not None:
            found["subject"] &= Q(subject_id=wanted.subject_id)
    if wanted.reason:
        found["reason"] = Q(reason__icontains=wanted.reason)
    if wanted.by_amends:
        found["actor"] = Q(actor__isnull=True)
    elif wanted.actor is not None:
        found["actor"] = Q(actor=wanted.actor)
    if wanted.event:
        found["event"] = Q(event=wanted.event)
    return found


def _branches(wanted: TrailFilter, conditions: dict[str, Q]) -> list[Branch]:
    """What an index answers, the narrowest first; it is taken out of `conditions`."""
    if wanted.thread is not None:
        name, pk = wanted.thread
        return list(thread(name).branches(pk))
    if wanted.subject_type and wanted.subject_id is not None:
        del conditions["subject"]
        return [about(wanted.subject_type, wanted.subject_id)]
    if wanted.reason:
        # Most entries have no reason: an index holds those that have.
        return [lambda entries: entries.exclude(reason="")]
    # Nobody's entries are in no order of an index, as PostgreSQL sees it: Amends' own are looked for among all.
    if "event" in conditions and ("actor" not in conditions or wanted.by_amends):
        event = conditions.pop("event")
        return [lambda entries: entries.filter(event)]
    if wanted.actor is not None and not wanted.by_amends:
        actor = conditions.pop("actor")
        return [lambda entries: entries.filter(actor)]
    return [lambda entries: entries]


def stream(wanted: TrailFilter, *, through: int) -> Iterator[AuditEntry]:
    """Every entry up to the id `through` that `wanted` asks for, the oldest first, by a cursor in the server: memory stays flat."""
    read = reading(wanted)
    entries = read.narrowed(read.left & Q(id__lte=through)).ordered(oldest_first=True)
    return entries.iterator(chunk_size=EXPORTED_AT_ONCE)
