"""The leaves of what came in: one for each reported calculation, kept in pieces with the ingest batch that brought it.

Formats are in docs/audit-format.md. Leaves are hashed by the database as rows land; the trees over them are built here.
"""

from collections.abc import Iterable, Iterator

from django.db import connection, transaction

from audit.merkle import LEAF_SIZE, leaf_hash, merkle_root, split_leaves
from audit.trail import record
from transactions.events import BATCH_COVERED, BatchCovered
from transactions.models import IngestBatch, IngestLeaves

PIECE = 10_000
"""Leaves of a piece, at most."""

LANDED = "SELECT id, leaf FROM pg_temp.landed"
"""The leaves of what is landing just now."""

_OF_BATCH = """
    SELECT id, amends_reported_leaf(id, transaction_id, release_id, calculated_at, facts_hash, amounts_text) AS leaf
    FROM (
        SELECT c.id, c.transaction_id, c.release_id, c.calculated_at, t.facts_hash, c.amounts::text AS amounts_text
        FROM transactions_calculation c JOIN transactions_transaction t ON t.id = c.transaction_id
        WHERE c.batch_id = {batch}
        OFFSET 0
    ) AS told
"""

_IN_PIECES = """
    SELECT min(id), max(id), string_agg(leaf, ''::bytea ORDER BY id)
    FROM (SELECT id, leaf, (row_number() OVER (ORDER BY id) - 1) / {piece} AS piece FROM ({leaves}) AS each) AS numbered
    GROUP BY piece ORDER BY piece
"""


class AlreadyCovered(ValueError):
    """The batch has its leaves."""


def batch_root(piece_roots: Iterable[bytes]) -> bytes:
    """The root (32 bytes) that the trail carries of a batch whose pieces have these roots, in order."""
    return merkle_root(leaf_hash(root) for root in piece_roots)


def store_leaves(batch_id: int, leaves: str) -> tuple[int, bytes]:
    """Keep the leaves of a batch, inside the caller's transaction: how many, and the root over them.

    `leaves` is SQL for (id, leaf). They go through this process piece by piece, however many there are.
    """
    roots: list[bytes] = []
    count = 0
    for position, (first, last, octets) in enumerate(_pieces(leaves)):
        root = merkle_root(split_leaves(octets))
        IngestLeaves.objects.create(
            batch_id=batch_id,
            position=position,
            first_calculation=first,
            last_calculation=last,
            leaves=octets,
            root=root,
        )
        roots.append(root)
        count += len(octets) // LEAF_SIZE
    return count, batch_root(roots)


def _pieces(leaves: str) -> Iterator[tuple[int, int, bytes]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(_IN_PIECES.format(piece=PIECE, leaves=leaves))
        while row := cursor.fetchone():
            yield row[0], row[1], bytes(row[2])


def cover_batch(batch: IngestBatch) -> None:
    """Keep the leaves of a batch that was brought in by other means than an import, and record their root.

    For rows that were written by SQL: benchmarks and tests do so. Reads all calculations to find the batch's. Raises `AlreadyCovered`.
    """
    with transaction.atomic():
        if IngestLeaves.objects.filter(batch=batch).exists():
            raise AlreadyCovered(f"Ingest batch {batch.pk} has its leaves.")
        calculations, root = store_leaves(batch.pk, _OF_BATCH.format(batch=int(batch.pk)))
        record(BATCH_COVERED, batch, BatchCovered(calculations=calculations, root=root.hex()), actor=None)
