"""Sealing goes on, whatever becomes of keys, places, connections and processes, and what is wrong is told."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings as configured
from django.core import mail
from django.utils import timezone

from audit import publishing, sealer
from audit.checkpointing import sign_checkpoint
from audit.integrity import integrity
from audit.models import AuditEntry, AuditSeal, Checkpoint, CheckpointPublication, SealQueue, Trail
from audit.publishing import PlaceUnknown, check_place, publish_due
from audit.seal import ChainEnd, connect, first_chain, next_chain
from audit.sealer import Sealer, seal_all, sign_and_publish
from tests.audit.test_checkpoints import signer
from tests.databases import administration
from transactions.canonical import microseconds

FACTS = {"event": "plan.approved", "actor_label": "ann",
         "subject_type": "remediation.plan", "subject_id": 1, "subject_label": "Plan 1", "data": {}}  # fmt: skip


class KeyServiceDown:
    """Like a key service's client: its errors are its own."""

    @property
    def public_key(self) -> bytes:
        raise TimeoutError("The key service does not answer.")

    def sign(self, message: bytes) -> bytes:
        raise NotImplementedError


class KeyServiceSlow:
    """Takes longer over a signature than any test lasts."""

    public_key = signer().public_key

    def sign(self, message: bytes) -> bytes:
        time.sleep(240)
        return b""


DOWN, SLOW = KeyServiceDown(), KeyServiceSlow()


