"""Checkpoints: signed, chained, handed over from key to key, and published where the database's owner cannot write."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core import mail
from pytest_django import Settings

from audit import publishing
from audit.checkpoint import SignedCheckpoint, key_id
from audit.checkpointing import KeyNotHandedOver, Pace, sign_checkpoint, sign_if_due
from audit.models import AuditEntry, AuditKey, Checkpoint, CheckpointPublication
from audit.publishing import PlaceUnknown, check_place, publish_due
from audit.seal import connect
from audit.sealer import seal_all, sign_and_publish
from audit.signing import KeyNotUsable, KeySigner, configured_signer, make_key

ALWAYS, NEVER = Pace(0, 0), Pace(3600, 3600)


@pytest.fixture
def sealer(committed_db: None) -> Iterator["psycopg.Connection[Any]"]:
    with connect() as connection:
        yield connection


def signer() -> KeySigner:
    key = Ed25519PrivateKey.generate()
    return KeySigner(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "a test")


def write_entry() -> None:
    AuditEntry.objects.create(
        event="plan.approved", actor_label="ann", subject_type="remediation.plan", subject_id=1, subject_label="Plan 1", data={}
    )  # fmt: skip


def test_a_checkpoint_names_the_last_seal_and_the_checkpoint_before(
    sealer: "psycopg.Connection[Any]",
) -> None:
    one = signer()
    first = sign_checkpoint(sealer, one)
    write_entry()
    sealed = seal_all(sealer)
    second = sign_checkpoint(sealer, one)
    assert (first.number, first.previous) == (1, bytes(32))
    assert (second.number, second.sequence) == (2, first.sequence + sealed)
    assert second.previous == sha256(first.text.encode()).digest()
    assert second.signed_by(one.public_key)
    assert not second.signed_by(signer().public_key)
    assert [stored.text for stored in Checkpoint.objects.order_by("number")] == [first.text, second.text]
    assert bytes(AuditKey.objects.get().public_key) == one.public_key


def test_any_changed_character_breaks_the_signature(sealer: "psycopg.Connection[Any]") -> None:
    one = signer()
    signed = sign_checkpoint(sealer, one)
    other = SignedCheckpoint.read(signed.text.replace("number: 1\n", "number: 2\n"))
    assert not other.signed_by(one.public_key)


def test_one_is_signed_when_something_was_sealed_and_its_time_has_come(
    sealer: "psycopg.Connection[Any]",
) -> None:
    one = signer()
    assert sign_if_due(sealer, one, NEVER) is not None  # the first
    write_entry()
    seal_all(sealer)
    assert sign_if_due(sealer, one, NEVER) is None
    assert sign_if_due(sealer, one, Pace(0, 3600)) is not None
    assert sign_if_due(sealer, one, Pace(0, 3600)) is None  # nothing new: only the heartbeat is left
    assert sign_if_due(sealer, one, ALWAYS) is not None


def test_another_key_signs_only_after_it_was_handed_over_to(sealer: "psycopg.Connection[Any]") -> None:
    old, new = signer(), signer()
    sign_checkpoint(sealer, old)
    with pytest.raises(KeyNotHandedOver, match="leaves the key"):
        sign_checkpoint(sealer, new)
    handing = sign_checkpoint(sealer, old, new_key=new.public_key)
    assert handing.new_key == new.public_key
    with pytest.raises(KeyNotHandedOver):
        sign_checkpoint(sealer, old)
    assert sign_checkpoint(sealer, new).key == key_id(new.public_key)
    assert set(AuditKey.objects.values_list("key_id", flat=True)) == {
        key_id(old.public_key),
        key_id(new.public_key),
    }


def test_a_key_comes_from_a_file_the_environment_or_a_callable(settings: Settings, tmp_path: Path) -> None:
    settings.AMENDS_AUDIT_SIGNER = settings.AMENDS_AUDIT_KEY = ""
    file = tmp_path / "key.pem"
    public = make_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    settings.AMENDS_AUDIT_KEY_FILE = str(file)
    assert configured_signer().public_key == public
    settings.AMENDS_AUDIT_KEY_FILE = ""
    settings.AMENDS_AUDIT_KEY = file.read_text(encoding="ascii")
    assert configured_signer().public_key == public
    settings.AMENDS_AUDIT_SIGNER = f"{__name__}.KEY_SERVICE"
    assert configured_signer() is KEY_SERVICE
    with pytest.raises(FileExistsError):
        make_key(file)


def test_a_key_that_cannot_be_used_is_named(settings: Settings, tmp_path: Path) -> None:
    settings.AMENDS_AUDIT_SIGNER = settings.AMENDS_AUDIT_KEY = settings.AMENDS_AUDIT_KEY_FILE = ""
    with pytest.raises(KeyNotUsable, match="Set AMENDS_AUDIT_KEY_FILE"):
        configured_signer()
    settings.AMENDS_AUDIT_KEY_FILE = str(tmp_path / "none.pem")
    with pytest.raises(KeyNotUsable, match=r"none\.pem"):
        configured_signer()
    settings.AMENDS_AUDIT_KEY = "no key"
    with pytest.raises(KeyNotUsable, match="AMENDS_AUDIT_KEY is no private key"):
        configured_signer()


def test_a_folder_gets_every_checkpoint_once_and_none_is_overwritten(
    sealer: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    one, place = signer(), (tmp_path / "kept apart").as_uri()
    first, second = (sign_checkpoint(sealer, one) for _ in range(2))
    assert publish_due(sealer, [place]) == 1  # a new place begins with the last one
    third = sign_checkpoint(sealer, one)
    assert publish_due(sealer, [place]) == 1
    assert publish_due(sealer, [place]) == 0
    files = sorted((tmp_path / "kept apart").iterdir())
    assert [file.name for file in files] == ["checkpoint-000000000002.txt", "checkpoint-000000000003.txt"]
    assert [file.read_text(encoding="ascii") for file in files] == [second.text, third.text]

    sign_checkpoint(sealer, one)
    (tmp_path / "kept apart" / "checkpoint-000000000004.txt").write_text(first.text, encoding="ascii")
    assert publish_due(sealer, [place]) == 0
    assert "says otherwise already" in CheckpointPublication.objects.latest("pk").failure


@dataclass
class Notary:
    """Somebody else's server, which takes checkpoints when it feels like it."""

    address: str
    taken: list[str] = field(default_factory=list)
    status: int = 200


