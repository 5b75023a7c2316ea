"""A sealer of the tests' own, written from docs/audit-format.md alone: the product's is not believed here."""

import base64
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Owner = "psycopg.Connection[Any]"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def key(number: int = 1) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def public(of: Ed25519PrivateKey) -> bytes:
    return of.public_key().public_bytes_raw()


def name_of(public_key: bytes) -> str:
    return sha256(public_key).hexdigest()[:16]


def netstrings(*fields: object) -> bytes:
    return b"".join(b"%d:%b," % (len(octets), octets) for octets in (str(field).encode() for field in fields))


def unix_us(moment: datetime) -> int:
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def trail(owner: "psycopg.Connection[Any]") -> str:
    return str((owner.execute("SELECT uuid FROM audit_trail").fetchone() or ("",))[0])


def seal_everything(owner: "psycopg.Connection[Any]") -> int:
    """Seal all that waits. The newest sequence."""
    sequence, chain = owner.execute(
        "SELECT sequence, chain FROM audit_auditseal ORDER BY sequence DESC LIMIT 1"
    ).fetchone() or (0, sha256(netstrings("trail/1", trail(owner))).digest())
    waiting = owner.execute(
        "SELECT id, event, coalesce(actor_id::text, ''), actor_label, subject_type, subject_id, subject_label, reason, request_id,"
        " data::text, occurred_at FROM audit_auditentry WHERE id IN (SELECT entry_id FROM audit_sealqueue) ORDER BY id"
    ).fetchall()
    for row in waiting:
        sequence += 1
        hashed = sha256(netstrings("entry/1", *row[:-1], unix_us(row[-1]))).digest()
        now = datetime.now(UTC)
        fields = ("seal/1", sequence, bytes(chain).hex(), hashed.hex(), unix_us(now))
        chain = sha256(netstrings(*fields)).digest()
        owner.execute(
            "INSERT INTO audit_auditseal (sequence, entry_id, entry_hash, chain, sealed_at) VALUES (%s, %s, %s, %s, %s)",
            [sequence, row[0], hashed, chain, now],
        )
        owner.execute("DELETE FROM audit_sealqueue WHERE entry_id = %s", [row[0]])
    return int(sequence)


def sign(
    owner: "psycopg.Connection[Any]", by: Ed25519PrivateKey, *, new_key: Ed25519PrivateKey | None = None
) -> str:
    """A checkpoint over the newest seal, put into the database. Its text."""
    sequence, chain = owner.execute(
        "SELECT sequence, chain FROM audit_auditseal ORDER BY sequence DESC LIMIT 1"
    ).fetchone() or (0, b"")
    number, before = owner.execute(
        "SELECT number, text FROM audit_checkpoint ORDER BY number DESC LIMIT 1"
    ).fetchone() or (0, None)
    now = datetime.now(UTC)
    text = (
        f"amends-checkpoint/1\ntrail: {trail(owner)}\nnumber: {number + 1}\nsequence: {sequence}\nchain: {bytes(chain).hex()}\n"
        f"signed-at: {now:%Y-%m-%dT%H:%M:%S.%f}Z\n"
        f"previous: {'0' * 64 if before is None else sha256(before.encode()).hexdigest()}\nkey: {name_of(public(by))}\n"
    )
    if new_key is not None:
        text += f"new-key: {public(new_key).hex()}\n"
    text += f"signature: {base64.b64encode(by.sign(text.encode())).decode()}\n"
    for each in (by, new_key):
        if each is not None:
            owner.execute(
                "INSERT INTO audit_auditkey (key_id, public_key) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [name_of(public(each)), public(each)],
            )
    owner.execute(
        "INSERT INTO audit_checkpoint (number, sequence, chain, signed_at, key_id, text) VALUES (%s, %s, %s, %s, %s, %s)",
        [number + 1, sequence, chain, now, name_of(public(by)), text],
    )
    return text
