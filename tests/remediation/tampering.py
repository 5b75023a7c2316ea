"""Changing rows behind the application's back, as only the database's owner can."""

from typing import Any

import psycopg


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
