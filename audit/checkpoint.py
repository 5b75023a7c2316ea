"""Checkpoints as texts: read strictly, and held against a public key. What was published outside of the database is checked by these."""

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIRST_PREVIOUS = bytes(32)
"""What the first checkpoint has for the one before it."""

_TEXT = re.compile(
    r"amends-checkpoint/1\n"
    r"trail: (?P<trail>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n"
    r"number: (?P<number>[1-9][0-9]{0,17})\n"
    r"sequence: (?P<sequence>0|[1-9][0-9]{0,17})\n"
    r"chain: (?P<chain>[0-9a-f]{64})\n"
    r"signed-at: (?P<signed_at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)\n"
    r"previous: (?P<previous>[0-9a-f]{64})\n"
    r"key: (?P<key>[0-9a-f]{16})\n"
    r"(?:new-key: (?P<new_key>[0-9a-f]{64})\n)?"
    r"signature: (?P<signature>[A-Za-z0-9+/]{86}==)\n"
)


class NoCheckpoint(ValueError):
    """A text is not a checkpoint of format amends-checkpoint/1, to the letter."""


def key_id(public_key: bytes) -> str:
    """The name (16 hexadecimal digits) of a public key of 32 octets."""
    return sha256(public_key).hexdigest()[:16]


def read_public_key(text: str) -> bytes:
    """A public key (32 octets) from its 64 hexadecimal digits, or the file that has them. Raises `ValueError`, `OSError`."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        text = Path(text).read_text(encoding="ascii")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise ValueError("A public key is 64 hexadecimal digits, or a file that holds just them.")
    return bytes.fromhex(text.strip())


@dataclass(frozen=True)
class SignedCheckpoint:
    """What a checkpoint's text says. `new_key` (32 octets) signs from the next one on, where there is one."""

    text: str
    trail: str
    number: int
    sequence: int
    chain: bytes
    signed_at: str
    previous: bytes
    key: str
    new_key: bytes | None
    signature: bytes

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises `NoCheckpoint`."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise NoCheckpoint("It is not a checkpoint of format amends-checkpoint/1, to the letter.")
        signature = base64.b64decode(found["signature"])
        if base64.b64encode(signature).decode() != found["signature"]:
            raise NoCheckpoint("Its signature's last digit stands for no octet.")
        return cls(
            text=text,
            trail=found["trail"],
            number=int(found["number"]),
            sequence=int(found["sequence"]),
            chain=bytes.fromhex(found["chain"]),
            signed_at=found["signed_at"],
            previous=bytes.fromhex(found["previous"]),
            key=found["key"],
            new_key=None if found["new_key"] is None else bytes.fromhex(found["new_key"]),
            signature=signature,
        )

    @property
    def digest(self) -> bytes:
        """What the next checkpoint names as its previous: SHA-256 of the whole text."""
        return sha256(self.text.encode()).digest()

    def signed_by(self, public_key: bytes) -> bool:
        """Whether the key (32 octets) is the one that it names, and made its signature."""
        if key_id(public_key) != self.key:
            return False
        signed = self.text[: self.text.rindex("signature: ")].encode()
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True
