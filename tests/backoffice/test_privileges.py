"""What the application's role may not do, tried in raw SQL."""

from typing import Any

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction

from backoffice.privileges import (
    FULL,
    INSERT_AND_DELETE,
    TABLES,
    check_every_table_is_classified,
    installed_models,
)

WRITTEN_ONCE = sorted(
    model._meta.db_table
    for model in installed_models()
    if "UPDATE" not in TABLES[model._meta.label] and "DELETE" not in TABLES[model._meta.label]
)
NEVER_DELETED = sorted(
    model._meta.db_table for model in installed_models() if "DELETE" not in TABLES[model._meta.label]
)
READ_ONLY = sorted(
    model._meta.db_table for model in installed_models() if "INSERT" not in TABLES[model._meta.label]
)
ALL = sorted(model._meta.db_table for model in installed_models())


def refused(statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        connection.cursor().execute(statement)


def test_every_table_has_its_privileges_decided() -> None:
    assert check_every_table_is_classified() == []


def test_a_table_that_nobody_classified_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TABLES, "audit.AuditEntry")
    assert [error.id for error in check_every_table_is_classified()] == ["backoffice.E001"]


@pytest.mark.parametrize("table", WRITTEN_ONCE)
def test_what_is_written_once_cannot_be_updated(db: None, table: str) -> None:
    with connection.cursor() as cursor:
        columns = [column.name for column in connection.introspection.get_table_description(cursor, table)]
    for column in columns:
        if (table, column) != ("remediation_case", "id"):
            refused(f'UPDATE {table} SET "{column}" = "{column}"')


@pytest.mark.parametrize("table", NEVER_DELETED)
def test_what_is_kept_cannot_be_deleted(db: None, table: str) -> None:
    refused(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", ALL)
def test_no_table_can_be_truncated_altered_or_dropped(db: None, table: str) -> None:
    refused(f"TRUNCATE {table} CASCADE")
    refused(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    refused(f"DROP TABLE {table} CASCADE")


@pytest.mark.parametrize("table", READ_ONLY)
def test_what_is_only_read_cannot_be_inserted(db: None, table: str) -> None:
    refused(f"INSERT INTO {table} DEFAULT VALUES")


def test_the_pointer_can_only_be_read(db: None) -> None:
    assert "transactions_currentcalculation" in READ_ONLY
    refused("UPDATE transactions_currentcalculation SET calculation_id = calculation_id")
    refused("SELECT transaction_id FROM transactions_currentcalculation FOR UPDATE")


def test_a_case_can_be_locked_but_not_changed(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM remediation_case FOR UPDATE")
    refused("UPDATE remediation_case SET reason = ''")


def test_triggers_cannot_be_switched_off_by_a_setting(db: None) -> None:
    refused("SET session_replication_role = replica")


def test_a_trigger_function_cannot_be_replaced_or_made(db: None) -> None:
    refused("CREATE OR REPLACE FUNCTION amends_refuse_change() RETURNS trigger LANGUAGE sql AS ''")
    refused("CREATE TABLE public.own_table (id int)")
    refused("CREATE SCHEMA own_schema")


def test_the_application_is_a_role_of_no_power(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, False, False, False, False)
        cursor.execute(
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = current_user::regrole"
        )
        # It sees how far replicas are behind, and changes nothing by it.
        assert cursor.fetchall() == [("pg_read_all_stats",)]
    refused("SET ROLE amends_owner")


def test_numbers_can_be_drawn_but_not_set_back(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('transactions_calculation_id_seq')")
    refused("SELECT setval('transactions_calculation_id_seq', 1)")


def test_sessions_and_personal_data_can_be_deleted() -> None:
    """The other side of the map: what has to be erasable is."""
    assert {label for label, granted in TABLES.items() if granted == FULL} == {
        "axes.AccessAttempt",
        "otp_static.StaticDevice",
        "otp_totp.TOTPDevice",
        "sessions.Session",
        "transactions.PersonalData",
    }
    assert {label for label, granted in TABLES.items() if granted == INSERT_AND_DELETE} == {
        "auth.User_groups",
        "otp_static.StaticToken",
        "transactions.SavedSearch",
    }


def test_a_function_with_the_owners_rights_is_not_the_applications_unless_named(
    owner_connection: "psycopg.Connection[Any]",
) -> None:
    owner_connection.execute(
        "CREATE FUNCTION amends_unnamed() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT 1'"
    )
    refused("SELECT amends_unnamed()")
