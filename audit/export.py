"""Taking a part of the trail along, as CSV or NDJSON, however long it is: what leaves is told in the trail."""

import json
from collections.abc import Generator, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from audit.context import current_request_id, request
from audit.errors import Refused
from audit.models import AuditEntry, AuditSeal
from audit.permission import demand
from audit.sentence import sentence_in_english
from audit.spreadsheet import BYTE_ORDER_MARK, csv_lines
from audit.timestamps import utc_timestamp
from audit.trail import record
from audit.trail_events import EXPORT_BEGUN, EXPORTED, ExportBegun, Exported
from audit.trail_filter import EXPORTED_AT_ONCE, TrailFilter, stream

FORMATS = ("csv", "ndjson")
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson; charset=utf-8"}
COLUMNS = (
    "id",
    "sequence",
    "sealed_at",
    "occurred_at",
    "event",
    "sentence",
    "actor",
    "actor_label",
    "subject_type",
    "subject_id",
    "subject_label",
    "reason",
    "request_id",
    "data",
)


class UnknownFormat(Refused):
    """The trail was asked for in a format that it is not exported in."""


def export_trail(wanted: TrailFilter, form: str, *, acting_user: User) -> Generator[bytes, None, None]:
    """The entries that `wanted` asks for, the oldest first, as blocks of octets in the format `form` ("csv" or "ndjson").

    What stood in the trail when it was asked for; the entry of its beginning is written before this returns, and that of its end, with the
    number of rows and the hash of the file, when the last block was taken or the reader went away. Raises `NotPermitted`,
    `UnknownFormat`.
    """
    demand(acting_user, "audit.export_trail")
    if form not in FORMATS:
        raise UnknownFormat(f"The trail is exported as {' or '.join(FORMATS)}, not as “{form}”.")
    filters = wanted.in_words()
    with transaction.atomic():
        begun = record(
            EXPORT_BEGUN, acting_user, ExportBegun(format=form, filters=filters), actor=acting_user
        )
    return _blocks(wanted, form, begun, acting_user)


def _blocks(
    wanted: TrailFilter, form: str, begun: AuditEntry, acting_user: User
) -> Generator[bytes, None, None]:
    request_id = current_request_id() or begun.request_id
    digest, rows, complete = sha256(), 0, False
    try:
        for count, block in _told(wanted, form, through=begun.pk - 1):
            rows += count
            digest.update(block)
            yield block
        complete = True
    finally:
        ended = Exported(
            export=begun.pk,
            format=form,
            filters=wanted.in_words(),
            rows=rows,
            sha256=digest.hexdigest(),
            complete=complete,
        )
        # The page's own request is over where a browser is still reading.
        with request(request_id), transaction.atomic():
            record(EXPORTED, acting_user, ended, actor=acting_user)


def _told(wanted: TrailFilter, form: str, *, through: int) -> Iterator[tuple[int, bytes]]:
    """Blocks, and how many entries are in each."""
    entries = stream(wanted, through=through)
    if form == "csv":
        yield 0, f"{BYTE_ORDER_MARK}{csv_lines([COLUMNS])}".encode()
    while some := list(islice(entries, EXPORTED_AT_ONCE)):
        seals = {
            seal.entry_id: seal for seal in AuditSeal.objects.filter(entry__in=[entry.pk for entry in some])
        }
        facts = [_facts(entry, seals.get(entry.pk)) for entry in some]
        if form == "csv":
            told = csv_lines([[_cell(each[name]) for name in COLUMNS] for each in facts])
        else:
            told = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in facts)
        yield len(some), told.encode()


def _facts(entry: AuditEntry, seal: AuditSeal | None) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "sequence": None if seal is None else seal.sequence,
        "sealed_at": None if seal is None else utc_timestamp(seal.sealed_at),
        "occurred_at": utc_timestamp(entry.occurred_at),
        "event": entry.event,
        "sentence": sentence_in_english(entry),
        "actor": entry.actor_id,
        "actor_label": entry.actor_label,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "subject_label": entry.subject_label,
        "reason": entry.reason,
        "request_id": entry.request_id,
        "data": entry.data,
    }


def _cell(value: Any) -> str | int | None:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