@pytest.fixture
def notary() -> Iterator[Notary]:
    found: list[Notary] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if found[0].status == 200:
                found[0].taken.append(body)
            self.send_response(found[0].status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.append(Notary(f"http://127.0.0.1:{server.server_port}/checkpoints"))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found[0]
        server.shutdown()
        thread.join()


def test_a_server_that_was_away_gets_what_it_lacks_in_order(
    sealer: "psycopg.Connection[Any]", notary: Notary, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = signer()
    signed = [sign_checkpoint(sealer, one)]
    publish_due(sealer, [notary.address])
    notary.status = 503
    signed += [sign_checkpoint(sealer, one), sign_checkpoint(sealer, one)]
    assert publish_due(sealer, [notary.address]) == 0
    notary.status = 200
    assert publish_due(sealer, [notary.address]) == 0  # left alone for a while
    monkeypatch.setattr(publishing, "RETRY_SECONDS", 0.0)
    assert publish_due(sealer, [notary.address]) == 2
    assert notary.taken == [each.text for each in signed]
    assert [bool(each.failure) for each in CheckpointPublication.objects.order_by("pk")] == [
        False,
        True,
        False,
        False,
    ]


def test_a_mailbox_gets_the_whole_checkpoint(sealer: "psycopg.Connection[Any]") -> None:
    signed = sign_checkpoint(sealer, signer())
    assert publish_due(sealer, ["mailto:auditor@example.com"]) == 1
    assert (mail.outbox[0].to, mail.outbox[0].body) == (["auditor@example.com"], signed.text)


def test_a_place_nobody_can_publish_at_is_refused_by_name() -> None:
    with pytest.raises(PlaceUnknown, match="carrier-pigeon:loft"):
        check_place("carrier-pigeon:loft")


def test_without_a_key_entries_are_sealed_all_the_same(
    sealer: "psycopg.Connection[Any]", settings: Settings
) -> None:
    settings.AMENDS_AUDIT_SIGNER = settings.AMENDS_AUDIT_KEY = settings.AMENDS_AUDIT_KEY_FILE = ""
    write_entry()
    assert seal_all(sealer)
    with pytest.raises(KeyNotUsable):
        sign_and_publish(sealer)
    assert not Checkpoint.objects.exists()


KEY_SERVICE = signer()
