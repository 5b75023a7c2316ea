"""How an entry is told."""

from audit.events import UnregisteredEvent, registered_event
from audit.models import AuditEntry


def sentence(entry: AuditEntry) -> str:
    """What happened, as a sentence without its full stop: "ben approved Plan 3 (apply)"."""
    return "".join(split_sentence(entry))


def split_sentence(entry: AuditEntry) -> tuple[str, str, str]:
    """An entry's sentence in three: before its subject, the subject, and after it; without a subject all stands in the first."""
    try:
        words = registered_event(entry.event).sentence
    except UnregisteredEvent:
        words = entry.event
    if "{" not in words:
        words = f"{{actor}} {words} {{subject}}"
    before, found, after = words.partition("{subject}")
    return (
        before.format(actor=entry.actor_label),
        entry.subject_label if found else "",
        after.format(actor=entry.actor_label),
    )
