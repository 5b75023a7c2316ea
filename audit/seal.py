"""Sealing: every committed entry gets a place in one chain of hashes, which `docs/audit-format.md` specifies.

Writers wait for nobody: an entry is queued by the transaction that writes it, and one sealer chains what it finds committed. Only the
sealer's role may write seals, over a connection of its own (`connect`); everybody else reads them.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.conf import settings

from audit.netstrings import netstrings

SEAL_LOCK = (7104, 0)
"""Advisory lock of whoever seals: one at a time."""
SEALER_CONNECTION = "amends sealer"
"""What the sealer's connections are called in the database."""
MOST_AT_ONCE = 10_000
"""Entries of one sealing transaction, at most."""


class SealerNotConfigured(RuntimeError):
    """This process was not given the sealer's address."""


class EntryFields(NamedTuple):
    """What an entry's hash covers, as texts: numbers in decimal, `data` as canonical JSON, the time as microseconds since 1970 UTC."""

    id: str
    event: str
    actor: str
    actor_label: str
    subject_type: str
    subject_id: str
    subject_label: str
    reason: str
    request_id: str
    data: str
    occurred_at_us: str


ENTRY_FIELDS = """
    entry.id::text, entry.event, coalesce(entry.actor_id::text, ''), entry.actor_label, entry.subject_type, entry.subject_id::text,
    entry.subject_label, entry.reason, entry.request_id, entry.data::text, (extract(epoch FROM entry.occurred_at) * 1000000)::bigint::text
"""
"""The columns of `EntryFields`, of an `audit_auditentry` called `entry`."""


@dataclass(frozen=True)
class ChainEnd:
    """How far the chain goes: the last seal's sequence (0 before the first) and its chain hash (32 bytes)."""

    sequence: int
    chain: bytes


def entry_hash(entry: EntryFields) -> bytes:
    """SHA-256 (32 bytes) of an entry, format entry/1. The same as `amends_entry_hash` in SQL."""
    return sha256(netstrings(("entry/1", *entry))).digest()


def first_chain(trail: UUID) -> bytes:
    """What the chain of an installation begins with (32 bytes), before its first seal."""
    return sha256(netstrings(("trail/1", str(trail)))).digest()


def next_chain(end: ChainEnd, hashed: bytes, sealed_at_us: int) -> ChainEnd:
    """The chain's end with an entry of that hash (32 bytes) sealed at that time (microseconds since 1970 UTC), format seal/1."""
    sequence = end.sequence + 1
    fields = ("seal/1", str(sequence), end.chain.hex(), hashed.hex(), str(sealed_at_us))
    return ChainEnd(sequence, sha256(netstrings(fields)).digest())


def connect() -> "psycopg.Connection[Any]":
    """A connection as the sealer, outside of any transaction. Raises `SealerNotConfigured`, `psycopg.OperationalError`."""
    return psycopg.connect(
        sealer_address(), autocommit=True, connect_timeout=10, application_name=SEALER_CONNECTION
    )


def sealer_address() -> str:
    """The address that the sealer connects by. Raises `SealerNotConfigured`."""
    if not settings.DATABASE_SEALER_URL:
        raise SealerNotConfigured(
            "Set DATABASE_SEALER_URL to the sealer's address: entries are sealed by a role of their own."
        )
    return str(settings.DATABASE_SEALER_URL)


def chain_end(connection: "psycopg.Connection[Any]") -> ChainEnd:
    """How far the chain goes now."""
    last = connection.execute(
        "SELECT sequence, chain FROM audit_auditseal ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    if last is not None:
        return ChainEnd(last[0], bytes(last[1]))
    (trail,) = connection.execute("SELECT uuid FROM audit_trail").fetchone() or (None,)
    assert trail is not None
    return ChainEnd(0, first_chain(trail))


def seal_waiting(connection: "psycopg.Connection[Any]", *, limit: int = MOST_AT_ONCE) -> int | None:
    """Seal at most `limit` of the entries that wait, in one transaction. How many; None where another sealer is at it."""
    with connection.transaction():
        (mine,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", SEAL_LOCK).fetchone() or (
            False,
        )
        if not mine:
            return None
        # A new statement, which sees what the last holder of the lock committed.
        waiting = connection.execute(
            f"SELECT entry.id, {ENTRY_FIELDS} FROM audit_sealqueue queue"
            " JOIN audit_auditentry entry ON entry.id = queue.entry_id ORDER BY queue.entry_id LIMIT %s",
            (limit,),
        ).fetchall()
        if waiting:
            _chain(connection, [(row[0], EntryFields(*row[1:])) for row in waiting])
    return len(waiting)


def _chain(connection: "psycopg.Connection[Any]", entries: list[tuple[int, EntryFields]]) -> None:
    end = chain_end(connection)
    sealed_at, sealed_at_us = _now(connection)
    with connection.cursor().copy(
        "COPY audit_auditseal (sequence, entry_id, entry_hash, chain, sealed_at) FROM STDIN"
    ) as copy:
        for entry_id, entry in entries:
            hashed = entry_hash(entry)
            end = next_chain(end, hashed, sealed_at_us)
            copy.write_row((end.sequence, entry_id, hashed, end.chain, sealed_at))
    connection.execute(
        "DELETE FROM audit_sealqueue WHERE entry_id = ANY (%s)", ([entry_id for entry_id, _ in entries],)
    )


def _now(connection: "psycopg.Connection[Any]") -> tuple[datetime, int]:
    found = connection.execute(
        "SELECT now, (extract(epoch FROM now) * 1000000)::bigint FROM clock_timestamp() AS now"
    ).fetchone()
    assert found is not None
    return found[0], found[1]
