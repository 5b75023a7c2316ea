"""One state of the database, seen by several connections at once for as long as it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Any, Self

import psycopg
from django.db import connection as django_connection
from psycopg.sql import SQL, Literal

_SETTINGS = (
    "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '64MB';"
    " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL TimeZone = 'UTC'"
)


class Snapshot:
    """Connections of their own, as the application, all reading the state of the moment when it was entered. None of them can write.

    What vacuum could clear away meanwhile stays until it is left.
    """

    leading: "psycopg.Connection[Any]"

    def __enter__(self) -> Self:
        self._free: SimpleQueue[psycopg.Connection[Any]] = SimpleQueue()
        self._all: list[psycopg.Connection[Any]] = []
        self._lock = Lock()
        self.leading = self._connect()
        exported = self.leading.execute("SELECT pg_export_snapshot()").fetchone()
        assert exported is not None
        self._name = str(exported[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._all:
            each.close()

    @contextmanager
    def lent(self) -> "Iterator[psycopg.Connection[Any]]":
        """A connection in the snapshot for one thread's use; taken back afterwards."""
        try:
            lent = self._free.get_nowait()
        except Empty:
            lent = self._connect(self._name)
        try:
            yield lent
        finally:
            self._free.put(lent)

    def _connect(self, snapshot: str = "") -> "psycopg.Connection[Any]":
        parameters = django_connection.get_connection_params()
        for not_psycopgs in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(not_psycopgs, None)
        # Never prepared: each piece is planned for what it holds.
        opened = psycopg.connect(**parameters, prepare_threshold=None)
        with self._lock:
            self._all.append(opened)
        opened.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if snapshot:
            opened.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(snapshot)))
        opened.execute(_SETTINGS)
        return opened
