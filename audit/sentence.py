"""How an entry is told."""

from collections.abc import Callable

from django.utils.translation import gettext

from audit.events import UnregisteredEvent, registered_event
from audit.models import AuditEntry


def sentence(entry: AuditEntry) -> str:
    """What happened, as a sentence in the reader's language, without its full stop: "ben approved Plan 3 (apply)"."""
    return "".join(split_sentence(entry))


def sentence_in_english(entry: AuditEntry) -> str:
    """The same in English, whoever reads: what leaves in files says the same to everybody."""
    return "".join(_split(entry, str))


def split_sentence(entry: AuditEntry) -> tuple[str, str, str]:
    """An entry's sentence in three: before its subject, the subject, and after it; without a subject all stands in the first."""
    return _split(entry, gettext)


def _split(entry: AuditEntry, translated: Callable[[str], str]) -> tuple[str, str, str]:
    try:
        words = translated(registered_event(entry.event).sentence)
    except UnregisteredEvent:
        return f"{entry.actor_label} {entry.event} ", entry.subject_label, ""
    before, found, after = words.partition("{subject}")
    return (
        before.format(actor=entry.actor_label),
        entry.subject_label if found else "",
        after.format(actor=entry.actor_label),
    )
