"""Changing rows behind the application's back, as only the database's owner can, and what a verification says of it."""

import re
from typing import Any

import psycopg

from audit.verification import Verification, verify_everything


def tamper(owner: "psycopg.Connection[Any]", statement: str) -> None:
    """Change rows as only the database's owner can, past the triggers that stop even the owner's mistakes."""
    with owner.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(transactions|remediation|audit)_'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement)
        assert cursor.rowcount > 0
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def told(verification: Verification) -> list[str]:
    """Its findings, each with the name of the check that found it."""
    return [f"[{each.check}] {each}" for each in verification.findings]


def assert_tampering_is_found(owner: "psycopg.Connection[Any]", statements: str, named: str) -> None:
    """That a verification finds nothing, and after `statements`, parted by "; ", something that the pattern `named` matches."""
    assert told(verify_everything()) == []
    for statement in statements.split("; "):
        tamper(owner, statement)
    verification = verify_everything()
    assert verification.result == "tampered"
    found = told(verification)
    assert any(re.search(named, each) for each in found), "\n".join(found)
