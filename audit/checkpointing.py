"""Making checkpoints: signed statements of how far the chain went, each naming the one before it."""

import base64
from dataclasses import dataclass
from typing import Any

import psycopg

from audit.checkpoint import FIRST_PREVIOUS, SignedCheckpoint, key_id
from audit.seal import chain_end
from audit.signing import Signer
from audit.timestamps import utc_timestamp

SIGNING_LOCK = (7104, 3)
"""Advisory lock of whoever signs. Not the sealer's: a key service that takes its time holds up no seal."""


class KeyNotHandedOver(RuntimeError):
    """The configured key is not the one that the last checkpoint leaves to sign: nobody would know why to trust it."""


@dataclass(frozen=True)
class Pace:
    """Seconds between checkpoints: where something new was sealed, and where nothing was (the heartbeat)."""

    checkpoint: float
    heartbeat: float


def last_checkpoint(connection: "psycopg.Connection[Any]") -> SignedCheckpoint | None:
    """The last checkpoint that was signed. Raises `audit.checkpoint.NoCheckpoint` where its text is not one any more."""
    row = connection.execute("SELECT text FROM audit_checkpoint ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else SignedCheckpoint.read(row[0])


def sign_if_due(connection: "psycopg.Connection[Any]", signer: Signer, pace: Pace) -> SignedCheckpoint | None:
    """Sign a checkpoint where it is time for one; None where it is not. Raises `KeyNotHandedOver`."""
    last = last_checkpoint(connection)
    if last is not None:
        sealed_more = chain_end(connection).sequence > last.sequence
        wanted = pace.checkpoint if sealed_more else pace.heartbeat
        due = connection.execute(
            "SELECT clock_timestamp() >= %s::timestamptz + make_interval(secs => %s)",
            (last.signed_at, wanted),
        ).fetchone()
        if due != (True,):
            return None
    return sign_checkpoint(connection, signer)


def sign_checkpoint(
    connection: "psycopg.Connection[Any]", signer: Signer, *, new_key: bytes | None = None
) -> SignedCheckpoint:
    """Sign and store a checkpoint over all that is sealed; with `new_key` (32 bytes) it is the last of this signer's.

    Raises `KeyNotHandedOver`.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", SIGNING_LOCK)
        last = last_checkpoint(connection)
        _demand_successor(last, signer.public_key)
        signed = _signed(connection, last, signer, new_key)
        _store(connection, signed, signer.public_key)
    return signed


def _demand_successor(last: SignedCheckpoint | None, public_key: bytes) -> None:
    if last is None:
        return
    expected = last.key if last.new_key is None else key_id(last.new_key)
    if key_id(public_key) != expected:
        raise KeyNotHandedOver(
            f"Checkpoint {last.number} leaves the key {expected} to sign, and the configured one is {key_id(public_key)}. Configure that "
            "key, or let its holder hand over: “manage.py audit hand_over --to PUBLIC_KEY”."
        )


def _signed(
    connection: "psycopg.Connection[Any]",
    last: SignedCheckpoint | None,
    signer: Signer,
    new_key: bytes | None,
) -> SignedCheckpoint:
    end = chain_end(connection)
    found = connection.execute("SELECT uuid, clock_timestamp() FROM audit_trail").fetchone()
    assert found is not None
    trail, now = found
    lines = [
        "amends-checkpoint/1",
        f"trail: {trail}",
        f"number: {1 if last is None else last.number + 1}",
        f"sequence: {end.sequence}",
        f"chain: {end.chain.hex()}",
        f"signed-at: {utc_timestamp(now)}",
        f"previous: {(FIRST_PREVIOUS if last is None else last.digest).hex()}",
        f"key: {key_id(signer.public_key)}",
        *([] if new_key is None else [f"new-key: {new_key.hex()}"]),
    ]
    text = "".join(f"{line}\n" for line in lines)
    signature = base64.b64encode(signer.sign(text.encode())).decode()
    return SignedCheckpoint.read(f"{text}signature: {signature}\n")


def _store(connection: "psycopg.Connection[Any]", signed: SignedCheckpoint, public_key: bytes) -> None:
    if not signed.signed_by(public_key):
        raise KeyNotHandedOver("The signer's signature does not agree with its public key.")
    connection.execute(
        "INSERT INTO audit_auditkey (key_id, public_key) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (signed.key, public_key),
    )
    connection.execute(
        "INSERT INTO audit_checkpoint (number, sequence, chain, signed_at, key_id, text) VALUES (%s, %s, %s, %s, %s, %s)",
        (signed.number, signed.sequence, signed.chain, signed.signed_at, signed.key, signed.text),
    )
