"""The chain over the trail: what the sealer does, and what nobody else can."""

import threading
from typing import Any

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import AuditEntry, AuditSeal, SealQueue, Trail
from audit.seal import (
    ENTRY_FIELDS,
    ChainEnd,
    EntryFields,
    chain_end,
    connect,
    entry_hash,
    first_chain,
    next_chain,
    seal_waiting,
)
from transactions.canonical import canonical_json, microseconds

SEALED_TABLES = (
    "audit_trail",
    "audit_auditseal",
    "audit_auditkey",
    "audit_checkpoint",
    "audit_checkpointpublication",
)
text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
texts = st.one_of(
    text, st.sampled_from(["", "1:a,", "5:entry", ",", "::", "é" * 20, "\U0001f4b8", "\x1f", "\\", '"', "\n"])
)
data = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.integers(10**30, 10**40), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def entry(label: str = "Plan 1", **fields: Any) -> AuditEntry:
    fields = {
        "event": "plan.approved",
        "actor_label": "ann",
        "subject_type": "remediation.plan",
        "subject_id": 1,
        "data": {},
    } | fields
    with transaction.atomic():
        return AuditEntry.objects.create(subject_label=label, **fields)


def hashed_in_sql(entry_id: int) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT amends_entry_hash(entry) FROM audit_auditentry entry WHERE id = %s", [entry_id]
        )
        return bytes(cursor.fetchone()[0])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    label=texts,
    reason=texts,
    actor=st.one_of(st.none(), st.integers(1, 2**31 - 1)),
    subject=st.integers(-(2**62), 2**62),
    data=st.dictionaries(texts, data, max_size=3),
)
def test_python_and_sql_hash_an_entry_alike(
    db: None, label: str, reason: str, actor: int | None, subject: int, data: Any
) -> None:
    written = entry(
        label, reason=reason, actor_id=actor, subject_id=subject, data=data, actor_label=reason[:254]
    )
    written.refresh_from_db()
    fields = EntryFields(
        str(written.pk), "plan.approved", "" if actor is None else str(actor), reason[:254], "remediation.plan", str(subject), label,
        reason, "", canonical_json(data), str(microseconds(written.occurred_at)),
    )  # fmt: skip
    assert entry_hash(fields) == hashed_in_sql(written.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {ENTRY_FIELDS} FROM audit_auditentry entry WHERE id = %s", [written.pk])
        assert EntryFields(*cursor.fetchone()) == fields


def test_no_two_fields_can_be_shifted_into_each_other() -> None:
    one = EntryFields(*"abcdefghijk")
    assert entry_hash(one) != entry_hash(one._replace(event="bc", actor=""))
    assert entry_hash(one) != entry_hash(one._replace(event="b,1:c", actor="c"))


def test_every_entry_waits_from_its_commit_until_it_is_sealed_once(committed_db: None) -> None:
    written = [entry(f"Plan {number}") for number in range(3)]
    assert set(SealQueue.objects.values_list("entry_id", flat=True)) >= {each.pk for each in written}
    with connect() as sealer:
        seal_waiting(sealer)
        assert not SealQueue.objects.exists()
        assert seal_waiting(sealer) == 0
    assert AuditSeal.objects.filter(entry__in=written).count() == 3


def test_the_chain_is_the_one_that_the_format_describes(committed_db: None) -> None:
    for number in range(4):
        entry(f"Plan {number}")
    with connect() as sealer:
        while seal_waiting(sealer, limit=3):
            pass
        end = ChainEnd(0, first_chain(Trail.objects.get().uuid))
        for seal in AuditSeal.objects.order_by("sequence"):
            end = next_chain(end, hashed_in_sql(seal.entry_id), microseconds(seal.sealed_at))
            assert (seal.sequence, bytes(seal.chain)) == (end.sequence, end.chain)
        assert chain_end(sealer) == end
    assert end.sequence == AuditEntry.objects.count()


def test_an_entry_that_commits_after_a_later_one_was_sealed_is_sealed_too(committed_db: None) -> None:
    begun, go_on = threading.Event(), threading.Event()
    found: list[int] = []

    def late() -> None:
        with transaction.atomic():
            found.append(entry("late").pk)
            begun.set()
            go_on.wait(10)
        connection.close()

    writer = threading.Thread(target=late)
    writer.start()
    assert begun.wait(10)
    early = entry("early")
    with connect() as sealer:
        seal_waiting(sealer)
        assert not AuditSeal.objects.filter(entry=found[0]).exists()
        go_on.set()
        writer.join()
        seal_waiting(sealer)
    assert found[0] < early.pk
    places = dict(AuditSeal.objects.values_list("entry_id", "sequence"))
    assert places[early.pk] < places[found[0]]


def test_an_entry_that_was_rolled_back_is_never_sealed(committed_db: None) -> None:
    with transaction.atomic():
        gone = entry("gone").pk
        transaction.set_rollback(True)
    with connect() as sealer:
        seal_waiting(sealer)
    assert not AuditSeal.objects.filter(entry=gone).exists()


def test_of_two_sealers_one_waits_for_its_turn(committed_db: None) -> None:
    entry()
    with connect() as one, connect() as other:
        with one.transaction():
            assert seal_waiting(one)
            assert seal_waiting(other) is None
        assert seal_waiting(other) == 0


def test_counts_that_are_being_folded_keep_nobody_from_sealing(committed_db: None) -> None:
    entry()
    with transaction.atomic(), connection.cursor() as cursor, connect() as sealer:
        cursor.execute("SELECT amends_fold_counts()")  # its lock lasts until the end of this transaction
        assert seal_waiting(sealer)


def test_a_sealer_that_dies_midway_leaves_all_to_the_next(committed_db: None) -> None:
    entry()
    dying = connect()
    dying.autocommit = False
    dying.execute("SELECT 1")  # a transaction of its own, which seal_waiting then only takes part in
    assert seal_waiting(dying)
    with pytest.raises(psycopg.OperationalError):
        dying.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert SealQueue.objects.exists()
    with connect() as sealer:
        assert seal_waiting(sealer)
    assert not SealQueue.objects.exists()


@pytest.mark.parametrize("table", [*SEALED_TABLES, "audit_sealqueue", "audit_auditentry"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TABLE {table}",
    ],
)
def test_the_application_cannot_take_anything_out(db: None, table: str, statement: str) -> None:
    refused(statement.format(table=table))


@pytest.mark.parametrize("table", [*SEALED_TABLES, "audit_sealqueue"])
def test_the_application_cannot_put_anything_in(db: None, table: str) -> None:
    refused(f"INSERT INTO {table} SELECT * FROM {table}")


def test_the_application_cannot_switch_triggers_off(db: None) -> None:
    refused("SET session_replication_role = replica")


@pytest.mark.parametrize("table", [*SEALED_TABLES, "audit_auditentry"])
def test_the_sealer_can_only_add(committed_db: None, table: str) -> None:
    with connect() as sealer:
        column = next(iter(sealer.execute(f"SELECT * FROM {table} LIMIT 0").description or ())).name
        for statement in (
            f'UPDATE {table} SET "{column}" = "{column}"',
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sealer.execute(statement)


def test_the_sealer_can_neither_write_entries_nor_queue_them_nor_see_transactions(committed_db: None) -> None:
    with connect() as sealer:
        for statement in (
            "INSERT INTO audit_auditentry SELECT * FROM audit_auditentry",
            "INSERT INTO audit_sealqueue VALUES (1)",
            "SELECT FROM transactions_transaction",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sealer.execute(statement)


@pytest.mark.parametrize("table", [*SEALED_TABLES, "audit_auditentry"])
def test_the_owner_cannot_truncate_by_mistake(
    committed_db: None, owner_connection: "psycopg.Connection[Any]", table: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner_connection.execute(f"TRUNCATE {table} CASCADE")


def refused(statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        connection.cursor().execute(statement)
