"""What stands in an entry's data, told to people: a label and a value each, with links to what it names.

The floors above know what a name means: they register tellers, which are asked before what is said here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from audit.events import UnregisteredEvent, registered_event
from audit.models import AuditEntry

Shown = str | SafeString
Teller = Callable[[str, Any], Shown | None]
"""Takes a field's name and its value, and says how it is shown; None where that is not its to say."""

_tellers: list[Teller] = []
_HASHES = ("digest", "root", "chain", "hash", "sha256", "fingerprint")
_LABELS = {"root": "Merkle root", "sha256": "SHA-256", "was": "was before", "leaf_count": "leaves"}
_MOST_LISTED = 50


@dataclass(frozen=True)
class Fact:
    """One field of an entry's data."""

    label: str
    value: Shown


def tells_facts(teller: Teller) -> Teller:
    """Register a function that knows how some fields are shown; a decorator."""
    if teller not in _tellers:
        _tellers.append(teller)
    return teller


def facts_of(entry: AuditEntry) -> list[Fact]:
    """The fields of an entry's data, in the order of its event's shape, which is not the order in which they are stored."""
    try:
        shape = registered_event(entry.event).data.__struct_fields__
    except UnregisteredEvent:
        shape = ()
    names = [
        *(name for name in shape if name in entry.data),
        *(name for name in entry.data if name not in shape),
    ]
    return [Fact(label_of(name), shown(name, entry.data[name])) for name in names]


def label_of(name: str) -> str:
    """A field's name as words, in the reader's language: "plan_chunk" is "Plan chunk"."""
    return gettext(english_label_of(name))


def english_label_of(name: str) -> str:
    """What translations go by; those of all events' fields stand in `backoffice.trail_words`."""
    words = _LABELS.get(name, name.replace("_", " "))
    return words[:1].upper() + words[1:]


def shown(name: str, value: Any) -> Shown:
    """A field's value as people read it."""
    for teller in _tellers:
        told = teller(name, value)
        if told is not None:
            return told
    if value in (None, "", [], {}):
        return "–"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, int):
        return str(number_format(value, decimal_pos=0, use_l10n=True, force_grouping=True))
    if isinstance(value, dict):
        parts = ((label_of(key), shown(key, each)) for key, each in value.items())
        return format_html(
            '<dl class="facts inner">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", parts)
        )
    if isinstance(value, list):
        return _listed(name, value)
    if name.rpartition("_")[2] in _HASHES:
        return format_html('<code class="digest">{}</code>', value)
    return str(value)


def _listed(name: str, values: list[Any]) -> Shown:
    parts = [(shown(name, each),) for each in values[:_MOST_LISTED]]
    if len(values) > _MOST_LISTED:
        more = len(values) - _MOST_LISTED
        said = ngettext(
            "and %(more)s more: see what is stored", "and %(more)s more: see what is stored", more
        )
        parts.append((said % {"more": more},))
    if any(isinstance(each, dict) for each in values):
        return format_html('<ul class="plain">{}</ul>', format_html_join("", "<li>{}</li>", parts))
    return format_html_join(", ", "{}", parts)
