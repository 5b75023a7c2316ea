"""Makes the database: three roles, the schema as the owner, what application and sealer may do, the people's roles."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
import psycopg
from django.core.management import call_command
from django.db import DatabaseError, connections
from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

from backoffice.privileges import grant_on_database, grant_privileges
from backoffice.roles import write_roles

OWNER_ALIAS = "owner"
# Two preparations of one cluster at once wait for each other.
_PREPARATION_LOCK = 5_127_100_001


class NotPreparable(RuntimeError):
    """The database cannot be prepared with the connections given. The message says which one is missing, or why."""


@dataclass(frozen=True)
class DatabaseAddress:
    """A role, its password and its database, as read from an address."""

    url: str
    role: str
    password: str
    database: str

    @classmethod
    def of(cls, url: str) -> "DatabaseAddress":
        parts = urlsplit(url)
        if not parts.username or not parts.path.strip("/"):
            raise NotPreparable(
                "A database address must name a role and a database: postgresql://role:password@host/database."
            )
        return cls(
            url, unquote(parts.username), unquote(parts.password or ""), unquote(parts.path.strip("/"))
        )


def prepare_database(
    *, owner_url: str, application_url: str, sealer_url: str, admin_url: str = "", verbosity: int = 0
) -> None:
    """Bring roles, database, schema, privileges and people's roles to what this version of Amends needs.

    Safe to repeat. `admin_url`, a superuser's, is needed only where roles or database are still to be made.
    Raises `NotPreparable`.
    """
    owner, application, sealer = map(DatabaseAddress.of, (owner_url, application_url, sealer_url))
    if len({owner.role, application.role, sealer.role}) < 3:
        raise NotPreparable(
            "DATABASE_OWNER_URL, DATABASE_URL and DATABASE_SEALER_URL must name three roles. The application must not own its "
            "tables, and must not seal what it writes."
        )
    if len({owner.database, application.database, sealer.database}) > 1:
        raise NotPreparable(
            "DATABASE_OWNER_URL, DATABASE_URL and DATABASE_SEALER_URL name different databases."
        )
    if admin_url:
        _make_roles_and_database(admin_url, owner, application, sealer)
    _migrate(owner, verbosity)
    with _connect(owner.url, "DATABASE_OWNER_URL") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARATION_LOCK,))
        for role in (application.role, sealer.role):
            _demand_weak_role(connection, owner.role, role)
        grant_on_database(connection, owner.database, application.role, sealer.role)
        grant_privileges(connection, application.role, sealer.role)
    write_roles(OWNER_ALIAS)
    connections[OWNER_ALIAS].close()


def _connect(url: str, name: str) -> "Connection[Any]":
    try:
        return psycopg.connect(url, connect_timeout=10, application_name="amends prepare_database")
    except psycopg.OperationalError as error:
        raise NotPreparable(f"{name} cannot be connected to: {error}") from error


def _make_roles_and_database(
    admin_url: str, owner: DatabaseAddress, application: DatabaseAddress, sealer: DatabaseAddress
) -> None:
    with _connect(admin_url, "DATABASE_ADMIN_URL") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARATION_LOCK,))
        for address in (owner, application, sealer):
            if not connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", (address.role,)
            ).fetchone():
                connection.execute(
                    SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                        Identifier(address.role), Literal(address.password)
                    )
                )
        # Jobs rest while a replica is behind (remediation.throttle); who may not see how far would never rest.
        connection.execute(SQL("GRANT pg_read_all_stats TO {}").format(Identifier(application.role)))
    with _connect(admin_url, "DATABASE_ADMIN_URL") as connection:
        connection.autocommit = (
            True  # a database is not made inside a transaction; the lock lasts as long as the connection
        )
        connection.execute("SELECT pg_advisory_lock(%s)", (_PREPARATION_LOCK,))
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (owner.database,)
        ).fetchone():
            connection.execute(
                SQL("CREATE DATABASE {} OWNER {}").format(Identifier(owner.database), Identifier(owner.role))
            )


def _demand_weak_role(connection: "Connection[Any]", owner: str, role: str) -> None:
    """`role` must exist, and must be kept from what it may not do: no superuser, no member of the owner."""
    found = connection.execute(
        """
        SELECT rolsuper OR rolcreaterole OR rolbypassrls, pg_has_role(rolname, %s, 'MEMBER')
        FROM pg_roles WHERE rolname = %s
        """,
        (owner, role),
    ).fetchone()
    if found is None:
        raise NotPreparable(
            f"The role {role} does not exist. Make it, or set DATABASE_ADMIN_URL to a superuser's address: "
            f"CREATE ROLE {role} LOGIN PASSWORD '…'."
        )
    too_powerful, is_owner = found
    if too_powerful or is_owner:
        raise NotPreparable(
            f"The role {role} may do more than it should: it must be no superuser, have no "
            f"CREATEROLE, and be no member of {owner}."
        )


def _migrate(owner: DatabaseAddress, verbosity: int) -> None:
    """Migrate as the owner, over a connection that exists in this process only where this runs."""
    settings: dict[str, Any] = dict(dj_database_url.parse(owner.url))
    settings["OPTIONS"] = {
        "application_name": "amends prepare_database",
        **settings.get("OPTIONS", {}),
    }
    connections.databases[OWNER_ALIAS] = connections.configure_settings(
        {"default": connections.databases["default"], OWNER_ALIAS: settings}
    )[OWNER_ALIAS]
    try:
        with connections[OWNER_ALIAS].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_PREPARATION_LOCK + 1,))
        call_command("migrate", database=OWNER_ALIAS, interactive=False, verbosity=verbosity)
    except DatabaseError as error:
        raise NotPreparable(f"The schema could not be migrated as {owner.role}: {error}") from error
    finally:
        connections[OWNER_ALIAS].close()
