"""Preparing a database again, and with what is missing or wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from psycopg.sql import SQL, Identifier

from backoffice.privileges import TABLES
from backoffice.roles import ROLES
from tests.databases import administration, drop_database, with_database
from tests.settings import ADMIN_URL, OWNER_URL, SEALER_URL, TEST_DATABASE

STATE = """
    SELECT relname, relowner::regrole::text, relacl::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
    UNION ALL SELECT proname, proowner::regrole::text, proacl::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT datname, datdba::regrole::text, datacl::text FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'migrations', count(*)::text, max(id)::text FROM django_migrations
    UNION ALL SELECT 'groups', count(*)::text, max(id)::text FROM auth_group_permissions
    ORDER BY 1, 2, 3
"""


def prepare(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "backoffice.settings"} | environment,
        capture_output=True,
        text=True,
    )


def state() -> list[Any]:
    with psycopg.connect(OWNER_URL) as connection:
        return connection.execute(STATE).fetchall()


@pytest.fixture
def other_role(committed_db: None) -> Iterator[str]:
    name = f"amends_other_{os.getpid()}"
    with administration() as admin:
        admin.execute(SQL("CREATE ROLE {} LOGIN PASSWORD 'other'").format(Identifier(name)))
    yield name
    with administration() as admin:
        admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(TEST_DATABASE)))
        admin.execute(SQL("DROP OWNED BY {}").format(Identifier(name)))
        admin.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def test_preparing_again_changes_nothing(committed_db: None) -> None:
    before = state()
    for _ in range(2):
        done = prepare()
        assert done.returncode == 0, done.stderr
    assert state() == before
    assert len(before) > len(TABLES)


def test_preparing_again_takes_back_what_was_granted_by_hand(
    owner_connection: "psycopg.Connection[Any]",
) -> None:
    before = state()
    owner_connection.execute(
        "GRANT ALL ON transactions_currentcalculation, audit_auditentry TO PUBLIC, amends_app"
    )
    owner_connection.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC")
    assert state() != before
    assert prepare().returncode == 0
    assert state() == before


def test_the_owner_alone_can_prepare_once_the_roles_are_there(committed_db: None) -> None:
    before = state()
    assert prepare(DATABASE_ADMIN_URL="").returncode == 0
    assert state() == before


def test_without_the_owners_address_it_is_refused_with_the_remedy(committed_db: None) -> None:
    done = prepare(DATABASE_OWNER_URL="")
    assert done.returncode == 1
    assert "Set DATABASE_OWNER_URL" in done.stderr


def test_without_the_sealers_address_it_is_refused_with_the_remedy(committed_db: None) -> None:
    done = prepare(DATABASE_SEALER_URL="")
    assert done.returncode == 1
    assert "Set DATABASE_OWNER_URL and DATABASE_SEALER_URL" in done.stderr


def test_an_application_that_seals_what_it_writes_is_refused(committed_db: None) -> None:
    done = prepare(DATABASE_SEALER_URL=os.environ["DATABASE_URL"])
    assert done.returncode == 1
    assert "must not seal what it writes" in done.stderr


def test_one_role_for_both_is_refused(committed_db: None) -> None:
    done = prepare(DATABASE_URL=OWNER_URL)
    assert done.returncode == 1
    assert "must not own its tables" in done.stderr


def test_an_application_that_is_a_superuser_is_refused(committed_db: None) -> None:
    done = prepare(DATABASE_URL=with_database(ADMIN_URL, TEST_DATABASE))
    assert done.returncode == 1
    assert "may do more than it should" in done.stderr


def test_an_application_that_is_a_member_of_the_owner_is_refused(other_role: str) -> None:
    with administration() as admin:
        admin.execute(SQL("GRANT amends_owner TO {}").format(Identifier(other_role)))
    url = os.environ["DATABASE_URL"]
    done = prepare(DATABASE_URL=url.replace("amends_app", other_role, 1))
    assert done.returncode == 1
    assert "be no member of amends_owner" in done.stderr


def test_a_missing_application_role_is_named(committed_db: None) -> None:
    url = os.environ["DATABASE_URL"]
    done = prepare(DATABASE_URL=url.replace("amends_app", "amends_nobody", 1), DATABASE_ADMIN_URL="")
    assert done.returncode == 1
    assert "The role amends_nobody does not exist" in done.stderr


def test_a_new_database_is_made_from_nothing() -> None:
    name = f"amends_test_fresh_{os.getpid()}"
    try:
        done = prepare(
            DATABASE_URL=with_database(os.environ["DATABASE_URL"], name),
            DATABASE_OWNER_URL=with_database(OWNER_URL, name),
            DATABASE_SEALER_URL=with_database(SEALER_URL, name),
        )
        assert done.returncode == 0, done.stderr
        with psycopg.connect(with_database(os.environ["DATABASE_URL"], name)) as connection:
            row = connection.execute("SELECT count(*) FROM audit_auditentry").fetchone()
        assert row == (0,)
    finally:
        drop_database(name)


def test_every_role_is_a_group_with_its_permissions(db: None) -> None:
    held = {
        group.name: set(group.permissions.values_list("codename", flat=True))
        for group in Group.objects.prefetch_related("permissions")
    }
    assert set(held) == set(ROLES)
    for role, named in ROLES.items():
        assert set(named) <= held[role]
        assert "view_plan" in held[role]
    assert "approve_plan" not in held["engineer"]
    assert "apply_plan" not in held["approver"]
    assert {codename for codename in held["auditor"] if not codename.startswith("view_")} == {
        "audit_sample",
        "export_trail",
        "oversee_trail",
        "reveal_personal_data",
    }
