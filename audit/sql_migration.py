"""Migrations whose guards, functions and triggers are plain SQL files beside them."""

from pathlib import Path

from django.db.migrations.operations import RunSQL


def run_sql_file(path: Path) -> RunSQL:
    """An operation that runs the statements of `path` as they stand.

    A list is handed over because a plain string would be split at its semicolons, inside function bodies too. There is no way
    back: a guard is replaced by a later migration, never taken out by reversing one.
    """
    return RunSQL([(path.read_text(encoding="utf-8"), None)])
