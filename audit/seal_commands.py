"""`manage.py audit seal|status|keys|new_key|hand_over`: the sealer, and the keys that checkpoints are signed with."""

import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import transaction

from audit.alarms import standing_alarms
from audit.checkpoint import key_id
from audit.checkpointing import KeyNotHandedOver, sign_checkpoint
from audit.command_line import authenticated_user
from audit.errors import Refused
from audit.integrity import integrity
from audit.models import AuditKey, Trail
from audit.permission import demand
from audit.seal import SealerNotConfigured, connect
from audit.sealer import Sealer
from audit.signing import KeyNotUsable, configured_signer, make_key
from audit.trail import record
from audit.trail_events import KEY_HANDED_OVER, KeyHandedOver
from audit.verify_command import public_key


def seal(_: dict[str, Any]) -> dict[str, Any]:
    """Seal, sign and publish until SIGTERM or Ctrl-C. Where everything is embedded, a key is made first."""
    try:
        if settings.EMBEDDED_DATABASE and str(settings.HOME.audit_key) == settings.AMENDS_AUDIT_KEY_FILE:
            made_once()
        sealer = Sealer()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sealer.stop())
        return {"sealed": sealer.run()}
    except SealerNotConfigured as error:
        raise Refused(str(error)) from error


def made_once() -> None:
    """The embedded installation's key, made where there is none."""
    with settings.HOME.locked("audit-key.lock"):
        if not settings.HOME.audit_key.exists():
            make_key(settings.HOME.audit_key)


def status(_: dict[str, Any]) -> dict[str, Any]:
    """How the trail is protected now."""
    found = integrity()
    return {
        "trail": str(Trail.objects.get().uuid),
        "sealed_up_to": found.sealed_up_to,
        "sealed_at": found.sealed_at,
        "waiting": found.waiting,
        "checkpoint": None if found.checkpoint is None else found.checkpoint.number,
        "signed_at": None if found.checkpoint is None else found.checkpoint.signed_at,
        "places": {place.address: place.last for place in found.places},
        "verified_at": None if found.verification is None else found.verification.occurred_at,
        "alarms": sorted(standing_alarms()),
        "problems": [f"{problem.what} {problem.remedy}" for problem in found.problems],
    }


def keys(_: dict[str, Any]) -> dict[str, Any]:
    """The public keys that checkpoints were signed with, oldest first. What an auditor is to be given, and to compare."""
    known = AuditKey.objects.order_by("introduced_at")
    return {"keys": {key.key_id: bytes(key.public_key).hex() for key in known}}


def new_key(options: dict[str, Any]) -> dict[str, Any]:
    """A key pair in a new file; nothing changes until it is configured, and handed over to."""
    file: Path = options["file"]
    try:
        public = make_key(file)
    except OSError as error:
        raise Refused(f"{file} could not be made: {error.strerror}. No key is ever overwritten.") from error
    return {"file": str(file), "key": key_id(public), "public_key": public.hex()}


def hand_over(options: dict[str, Any]) -> dict[str, Any]:
    """Sign the configured key's last checkpoint: it says which key signs from then on. In the trail, by whom and why."""
    user = authenticated_user(options["acting_as"])
    demand(user, "audit.oversee_trail")
    public: bytes = options["to"]
    try:
        signer = configured_signer()
        with transaction.atomic(), connect() as connection:
            data = KeyHandedOver(of=key_id(signer.public_key), to=key_id(public), public_key=public.hex())
            record(KEY_HANDED_OVER, Trail.objects.get(), data, actor=user, reason=options["reason"])
            signed = sign_checkpoint(connection, signer, new_key=public)
    except (SealerNotConfigured, KeyNotUsable, KeyNotHandedOver) as error:
        raise Refused(str(error)) from error
    return {"checkpoint": signed.number, "from": signed.key, "to": key_id(public)}


def new_key_arguments(parser: CommandParser) -> None:
    parser.add_argument("file", type=Path, help="The new file, in PEM, for its user only.")


def hand_over_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--to", type=public_key, required=True, help="The public key that signs from then on."
    )
    parser.add_argument("--reason", required=True, help="Why, for the trail.")
    parser.add_argument("--as", dest="acting_as", required=True, metavar="USER", help="Who does this.")
