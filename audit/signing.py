"""What checkpoints are signed with: an Ed25519 key from a file, from the environment, or behind a callable such as a key service's."""

import os
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.utils.module_loading import import_string


class KeyNotUsable(RuntimeError):
    """There is no key to sign checkpoints with, or it is not an Ed25519 one. The message names the setting."""


class Signer(Protocol):
    """Something that signs. `AMENDS_AUDIT_SIGNER` names one by its dotted path, where the private key is not to be here."""

    @property
    def public_key(self) -> bytes:
        """Its public key: 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (64 bytes, RFC 8032) of `message`."""


class KeySigner:
    """Signs with a private key in PEM (PKCS 8, not encrypted). Raises `KeyNotUsable`; `origin` says in it where the key came from."""

    def __init__(self, pem: bytes, origin: str) -> None:
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise KeyNotUsable(f"{origin} is no private key in PEM without a password: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyNotUsable(f"{origin} is no Ed25519 key. “manage.py audit new_key FILE” makes one.")
        self._key = key

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def configured_signer() -> Signer:
    """The signer that the settings name: AMENDS_AUDIT_SIGNER, AMENDS_AUDIT_KEY or AMENDS_AUDIT_KEY_FILE. Raises `KeyNotUsable`."""
    if settings.AMENDS_AUDIT_SIGNER:
        try:
            signer: Signer = import_string(settings.AMENDS_AUDIT_SIGNER)
        except ImportError as error:
            raise KeyNotUsable(
                f"AMENDS_AUDIT_SIGNER names {settings.AMENDS_AUDIT_SIGNER}: {error}"
            ) from error
        return signer
    if settings.AMENDS_AUDIT_KEY:
        return KeySigner(settings.AMENDS_AUDIT_KEY.encode(), "AMENDS_AUDIT_KEY")
    if not settings.AMENDS_AUDIT_KEY_FILE:
        raise KeyNotUsable(
            "Set AMENDS_AUDIT_KEY_FILE, AMENDS_AUDIT_KEY or AMENDS_AUDIT_SIGNER: without a key no checkpoint is signed."
        )
    file = Path(settings.AMENDS_AUDIT_KEY_FILE)
    try:
        return KeySigner(file.read_bytes(), str(file))
    except OSError as error:
        raise KeyNotUsable(f"The key that AMENDS_AUDIT_KEY_FILE names cannot be read: {error}") from error


def make_key(file: Path) -> bytes:
    """Make a key in a new file that only its user may read; its public key (32 bytes). Raises `FileExistsError`: no key is overwritten."""
    key = Ed25519PrivateKey.generate()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes_raw()
