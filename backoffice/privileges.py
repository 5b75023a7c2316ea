"""What the application's role may do, table by table. What is not named here it may not touch at all.

`prepare_database` grants exactly this; a system check fails where a table has no entry.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, register
from django.db import models
from psycopg import Connection
from psycopg.sql import SQL, Identifier

READ_ONLY = ("SELECT",)
INSERT_ONLY = ("SELECT", "INSERT")
# A row lock (FOR UPDATE, FOR SHARE) needs the privilege to UPDATE one column; a trigger refuses to really do it.
INSERT_ONLY_LOCKABLE = ("SELECT", "INSERT", "UPDATE (id)")
NO_DELETE = ("SELECT", "INSERT", "UPDATE")
INSERT_AND_DELETE = ("SELECT", "INSERT", "DELETE")
FULL = ("SELECT", "INSERT", "UPDATE", "DELETE")

TABLES: dict[str, tuple[str, ...]] = {
    "audit.AuditEntry": INSERT_ONLY,
    # Written by the sealer's role, and the queue by a trigger: whoever writes entries cannot seal them.
    "audit.Trail": READ_ONLY,
    "audit.SealQueue": READ_ONLY,
    "audit.AuditSeal": READ_ONLY,
    "audit.AuditKey": READ_ONLY,
    "audit.Checkpoint": READ_ONLY,
    "audit.CheckpointPublication": READ_ONLY,
    "transactions.Store": INSERT_ONLY,
    "transactions.Release": INSERT_ONLY,
    "transactions.IngestBatch": INSERT_ONLY,
    "transactions.IngestLeaves": INSERT_ONLY,
    "transactions.Transaction": INSERT_ONLY,
    "transactions.Calculation": INSERT_ONLY,
    "transactions.CurrentCalculation": READ_ONLY,  # moved by the two functions below, and nothing else
    "transactions.Supersession": READ_ONLY,  # written by amends_point_at_reported
    "transactions.StandingCount": READ_ONLY,  # written by whoever moves pointers, and folded by amends_fold_counts
    "transactions.StandingChange": READ_ONLY,
    "transactions.PersonalData": FULL,  # erasable
    "transactions.SavedSearch": INSERT_AND_DELETE,
    "remediation.Case": INSERT_ONLY_LOCKABLE,
    "remediation.CaseRevision": INSERT_ONLY,
    "remediation.CaseComment": INSERT_ONLY,
    "remediation.Plan": NO_DELETE,
    "remediation.PlanChunk": NO_DELETE,
    "remediation.PlanChunkLeaves": INSERT_ONLY,
    "remediation.PlanChunkFigures": INSERT_ONLY,
    "remediation.PlanMember": INSERT_ONLY,
    "remediation.Approval": INSERT_ONLY,
    "remediation.Job": NO_DELETE,
    "remediation.JobChunk": NO_DELETE,
    "remediation.Outcome": INSERT_ONLY,
    "remediation.AuditSample": INSERT_ONLY,
    "remediation.AuditSampleItem": INSERT_ONLY,
    "remediation.AuditSampleVerdict": INSERT_ONLY,
    "remediation.AuditSampleConclusion": INSERT_ONLY,
    # Roles and what they may do are code (backoffice/roles.py): only prepare_database, as the owner, writes them.
    "auth.Permission": READ_ONLY,
    "auth.Group": READ_ONLY,
    "auth.Group_permissions": READ_ONLY,
    "auth.User": NO_DELETE,  # somebody who leaves is made inactive: what they did stays theirs
    "auth.User_groups": INSERT_AND_DELETE,
    "auth.User_user_permissions": READ_ONLY,
    "admin.LogEntry": INSERT_ONLY,
    "contenttypes.ContentType": READ_ONLY,
    "sessions.Session": FULL,
    # Second factors: which code was used last is kept, and one that is turned off is forgotten.
    "otp_totp.TOTPDevice": FULL,
    "otp_static.StaticDevice": FULL,
    "otp_static.StaticToken": INSERT_AND_DELETE,
    "axes.AccessAttempt": FULL,  # wrong passwords are counted there for minutes; see backoffice/lockout.py
    # Not written: the trail tells of sign-ins. Attempts that are deleted would take expirations with them.
    "axes.AccessAttemptExpiration": ("SELECT", "DELETE"),
    "axes.AccessLog": READ_ONLY,
    "axes.AccessFailureLog": READ_ONLY,
}

# What the sealer's role may do; it may touch nothing else.
SEALER_TABLES: dict[str, tuple[str, ...]] = {
    "audit.Trail": READ_ONLY,
    "audit.AuditEntry": READ_ONLY,
    "audit.SealQueue": ("SELECT", "DELETE"),
    "audit.AuditSeal": INSERT_ONLY,
    "audit.AuditKey": INSERT_ONLY,
    "audit.Checkpoint": INSERT_ONLY,
    "audit.CheckpointPublication": INSERT_ONLY,
}

# Run with the owner's rights, so each is granted by name. Other functions have their caller's rights only.
FUNCTIONS_WITH_OWNER_RIGHTS = (
    "amends_point_at_reported",
    "amends_apply_chunk",
    "amends_refresh_statistics",
    "amends_fold_counts",
)


class UnclassifiedTable(LookupError):
    """A model has no entry in `TABLES`, so nobody decided what the application may do with it."""


def installed_models() -> Iterator[type[models.Model]]:
    """Every model with a table of its own, those that Django makes for many-to-many relations included."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            yield model


