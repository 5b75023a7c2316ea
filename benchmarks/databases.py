"""The benchmark's databases: one loaded template for each size, kept between runs, and a fresh copy of it for every measurement.

Both sides thus begin on the same rows, indexes, statistics and free space, right after a checkpoint.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.db import connection, connections
from psycopg.sql import SQL, Identifier

from backoffice.database import prepare_database
from backoffice.embedded.lifecycle import Embedded
from backoffice.privileges import grant_on_database
from benchmarks.settings import (
    ADMIN_URL,
    APPLICATION_URL,
    BENCH_HOME,
    DATABASE,
    OWNER_URL,
    SEALER_URL,
    on_database,
)

ROOT = Path(__file__).parent.parent
INCIDENT = Path(__file__).with_name("incident.sql")
_INGREDIENTS = (
    "*/migrations/*.py",
    "*/sql/*.sql",
    "backoffice/privileges.py",
    "backoffice/roles.py",
    "benchmarks/incident.sql",
)


@contextmanager
def servers() -> Iterator[None]:
    """PostgreSQL and a broker of the benchmark's own, stopped at the end unless they ran before; servers elsewhere are left alone."""
    if BENCH_HOME is None:
        yield
        return
    embedded = Embedded(BENCH_HOME, database=True, broker=True)
    started = "started" in embedded.up().values()
    try:
        yield
    finally:
        connections.close_all()
        if started:
            embedded.down()


def template_of(rows: int) -> str:
    """The name of a database with an incident of `rows` transactions; loaded now if no earlier run left one of the same making."""
    name = f"{DATABASE}_{rows}_{_digest()}"
    with _administration() as admin:
        old = admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{DATABASE}\\_%",)
        ).fetchall()
        if (name,) in old:
            return name
        for (other,) in old:
            if not other.endswith(_digest()):
                _drop(admin, other)
        unfinished = f"{DATABASE}_unfinished"
        _drop(admin, unfinished)
        _load(unfinished, rows)
        admin.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(unfinished), Identifier(name)))
    return name


def fresh_copy(template: str) -> None:
    """Make the database that is measured anew, ending whatever is connected to the last one."""
    connections.close_all()
    owner, application, sealer = (urlsplit(url).username for url in (OWNER_URL, APPLICATION_URL, SEALER_URL))
    assert owner is not None
    assert application is not None
    assert sealer is not None
    with _administration() as admin:
        _drop(admin, DATABASE)
        admin.execute(
            SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(
                Identifier(DATABASE), Identifier(template), Identifier(owner)
            )
        )
    with psycopg.connect(OWNER_URL) as owned:
        grant_on_database(owned, DATABASE, application, sealer)


def settle() -> None:
    """Write out what earlier steps left dirty, so that no measurement pays for another's."""
    with _administration() as admin:
        admin.execute("CHECKPOINT")


def durability() -> dict[str, str]:
    """The server's version and the settings that decide what a commit costs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'fsync', 'synchronous_commit',"
            " 'full_page_writes', 'shared_buffers', 'wal_sync_method')"
        )
        return dict(cursor.fetchall())


def _load(database: str, rows: int) -> None:
    prepare_database(
        owner_url=on_database(OWNER_URL, database),
        application_url=on_database(APPLICATION_URL, database),
        sealer_url=on_database(SEALER_URL, database),
        admin_url=ADMIN_URL,
    )
    with psycopg.connect(on_database(OWNER_URL, database)) as loading:
        loading.execute(INCIDENT.read_text(encoding="utf-8").replace("{rows}", str(rows)))
    with psycopg.connect(on_database(OWNER_URL, database), autocommit=True) as tidying:
        tidying.execute("VACUUM (FREEZE, ANALYZE)")


def _digest() -> str:
    digest = hashlib.sha256()
    for file in sorted(file for pattern in _INGREDIENTS for file in ROOT.glob(pattern)):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@contextmanager
def _administration() -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(ADMIN_URL, autocommit=True) as admin:
        yield admin


def _drop(admin: "psycopg.Connection[Any]", name: str) -> None:
    admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