@pytest.fixture
def keyed(committed_db: None, signing_key: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings with a key and no place, a checkpoint whenever something was sealed, and no patience."""
    settings.AMENDS_AUDIT_CHECKPOINT_SECONDS = 0
    monkeypatch.setattr(publishing, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(sealer, "SECONDS_BETWEEN", 0.1)
    return settings


def write(**fields: Any) -> AuditEntry:
    return AuditEntry.objects.create(**(FACTS | fields))


def names() -> list[str]:
    return [problem.name for problem in integrity().problems]


def eventually(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"Not in {seconds} s: {what}"
        time.sleep(0.05)


def all_sealed() -> bool:
    return not SealQueue.objects.exists()


@contextmanager
def at_work() -> Iterator[None]:
    """A sealer in this process. Fails where it ended by itself."""
    at_it = Sealer()
    thread = threading.Thread(target=at_it.run, daemon=True)
    thread.start()
    try:
        yield
        assert thread.is_alive()
    finally:
        at_it.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def server(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Something that listens, and does with each connection what it likes; its port."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)

        def serve() -> None:
            while not ending.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=behave, args=(connection, ending), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        ending.set()
        thread.join(5)


def silent(connection: socket.socket, ending: threading.Event) -> None:
    ending.wait()
    connection.close()


def dripping(connection: socket.socket, ending: threading.Event) -> None:
    """Never silent for as long as a read may take, and never done."""
    connection.recv(10_000)
    for octet in b"HTTP/1.1 200 OK\r\nx-slow: " + b"." * 10_000:
        if ending.wait(0.2):
            break
        connection.send(bytes([octet]))
    connection.close()


def failing(connection: socket.socket, _: threading.Event) -> None:
    connection.recv(10_000)
    connection.send(b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    connection.close()


@pytest.mark.parametrize("key_service", ["DOWN", "SLOW"])
def test_entries_are_sealed_while_the_key_service_is_away(keyed: Any, key_service: str) -> None:
    keyed.AMENDS_AUDIT_SIGNER = f"{__name__}.{key_service}"
    write()
    with at_work():
        eventually(all_sealed, "the first is sealed")
        time.sleep(0.5)  # the key is being asked meanwhile
        write()
        eventually(all_sealed, "the second is sealed")
    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize("behaviour", [silent, dripping])
def test_a_server_that_hangs_holds_up_neither_seals_nor_other_places(
    keyed: Any, tmp_path: Path, behaviour: Callable[..., None]
) -> None:
    with server(behaviour) as port:
        hanging, folder = f"http://127.0.0.1:{port}/here", (tmp_path / "apart").as_uri()
        keyed.AMENDS_AUDIT_PLACES = [hanging, folder]
        with at_work():
            for _ in range(2):
                write()
                eventually(all_sealed, "it is sealed")
            there = CheckpointPublication.objects.filter(place=folder, failure="")
            eventually(there.exists, "the other place has it")
        assert "did not answer" in CheckpointPublication.objects.filter(place=hanging)[0].failure


def test_a_mail_server_that_never_answers_is_told_and_not_asked_twice_at_once(
    keyed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed.EMAIL_BACKEND, keyed.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1"
    monkeypatch.setattr(publishing, "RETRY_SECONDS", 0.0)
    with server(silent) as port, connect() as connection:
        keyed.EMAIL_PORT = port
        sign_checkpoint(connection, signer())
        for _ in range(2):
            assert publish_due(connection, ["mailto:auditor@example.com"]) == 0
    newest, oldest = CheckpointPublication.objects.order_by("-pk")
    assert "did not answer within" in oldest.failure
    assert "still not answered" in newest.failure


def test_a_place_that_stays_away_is_asked_less_and_less_often(
    keyed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "RETRY_SECONDS", 1000.0)
    monkeypatch.setattr(publishing, "LONGEST_RETRY_SECONDS", 4000.0)
    away = "file:///proc/nowhere"
    with connect() as connection:
        sign_checkpoint(connection, signer())

        def asked_after(seconds: int) -> bool:
            """Whether the place is asked when its last failure was so long ago."""
            before = CheckpointPublication.objects.count()
            monkeypatch.setattr(publishing, "_SINCE", f"clock_timestamp() + interval '{seconds} s'")
            assert publish_due(connection, [away]) == 0
            return CheckpointPublication.objects.count() > before

        assert asked_after(0)
        assert (asked_after(990), asked_after(1010)) == (False, True)
        assert (asked_after(1990), asked_after(2010)) == (False, True)
        assert (asked_after(3990), asked_after(4010)) == (False, True)
        assert (asked_after(3990), asked_after(4010)) == (False, True)


@pytest.mark.parametrize(
    "place",
    [
        "mailto:", "mailto:nobody", "mailto:a@example.com%0aBcc:b@example.com", "file://checkpoints", "file:", "file://host/checkpoints",
        "https:", "https:///checkpoints", "https://[", "ftp://example.com/",
    ],
)  # fmt: skip
def test_a_place_that_leads_nowhere_is_a_failure_and_never_taken_for_published(
    keyed: Any, place: str
) -> None:
    with pytest.raises(PlaceUnknown):
        check_place(place)
    with connect() as connection:
        sign_checkpoint(connection, signer())
        assert publish_due(connection, [place]) == 0
    assert "is no" in CheckpointPublication.objects.get().failure
    assert mail.outbox == []


def test_what_a_publisher_of_somebody_else_raises_is_a_failure(keyed: Any) -> None:
    publishing.publish_by("pigeon", lambda *_: {}["nothing"])
    try:
        with connect() as connection:
            sign_checkpoint(connection, signer())
            assert publish_due(connection, ["pigeon:loft"]) == 0
    finally:
        del publishing._schemes["pigeon"]
    assert "KeyError" in CheckpointPublication.objects.get().failure


def test_a_password_in_a_places_address_is_written_nowhere(
    keyed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with server(failing) as port, connect() as connection:
        keyed.AMENDS_AUDIT_PLACES = [f"http://amends:s3cret@127.0.0.1:{port}/here?token=t0ken"]
        write()
        seal_all(connection)
        sign_and_publish(connection)
    attempt = CheckpointPublication.objects.get()
    assert (attempt.place, attempt.failure) == (f"http://127.0.0.1:{port}/here", "It answered 500 Broken.")
    found = integrity()
    assert found.places[0].failure == attempt.failure
    for told in (repr(found), caplog.text):
        assert "s3cret" not in told
        assert "t0ken" not in told


def test_a_key_that_is_gone_is_told_before_the_next_heartbeat(
    keyed: Any, owner_connection: "psycopg.Connection[Any]"
) -> None:
    with connect() as connection:
        write()
        seal_all(connection)
        sign_and_publish(connection)
        write()
        seal_all(connection)
    keyed.AMENDS_AUDIT_CHECKPOINT_SECONDS = 60
    assert "no_checkpoint" not in names()
    keyed.AMENDS_AUDIT_CHECKPOINT_SECONDS = -301  # as if so much more time had gone by
    assert "no_checkpoint" in names()


def test_an_installation_that_was_never_verified_is_told_so(
    keyed: Any, owner_connection: "psycopg.Connection[Any]"
) -> None:
    assert "verification_late" not in names()
    with owner_connection.transaction():
        owner_connection.execute("ALTER TABLE audit_trail DISABLE TRIGGER ALL")
        owner_connection.execute("UPDATE audit_trail SET begun_at = now() - interval '37 hours'")
        owner_connection.execute("ALTER TABLE audit_trail ENABLE TRIGGER ALL")
    assert "verification_late" in names()


def test_a_part_that_verifies_does_not_end_the_alarm_about_the_whole(keyed: Any) -> None:
    for result, since in (("tampered", 0), ("ok", 100)):
        write(event="audit.verified", data={"result": result, "since": since})
    assert "verification_found" in names()
    write(event="audit.verified", data={"result": "ok", "since": 0})
    assert "verification_found" not in names()
    write(event="audit.verified", data={"result": "incomplete", "since": 100})
    assert "verification_found" in names()


def test_an_entry_deleted_before_its_seal_is_told(
    keyed: Any, owner_connection: "psycopg.Connection[Any]"
) -> None:
    gone = write(occurred_at=timezone.now() - timedelta(minutes=5)).pk
    with owner_connection.transaction():
        owner_connection.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER ALL")
        owner_connection.execute("DELETE FROM audit_auditentry WHERE id = %s", [gone])
        owner_connection.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER ALL")
    with connect() as connection:
        seal_all(connection)
    (problem,) = (each for each in integrity().problems if each.name == "gone")
    assert f"entry {gone}" in problem.what


@pytest.fixture
def sealer_process(keyed: Any, tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts `manage.py audit seal`. All are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "AMENDS_AUDIT_KEY_FILE": str(tmp_path / "key.pem"),
        "AMENDS_AUDIT_PLACES": (tmp_path / "apart").as_uri(),
        "AMENDS_AUDIT_CHECKPOINT_SECONDS": "0",
    }

    def start() -> "subprocess.Popen[bytes]":
        with (tmp_path / "sealer.log").open("ab") as log:
            command = [sys.executable, "manage.py", "audit", "seal"]
            process = subprocess.Popen(
                command, cwd=configured.BASE_DIR, env=environment, stdout=log, stderr=log
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_sealers_killed_in_the_middle_two_at_once_and_cut_off_seal_everything_once(
    sealer_process: Callable[[], "subprocess.Popen[bytes]"],
    owner_connection: "psycopg.Connection[Any]",
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    owner_connection.execute(
        "INSERT INTO audit_auditentry (event, actor_label, subject_type, subject_id, subject_label, reason, request_id, data, occurred_at)"
        " SELECT 'plan.approved', 'ann', 'remediation.plan', g, 'Plan', '', '', '{}', clock_timestamp() FROM generate_series(1, 60000) g"
    )
    for _ in range(2):
        sealed = AuditSeal.objects.count()
        two = [sealer_process(), sealer_process()]
        # The sealer is at the next batch as soon as one is to be seen.
        eventually(lambda sealed=sealed: AuditSeal.objects.count() > sealed, "a batch is sealed")  # type: ignore[misc]
        for process in two:
            process.kill()
            process.wait()
    assert SealQueue.objects.exists()
    process = sealer_process()
    eventually(all_sealed, "the rest is sealed")
    assert cut_off_sealers() > 0
    write()
    eventually(all_sealed, "what came later is sealed")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    end = ChainEnd(0, first_chain(Trail.objects.get().uuid))
    for seal in AuditSeal.objects.order_by("sequence").iterator():
        end = next_chain(end, bytes(seal.entry_hash), microseconds(seal.sealed_at))
        assert (seal.sequence, bytes(seal.chain)) == (end.sequence, end.chain)
    assert end.sequence == AuditEntry.objects.count() == AuditSeal.objects.values("entry").distinct().count()
    published = {file.read_text(encoding="ascii") for file in (tmp_path / "apart").iterdir()}
    assert published
    assert published <= set(Checkpoint.objects.values_list("text", flat=True))


def cut_off_sealers() -> int:
    """End the sealers' connections, as a restart of the database would. How many."""
    with administration() as admin:
        return admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'amends sealer' AND datname = %s",
            [configured.DATABASES["default"]["NAME"]],
        ).rowcount