def privileges_by_table() -> dict[str, tuple[str, ...]]:
    """What is granted on each table of the installed models. Raises `UnclassifiedTable`."""
    found: dict[str, tuple[str, ...]] = {"django_migrations": READ_ONLY}
    for model in installed_models():
        try:
            found[model._meta.db_table] = TABLES[model._meta.label]
        except KeyError:
            raise UnclassifiedTable(
                f"{model._meta.label} has no entry in backoffice/privileges.py: say there what the application may do."
            ) from None
    return found


def grant_privileges(owner: "Connection[Any]", application_role: str, sealer_role: str) -> None:
    """Take every privilege in schema public from the application and the sealer, then grant what the maps say; one transaction.

    `owner` is a connection as the owner of all tables. Nobody else (PUBLIC) keeps anything.
    """
    application = privileges_by_table()
    sealer = {apps.get_model(label)._meta.db_table: granted for label, granted in SEALER_TABLES.items()}
    with owner.transaction():
        _grant(owner, Identifier(application_role), application)
        _grant_functions(owner, Identifier(application_role))
        _grant(owner, Identifier(sealer_role), sealer)


def _grant(owner: "Connection[Any]", role: Identifier, tables: dict[str, tuple[str, ...]]) -> None:
    """Let `role` do what `tables` says, and nothing else in schema public."""
    for statement in (
        "REVOKE ALL ON SCHEMA public FROM PUBLIC, {role}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {role}",
        "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {role}",
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, {role}",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO {role}",
    ):
        owner.execute(SQL(statement).format(role=role))
    for table, privileges in tables.items():
        granted = SQL(", ").join(SQL(privilege) for privilege in privileges)
        owner.execute(SQL("GRANT {} ON TABLE {} TO {}").format(granted, Identifier("public", table), role))
    _grant_sequences(owner, role, [table for table, privileges in tables.items() if "INSERT" in privileges])


def grant_on_database(
    owner: "Connection[Any]", database: str, application_role: str, sealer_role: str
) -> None:
    """Let the application connect and make temporary tables (imports land in one first), and the sealer connect; nobody else."""
    names = {
        "database": Identifier(database),
        "app": Identifier(application_role),
        "sealer": Identifier(sealer_role),
    }
    owner.execute(SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))
    owner.execute(SQL("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {app}").format(**names))
    owner.execute(SQL("GRANT CONNECT ON DATABASE {database} TO {sealer}").format(**names))


def _grant_sequences(owner: "Connection[Any]", role: Identifier, insertable: list[str]) -> None:
    """Numbers may be drawn for every table that may be inserted into; none may be set back."""
    sequences = owner.execute(
        """
        SELECT sequence.relname
        FROM pg_class sequence
        JOIN pg_depend d ON d.objid = sequence.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class owning ON owning.oid = d.refobjid
        WHERE sequence.relkind = 'S' AND sequence.relnamespace = 'public'::regnamespace AND owning.relname = ANY (%s)
        """,
        (insertable,),
    ).fetchall()
    for (sequence,) in sequences:
        owner.execute(SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(Identifier("public", sequence), role))


def _grant_functions(owner: "Connection[Any]", app: Identifier) -> None:
    functions = owner.execute(
        """
        SELECT p.proname, p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND (NOT p.prosecdef OR p.proname = ANY (%s))
          AND p.proowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
        """,
        (list(FUNCTIONS_WITH_OWNER_RIGHTS),),
    ).fetchall()
    for _, signature in functions:
        owner.execute(SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(SQL(signature), app))


@register
def check_every_table_is_classified(**_: object) -> list[CheckMessage]:
    """Fail where a table has no privileges decided, and where an entry names a model that is not there."""
    installed = {model._meta.label for model in installed_models()}
    missing = [
        Error(f"{label} has no entry.", hint="Say what the application may do with it.", id="backoffice.E001")
        for label in sorted(installed - TABLES.keys())
    ]
    stale = [
        Error(f"{label} is no installed model.", hint="Take the entry out.", id="backoffice.E002")
        for label in sorted(TABLES.keys() - installed)
    ]
    return list(chain(missing, stale))
