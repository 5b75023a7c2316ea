"""What a verification asks of checkpoints: those of the database, and those that were kept outside of it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from audit.checkpoint import FIRST_PREVIOUS, NoCheckpoint, SignedCheckpoint, key_id
from audit.timestamps import utc_timestamp
from audit.trail_checks import chain_at
from audit.verification import Connection, Finding, Piece, Scope, ranges, register_check, tampered

AT_A_TIME = 500
CHECKPOINTS = "checkpoints"

_NUMBERS = "SELECT 1, max(number) FROM audit_checkpoint"
_KEY_CHANGES = """
    SELECT number, key_id, before, text_before FROM (
        SELECT number, key_id, lag(key_id) OVER (ORDER BY number) AS before, lag(text) OVER (ORDER BY number) AS text_before
        FROM audit_checkpoint
    ) AS signed
    WHERE before IS DISTINCT FROM key_id OR text_before LIKE '%%' || chr(10) || 'new-key: %%'
    ORDER BY number
"""
_ROWS = """
    SELECT checkpoint.number, checkpoint.sequence, checkpoint.chain, checkpoint.signed_at, checkpoint.key_id, checkpoint.text,
           key.public_key, seal.chain, lag(checkpoint.text) OVER (ORDER BY checkpoint.number)
    FROM audit_checkpoint checkpoint
    LEFT JOIN audit_auditkey key ON key.key_id = checkpoint.key_id
    LEFT JOIN audit_auditseal seal ON seal.sequence = checkpoint.sequence
    WHERE checkpoint.number >= %(after)s AND checkpoint.number <= %(through)s
    ORDER BY checkpoint.number
"""


class _Row(NamedTuple):
    number: int
    sequence: int
    chain: bytes
    signed_at: datetime
    key: str
    text: str
    public_key: bytes | None
    seal_chain: bytes | None
    text_before: str | None


def check_checkpoints(scope: Scope) -> Iterator[Piece]:
    """Every checkpoint's text, signature and place in line, and that the chain still is what it says; then those from outside."""
    for after, through in ranges(scope.connection, _NUMBERS, AT_A_TIME):
        yield Piece(through - after, partial(_look_at_checkpoints, after, through))
    yield Piece(0, partial(_look_at_keys, scope.keys))
    for outside in scope.checkpoints:
        yield Piece(1, partial(_look_at_outside, outside, scope.keys))


def _look_at_checkpoints(after: int, through: int, connection: Connection) -> Iterator[Finding]:
    beginning = chain_at(0, connection)
    trail = _trail(connection)
    expected = after + 1
    for found in connection.execute(_ROWS, {"after": after, "through": through}).fetchall():
        row = _Row(*found)
        if row.number == after:
            continue  # read for its text only, which the next one names
        if row.number != expected:
            yield tampered(
                CHECKPOINTS, f"Checkpoint {expected}", f"is gone; the next one there is {row.number}."
            )
        expected = row.number + 1
        try:
            read = SignedCheckpoint.read(row.text)
        except NoCheckpoint as error:
            yield tampered(CHECKPOINTS, f"Checkpoint {row.number}", f"its text is none. {error}")
            continue
        yield from _row_holds(row, read, trail, beginning)
    if expected <= through:
        yield tampered(CHECKPOINTS, f"Checkpoint {expected}", "is gone.")


def _row_holds(row: _Row, read: SignedCheckpoint, trail: str, beginning: bytes | None) -> Iterator[Finding]:
    subject = f"Checkpoint {row.number}"
    columns = (
        row.number,
        row.sequence,
        bytes(row.chain),
        utc_timestamp(row.signed_at),
        row.key,
        trail,
    )
    if columns != (read.number, read.sequence, read.chain, read.signed_at, read.key, read.trail):
        yield tampered(
            CHECKPOINTS, subject, "its columns, or the trail's own id, are not what its text says."
        )
    if row.public_key is None or not read.signed_by(bytes(row.public_key)):
        yield tampered(CHECKPOINTS, subject, f"its signature is not that of key {row.key}.")
    before = FIRST_PREVIOUS if row.number == 1 else _digest(row.text_before)
    if before is not None and read.previous != before:
        yield tampered(
            CHECKPOINTS, subject, "does not follow the checkpoint before: it, or that, was changed."
        )
    chain = beginning if row.sequence == 0 else row.seal_chain
    if chain is None:
        yield tampered(
            CHECKPOINTS, subject, f"seal {row.sequence}, which it covers, is gone: the chain was cut."
        )
    elif bytes(chain) != read.chain:
        yield tampered(
            CHECKPOINTS,
            subject,
            f"the chain at seal {row.sequence} is another one than it says: the chain was made anew.",
        )


