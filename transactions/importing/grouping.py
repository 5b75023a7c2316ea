"""Rows of one transaction brought together, wherever in the files they stand, in flat memory: the database sorts them."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from operator import itemgetter

from django.db import connection

from transactions.importing.reading import Problem, SourceRow

MOST_LINES = 100_000
"""Rows of one group; more is a mistake in source.group_by."""
_FETCHED = 5_000
_LONGEST_KEY = 500

_CREATE = """
    DROP TABLE IF EXISTS pg_temp.source_rows;
    CREATE TEMPORARY TABLE source_rows (
        group_key text COLLATE "C", seq bigint, record text, bad_column text, reason text
    ) ON COMMIT PRESERVE ROWS
"""


class GroupedRows:
    """The rows of all files by group. Values travel as ASCII JSON, so that what is wrong with them can still be told."""

    def __init__(self, group_by: str) -> None:
        self._group_by = group_by
        self.groups = 0

    def __enter__(self) -> "GroupedRows":
        with connection.cursor() as cursor:
            cursor.execute(_CREATE)
        return self

    def __exit__(self, *_: object) -> None:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS pg_temp.source_rows")

    def add(self, rows: Iterable[SourceRow]) -> None:
        """COPY rows in. Rows whose group cannot be told are groups of their own."""
        with connection.cursor() as cursor, cursor.copy("COPY pg_temp.source_rows FROM STDIN") as copy:
            for seq, row in enumerate(rows):
                problem = row.problem or self._missing(row)
                copy.write_row(
                    (
                        self._key(row, seq),
                        seq,
                        row.as_text(),
                        None if problem is None else problem.column,
                        None if problem is None else problem.reason,
                    )
                )
        with connection.cursor() as cursor:
            cursor.execute("CREATE INDEX ON pg_temp.source_rows (group_key, seq)")
            cursor.execute("ANALYZE pg_temp.source_rows")
            cursor.execute("SELECT count(DISTINCT group_key) FROM pg_temp.source_rows")
            self.groups = int(cursor.fetchone()[0])

    def _missing(self, row: SourceRow) -> Problem | None:
        if row.values.get(self._group_by) in ("", None):
            return Problem(self._group_by, "It is empty, and tells which rows make one transaction.")
        return None

    def _key(self, row: SourceRow, seq: int) -> str:
        value = row.values.get(self._group_by)
        if value in ("", None):
            return f"#{seq}"
        key = json.dumps(value)
        # An index holds no more than 2,700 bytes of a row.
        return key if len(key) <= _LONGEST_KEY else f"sha256:{sha256(key.encode()).hexdigest()}"

    def __iter__(self) -> Iterator[tuple[str, list[SourceRow]]]:
        """The groups by their keys, each with its rows in file order."""
        for key, members in groupby(self._sorted(), key=itemgetter(0)):
            yield key, [row for _, row in members]

    def group(self, key: str) -> list[SourceRow]:
        """The rows of one group, in file order."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT record, bad_column, reason FROM pg_temp.source_rows WHERE group_key = %s ORDER BY seq",
                [key],
            )
            return [_row(*found) for found in cursor.fetchall()]

    def _sorted(self) -> Iterator[tuple[str, SourceRow]]:
        after: tuple[str, int] = ("", -1)
        while True:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT group_key, seq, record, bad_column, reason FROM pg_temp.source_rows"
                    " WHERE (group_key, seq) > (%s, %s) ORDER BY group_key, seq LIMIT %s",
                    [*after, _FETCHED],
                )
                fetched = cursor.fetchall()
            for key, _, *found in fetched:
                yield key, _row(*found)
            if len(fetched) < _FETCHED:
                return
            after = (fetched[-1][0], fetched[-1][1])


def _row(record: str, bad_column: str | None, reason: str | None) -> SourceRow:
    return SourceRow.from_text(
        record, None if bad_column is None or reason is None else Problem(bad_column, reason)
    )
