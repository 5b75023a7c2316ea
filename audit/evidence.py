"""What an evidence pack holds of the trail: a thread's entries, the seals around them, checkpoints and keys. See docs/audit-format.md."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Max

from audit.models import AuditKey, AuditSeal, Checkpoint, Trail
from audit.seal import ENTRY_FIELDS, EntryFields, first_chain
from audit.trail_filter import TrailFilter, reading

ROWS_AT_ONCE = 2_000
Row = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """The seals of a pack: those after `after` (with that seal's `chain`, 32 bytes) up to and with `through`."""

    after: int
    chain: bytes
    through: int
    first_checkpoint: int


def span_of(entries: list[int]) -> Span:
    """From the checkpoint before the first of these entries' seals to the checkpoint after the last one's.

    What is not sealed or signed yet is left out; the verifier says so.
    """
    sealed = AuditSeal.objects.filter(entry__in=entries).order_by("sequence")
    first, last = sealed.first(), sealed.last()
    if first is None or last is None:
        return Span(0, first_chain(Trail.objects.get().uuid), 0, 1)
    before = Checkpoint.objects.filter(sequence__lt=first.sequence, sequence__gt=0).order_by("number").last()
    after = Checkpoint.objects.filter(sequence__gte=last.sequence).order_by("number").first()
    newest = AuditSeal.objects.aggregate(newest=Max("sequence"))["newest"]
    return Span(
        after=0 if before is None else before.sequence,
        chain=first_chain(Trail.objects.get().uuid) if before is None else bytes(before.chain),
        through=newest if after is None else after.sequence,
        first_checkpoint=1 if before is None else before.number,
    )


def thread_entries(name: str, pk: int) -> list[int]:
    """Ids of all entries of a thing's thread, oldest id first. A case has some for each chunk of its jobs, not for each row."""
    return sorted(reading(TrailFilter(thread=(name, pk))).ordered().values_list("pk", flat=True))


def entry_rows(entries: list[int]) -> Iterator[Row]:
    """`entries.ndjson`."""
    for start in range(0, len(entries), ROWS_AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {ENTRY_FIELDS} FROM audit_auditentry entry WHERE entry.id = ANY (%s) ORDER BY entry.id",
                [entries[start : start + ROWS_AT_ONCE]],
            )
            for row in cursor.fetchall():
                yield EntryFields(*row)._asdict()


def seal_rows(span: Span) -> Iterator[Row]:
    """`seals.ndjson`."""
    for start in range(span.after, span.through, ROWS_AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sequence, entry_id, encode(entry_hash, 'hex'), encode(chain, 'hex'),"
                " (extract(epoch FROM sealed_at) * 1000000)::bigint FROM audit_auditseal"
                " WHERE sequence > %s AND sequence <= %s ORDER BY sequence",
                [start, min(start + ROWS_AT_ONCE, span.through)],
            )
            for sequence, entry, entry_hash, chain, sealed_at_us in cursor.fetchall():
                yield {
                    "sequence": sequence,
                    "entry": entry,
                    "entry_hash": entry_hash,
                    "chain": chain,
                    "sealed_at_us": sealed_at_us,
                }


def checkpoint_rows(span: Span) -> Iterator[Row]:
    """`checkpoints.ndjson`: up to the first one that covers the whole span."""
    found = Checkpoint.objects.filter(number__gte=span.first_checkpoint).order_by("number")
    for number, sequence, text in found.values_list("number", "sequence", "text").iterator():
        yield {"number": number, "text": text}
        if sequence >= span.through:
            return


def key_rows() -> Iterator[Row]:
    """`keys.ndjson`."""
    for key in AuditKey.objects.order_by("introduced_at", "key_id"):
        yield {"key": key.key_id, "public_key": bytes(key.public_key).hex()}