def _digest(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return SignedCheckpoint.read(text).digest
    except NoCheckpoint:
        return None


def _trail(connection: Connection) -> str:
    row = connection.execute("SELECT uuid::text FROM audit_trail").fetchone()
    return "" if row is None else str(row[0])


def _public_keys(connection: Connection) -> dict[str, bytes]:
    rows = connection.execute("SELECT key_id, public_key FROM audit_auditkey").fetchall()
    return {str(name): bytes(key) for name, key in rows}


def _look_at_keys(trusted: Sequence[bytes], connection: Connection) -> Iterator[Finding]:
    """Whether every change of keys was handed over, and whether whom the auditor trusts leads to the newest."""
    for name, key in _public_keys(connection).items():
        if key_id(key) != name:
            yield tampered(
                CHECKPOINTS, f"Key {name}", f"is not the key of that name: its octets make {key_id(key)}."
            )
    names = {key_id(key) for key in trusted}
    good, newest = False, None
    for number, key, before, text_before in connection.execute(_KEY_CHANGES).fetchall():
        handed_to = _handed_to(text_before)
        expected = handed_to or before
        if expected is not None and key != expected and key not in names:
            yield tampered(
                CHECKPOINTS,
                f"Checkpoint {number}",
                f"is signed by key {key}, and the one before it "
                + (
                    f"handed over to {handed_to}."
                    if handed_to
                    else f"was signed by {before} and handed over to none."
                ),
            )
        good = key in names or (good and key == expected)
        newest = number, key
    if names and newest is not None and not good:
        yield tampered(
            CHECKPOINTS,
            f"Checkpoint {newest[0]}",
            f"is signed by key {newest[1]}, which is none that you trust, nor handed over to by one.",
        )


def _handed_to(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        new_key = SignedCheckpoint.read(text).new_key
    except NoCheckpoint:
        return None
    return None if new_key is None else key_id(new_key)


def _look_at_outside(
    outside: SignedCheckpoint, trusted: Sequence[bytes], connection: Connection
) -> Iterator[Finding]:
    """A checkpoint that was kept where the database's owner cannot write: whatever it covered must still be there, and the same."""
    subject = f"Checkpoint {outside.number} from outside"
    trail = _trail(connection)
    if outside.trail != trail:
        yield tampered(CHECKPOINTS, subject, f"is of trail {outside.trail}; this database has trail {trail}.")
        return
    keys = _public_keys(connection) | {key_id(key): key for key in trusted}
    if outside.key not in keys or not outside.signed_by(keys[outside.key]):
        yield tampered(
            CHECKPOINTS, subject, f"its signature is not that of key {outside.key}, or nobody knows that key."
        )
    row = connection.execute(
        "SELECT text FROM audit_checkpoint WHERE number = %s", [outside.number]
    ).fetchone()
    if row is None:
        yield tampered(
            CHECKPOINTS, subject, "is not in the database: the trail was cut, or an older backup restored."
        )
    elif row[0] != outside.text:
        yield tampered(
            CHECKPOINTS, subject, "is another one in the database: the trail was forked or made anew."
        )
    chain = chain_at(outside.sequence, connection)
    if chain is None:
        yield tampered(
            CHECKPOINTS,
            subject,
            f"covers seal {outside.sequence}, which is not there: the trail was cut, or an older backup restored.",
        )
    elif chain != outside.chain:
        yield tampered(
            CHECKPOINTS,
            subject,
            f"says another chain at seal {outside.sequence} than there is: the chain was made anew.",
        )


def register_checks() -> None:
    """Make these part of every verification."""
    register_check(CHECKPOINTS, check_checkpoints)
