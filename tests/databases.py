"""Makes the databases of a test run: a migrated template, kept between runs, and a copy of it for each need."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg.sql import SQL, Identifier

from backoffice.privileges import grant_on_database
from tests.settings import ADMIN_URL, OWNER_URL, SEALER_URL, TEST_DATABASE, TEST_HOME

ROOT = Path(__file__).parent.parent
# What a prepared database is made of. A change to any of it makes a new template.
_INGREDIENTS = (
    "*/migrations/*.py",
    "*/sql/*.sql",
    "*/models.py",
    "*/models/*.py",
    "backoffice/privileges.py",
    "backoffice/roles.py",
    "backoffice/database.py",
    "requirements.txt",
)


def with_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def keep_little_wal() -> None:
    """The servers' files may lie in memory: half a gigabyte of what was written is kept, and next to none between runs."""
    with administration() as admin:
        admin.execute("ALTER SYSTEM SET max_wal_size = '512MB'")
        admin.execute("ALTER SYSTEM SET min_wal_size = '32MB'")
        admin.execute("SELECT pg_reload_conf()")


def template_name() -> str:
    digest = hashlib.sha256()
    for file in sorted(file for pattern in _INGREDIENTS for file in ROOT.glob(pattern)):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"amends_template_{digest.hexdigest()[:20]}"


@contextmanager
def administration() -> Iterator["psycopg.Connection[Any]"]:
    """A connection that may make and drop databases; outside of any transaction."""
    with psycopg.connect(ADMIN_URL, autocommit=True) as connection:
        yield connection


def make_template() -> str:
    """The name of a migrated database to copy; made if no earlier run left one of the same ingredients."""
    name = template_name()
    with TEST_HOME.locked("template.lock"), administration() as admin:
        if not _exists(admin, name):
            _drop_old_templates(admin)
            unfinished = f"amends_building_{os.getpid()}"
            _drop(admin, unfinished)
            _make_owned(admin, unfinished)
            _prepare(unfinished)
            admin.execute(
                SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(unfinished), Identifier(name))
            )
    return name


def copy_template(template: str, name: str = TEST_DATABASE) -> None:
    """Make the database `name` anew as a copy of the template, ending whatever is connected to an older one."""
    owner, app, sealer = (
        urlsplit(url).username for url in (OWNER_URL, os.environ["DATABASE_URL"], SEALER_URL)
    )
    assert owner is not None
    assert app is not None
    assert sealer is not None
    # Two copies of one template at once would refuse each other.
    with TEST_HOME.locked("template.lock"), administration() as admin:
        _drop(admin, name)
        admin.execute(
            SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                Identifier(name), Identifier(template), Identifier(owner)
            )
        )
    with psycopg.connect(with_database(OWNER_URL, name)) as connection:
        grant_on_database(connection, name, app, sealer)


def drop_database(name: str = TEST_DATABASE) -> None:
    with administration() as admin:
        _drop(admin, name)


def drop_what_killed_runs_left() -> None:
    """Databases of runs whose process is gone."""
    with administration() as admin:
        names = admin.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^amends_(test|building)_[0-9]+$'"
        ).fetchall()
        for (name,) in names:
            if not psutil.pid_exists(int(name.rsplit("_", 1)[1])):
                _drop(admin, name)


def _prepare(database: str) -> None:
    """By the command that users run, in a process of its own."""
    environment = os.environ | {
        "DATABASE_URL": with_database(os.environ["DATABASE_URL"], database),
        "DATABASE_OWNER_URL": with_database(OWNER_URL, database),
        "DATABASE_SEALER_URL": with_database(SEALER_URL, database),
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"The test database could not be prepared:\n{done.stdout}")


def _make_owned(admin: "psycopg.Connection[Any]", name: str) -> None:
    """By prepare_database itself where that can; only a run without a superuser needs it made for the owner here."""
    if not os.environ.get("DATABASE_ADMIN_URL"):
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))


def _drop_old_templates(admin: "psycopg.Connection[Any]") -> None:
    for (name,) in admin.execute(
        "SELECT datname FROM pg_database WHERE datname LIKE 'amends\\_template\\_%'"
    ).fetchall():
        _drop(admin, name)


def _exists(admin: "psycopg.Connection[Any]", name: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _drop(admin: "psycopg.Connection[Any]", name: str) -> None:
    admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
