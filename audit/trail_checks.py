"""What a verification asks of the trail itself: entries, seals and what waits for one. Checkpoints are `audit.checkpoint_checks`."""

from collections.abc import Iterator
from functools import partial

from audit.seal import ENTRY_FIELDS, ChainEnd, EntryFields, entry_hash, first_chain, next_chain
from audit.verification import Connection, Finding, Piece, Scope, ranges, register_check, tampered

AT_A_TIME = 5_000
OVERDUE_SECONDS = 60
"""An entry that waits longer for its seal shows that nobody seals."""

SEALS = "seals"
ENTRIES = "entries"

_SEALS = f"""
    SELECT seal.sequence, seal.entry_id, seal.entry_hash, seal.chain, (extract(epoch FROM seal.sealed_at) * 1000000)::bigint,
           entry.id IS NOT NULL, {ENTRY_FIELDS}
    FROM audit_auditseal seal LEFT JOIN audit_auditentry entry ON entry.id = seal.entry_id
    WHERE seal.sequence > %(after)s AND seal.sequence <= %(through)s
    ORDER BY seal.sequence
"""
_NEITHER_OR_BOTH = """
    SELECT entry.id, entry.event, seal.sequence
    FROM audit_auditentry entry
    LEFT JOIN audit_auditseal seal ON seal.entry_id = entry.id
    LEFT JOIN audit_sealqueue waiting ON waiting.entry_id = entry.id
    WHERE entry.id > %(after)s AND entry.id <= %(through)s AND (seal.sequence IS NULL) = (waiting.entry_id IS NULL)
    ORDER BY entry.id
"""
_QUEUE = f"""
    SELECT count(*) FILTER (WHERE entry.occurred_at < now() - interval '{OVERDUE_SECONDS} seconds'),
           min(entry.occurred_at), (array_agg(waiting.entry_id ORDER BY waiting.entry_id) FILTER (WHERE entry.id IS NULL))[1:100]
    FROM audit_sealqueue waiting LEFT JOIN audit_auditentry entry ON entry.id = waiting.entry_id
"""


def check_seals(scope: Scope) -> Iterator[Piece]:
    """Every seal: no gap before it, its entry there and hashing to what was sealed, and the chain up to it."""
    newest = f"SELECT {scope.since + 1}, max(sequence) FROM audit_auditseal"
    for after, through in ranges(scope.connection, newest, AT_A_TIME):
        yield Piece(through - after, partial(_look_at_seals, after, through))


def _look_at_seals(after: int, through: int, connection: Connection) -> Iterator[Finding]:
    end: ChainEnd | None = None
    if (chain := chain_at(after, connection)) is not None:
        end = ChainEnd(after, chain)
    expected = after + 1
    with connection.cursor(binary=True) as cursor:
        for row in cursor.execute(_SEALS, {"after": after, "through": through}):
            sequence, entry, hashed, stored, sealed_at_us, is_there = row[:6]
            if sequence != expected:
                end = None
                yield tampered(SEALS, _numbers("Seal", expected, sequence - 1), "is gone from the chain.")
            if not is_there:
                yield tampered(ENTRIES, f"Entry {entry}", f"is gone; seal {sequence} stands for it.")
            elif entry_hash(EntryFields(*row[6:])) != hashed:
                yield tampered(
                    ENTRIES,
                    f"Entry {entry} ({row[7]})",
                    f"is not what was sealed as seal {sequence}: it was changed.",
                )
            if end is not None and next_chain(end, hashed, sealed_at_us).chain != stored:
                yield tampered(
                    SEALS,
                    f"Seal {sequence}",
                    f"does not chain to the one before: it, or that, was changed (entry {entry}).",
                )
            end = ChainEnd(sequence, stored)
            expected = sequence + 1
    if expected <= through:
        yield tampered(SEALS, _numbers("Seal", expected, through), "is gone from the chain.")


def chain_at(sequence: int, connection: Connection) -> bytes | None:
    """The stored chain hash at `sequence`, that of the trail's own beginning at 0; None where that seal is not there."""
    if sequence == 0:
        trail = connection.execute("SELECT uuid FROM audit_trail").fetchone()
        return None if trail is None else first_chain(trail[0])
    row = connection.execute("SELECT chain FROM audit_auditseal WHERE sequence = %s", [sequence]).fetchone()
    return None if row is None else bytes(row[0])


def _numbers(name: str, first: int, last: int) -> str:
    return f"{name} {first}" if first == last else f"{name}s {first} to {last}, each"


def check_entries(scope: Scope) -> Iterator[Piece]:
    """Every entry is sealed or waits for its seal; none waits for long."""
    for after, through in ranges(
        scope.connection, "SELECT min(id), max(id) FROM audit_auditentry", 4 * AT_A_TIME
    ):
        yield Piece(through - after, partial(_look_at_entries, after, through))
    yield Piece(0, _look_at_queue)


def _look_at_entries(after: int, through: int, connection: Connection) -> Iterator[Finding]:
    for entry, event, sequence in connection.execute(
        _NEITHER_OR_BOTH, {"after": after, "through": through}
    ).fetchall():
        yield tampered(
            ENTRIES,
            f"Entry {entry} ({event})",
            "is neither sealed nor waiting for its seal: it was put in past the guard, or its seal was cut off."
            if sequence is None
            else f"is sealed as {sequence} and waits for its seal again: the queue was changed.",
        )


def _look_at_queue(connection: Connection) -> Iterator[Finding]:
    overdue, oldest, gone = connection.execute(_QUEUE).fetchone() or (0, None, None)
    for entry in gone or []:
        yield tampered(ENTRIES, f"Entry {entry}", "is gone before it was sealed.")
    if overdue:
        yield Finding(
            "incomplete",
            ENTRIES,
            f"{overdue} entries" if overdue > 1 else "An entry",
            f"waits to be sealed, the oldest since {oldest:%Y-%m-%d %H:%M:%S} UTC: until then changes of it would not show. Is the"
            " sealer running?",
        )


def register_checks() -> None:
    """Make these part of every verification."""
    register_check(SEALS, check_seals)
    register_check(ENTRIES, check_entries)
