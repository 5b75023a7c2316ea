"""How an entry is told."""

from audit.events import UnregisteredEvent, registered_event
from audit.models import AuditEntry


def sentence(entry: AuditEntry) -> str:
    """What happened, as a sentence without its full stop: "ben approved Plan 3 (apply)"."""
    try:
        words = registered_event(entry.event).sentence
    except UnregisteredEvent:
        words = entry.event
    if "{" in words:
        return words.format(actor=entry.actor_label, subject=entry.subject_label)
    return f"{entry.actor_label} {words} {entry.subject_label}"
