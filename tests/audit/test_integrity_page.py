"""The integrity page says how the trail is protected, what is wrong and what to do; an entry's page says how that entry is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from audit.export import export_trail
from audit.models import AuditEntry, AuditSeal, Checkpoint
from audit.sealer import seal_all, sign_and_publish
from audit.trail_filter import TrailFilter
from tests.audit.trail import LIST, write
from tests.conftest import UserFactory

PAGE = f"{LIST}integrity/"


def signed_in(client: Client, users: UserFactory, role: str = "auditor") -> Client:
    client.force_login(users(role, name=f"carl-{role}"))
    return client


def test_a_protected_trail_is_in_order_once_it_is_verified(
    sealer: "psycopg.Connection[Any]", client: Client, users: UserFactory, tmp_path: Path
) -> None:
    signed_in(client, users)
    write(users("approver", name="ben"), 3)
    seal_all(sealer)
    sign_and_publish(sealer)
    page = client.get(PAGE).content.decode()
    sealed = AuditSeal.objects.latest("sequence").sequence
    assert "not verified yet" in page
    assert f"<dt>Sealed up to</dt><dd>{sealed}</dd>" in page
    assert (tmp_path / "apart").as_uri() in page
    assert Checkpoint.objects.get().key_id in page
    assert 'class="note bad' not in page
    AuditEntry.objects.create(
        event="audit.verified", actor_label="Amends", subject_type="audit.trail", subject_id=1, subject_label="",
        data={"result": "ok", "since": 0, "sequence": sealed, "rows": {}, "tampered": 0, "incomplete": 0, "findings": [],
              "checkpoints": [], "seconds": 1},
    )  # fmt: skip
    assert "in order" in client.get(PAGE).content.decode()


def test_what_is_wrong_stands_there_in_words_with_what_to_do(
    sealer: "psycopg.Connection[Any]", client: Client, users: UserFactory, settings: Settings, tmp_path: Path
) -> None:
    signed_in(client, users)
    (tmp_path / "file").write_text("")
    settings.AMENDS_AUDIT_PLACES = [(tmp_path / "file" / "under").as_uri()]
    seal_all(sealer)
    sign_and_publish(sealer)
    finding = {
        "kind": "tampered",
        "check": "entries",
        "subject": "entry 17",
        "problem": "is not what was sealed",
    }
    AuditEntry.objects.create(
        event="audit.verified", actor_label="Amends", subject_type="audit.trail", subject_id=1, subject_label="",
        data={"result": "tampered", "since": 0, "sequence": 1, "rows": {}, "tampered": 1, "incomplete": 0, "findings": [finding],
              "checkpoints": [3], "seconds": 1},
        occurred_at=timezone.now() - timedelta(hours=2),
    )  # fmt: skip
    answer = client.get(PAGE)
    page = answer.content.decode()
    names = {problem.name.partition(":")[0] for problem in answer.context["integrity"].problems}
    assert names == {"unsealed", "not_published", "verification_found"}
    assert "3 problems" in page
    assert page.count("What to do:") == 3
    assert "<strong>entry 17</strong>: is not what was sealed" in page
    assert "held against 1 checkpoint from outside" in page
    assert '<span class="badge bad">fails</span>' in page


def test_a_trail_that_nobody_seals_has_a_page_too(
    committed_db: None, client: Client, users: UserFactory, settings: Settings
) -> None:
    settings.AMENDS_AUDIT_PLACES = []
    page = signed_in(client, users).get(PAGE).content.decode()
    assert "No checkpoint has been signed yet" in page
    assert "Nowhere." in page


def test_the_page_asks_no_more_for_more_entries(
    sealer: "psycopg.Connection[Any]", client: Client, users: UserFactory
) -> None:
    signed_in(client, users)
    seal_all(sealer)
    sign_and_publish(sealer)
    with CaptureQueriesContext(connection) as few:
        client.get(PAGE)
    write(users("approver", name="ben"), 40)
    seal_all(sealer)
    sign_and_publish(sealer)
    with CaptureQueriesContext(connection) as many:
        client.get(PAGE)
    assert len(many) == len(few) <= 30


def test_an_entrys_page_says_how_it_is_sealed_and_what_covers_it(
    sealer: "psycopg.Connection[Any]", client: Client, users: UserFactory, owner_connection: Any
) -> None:
    signed_in(client, users)
    first, second = write(users("approver", name="ben"))
    address = f"{LIST}{first.pk}/"
    assert "waits for its seal" in client.get(address).content.decode()
    seal_all(sealer)
    seal = AuditSeal.objects.get(entry=first)
    page = client.get(address).content.decode()
    assert f"as number {seal.sequence}" in page
    assert "no checkpoint yet" in page
    assert bytes(seal.chain).hex() in page
    sign_and_publish(sealer)
    page = client.get(address).content.decode()
    number = Checkpoint.objects.get().number
    assert f"checkpoint {number}</a>, signed" in page
    assert ", published at file:///" in page
    owner_connection.execute("ALTER TABLE audit_auditseal DISABLE TRIGGER USER")
    owner_connection.execute("DELETE FROM audit_auditseal WHERE entry_id = %s", [second.pk])
    assert "neither sealed nor waiting" in client.get(f"{LIST}{second.pk}/").content.decode()


def test_a_checkpoint_is_taken_away_as_the_file_that_was_signed(
    sealer: "psycopg.Connection[Any]", client: Client, users: UserFactory
) -> None:
    signed_in(client, users)
    seal_all(sealer)
    sign_and_publish(sealer)
    checkpoint = Checkpoint.objects.get()
    answer = client.get(f"{LIST}checkpoint/{checkpoint.number}/")
    assert answer.content.decode() == checkpoint.text
    assert answer["Content-Disposition"] == f'attachment; filename="checkpoint-{checkpoint.number}.txt"'
    assert client.get(f"{LIST}checkpoint/999/").status_code == 404


def test_an_export_holds_each_entrys_seal(sealer: "psycopg.Connection[Any]", users: UserFactory) -> None:
    ben = users("approver", name="ben")
    write(ben)
    seal_all(sealer)
    write(ben)
    wanted = TrailFilter(subject_type="auth.user", subject_id=ben.pk)
    told = (
        b"".join(export_trail(wanted, "csv", acting_user=users("auditor"))).decode("utf-8-sig").splitlines()
    )
    numbers = [line.split(",")[1] for line in told[1:]]
    seals = list(AuditSeal.objects.filter(entry__subject_id=ben.pk).order_by("sequence"))
    assert numbers == [*(str(seal.sequence) for seal in seals), '""', '""']


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("auditor", True),
        ("administrator", True),
        ("support", False),
        ("engineer", False),
        ("approver", False),
    ],
)
def test_the_first_page_tells_those_who_oversee_the_trail(
    db: None, client: Client, users: UserFactory, role: str, shown: bool
) -> None:
    signed_in(client, users, role)
    assert ("Integrity of the trail" in client.get("/").content.decode()) is shown
    alone = client.get("/home/trail_integrity/").content.decode()
    assert ("Integrity of the trail" in alone) is shown


def test_whoever_may_not_read_the_trail_sees_neither_page_nor_checkpoint(
    db: None, client: Client, users: UserFactory
) -> None:
    nobody = users("support", name="nobody")
    nobody.groups.clear()
    client.force_login(nobody)
    assert client.get(PAGE).status_code == 403
    assert client.get(f"{LIST}checkpoint/1/").status_code == 403
