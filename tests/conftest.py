"""Fixtures of the whole suite: servers, databases, workers, people.

- `db` (pytest-django's): one transaction, rolled back at the end, as the application's role.
- `committed_db`: real commits, for tests with several processes or threads; the database is made anew afterwards.
- `owner_connection`: psycopg, as the owner, to tamper with what the application cannot. Use it with `committed_db`.
- `worker_process(environment…)`: a real Celery worker; needs `committed_db`.
- `users("engineer")`: somebody in that role, password `PASSWORD`; `engineer` and `approver`: who acts in most tests.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connections
from pytest_django import DjangoDbBlocker

from backoffice.celery import app
from backoffice.embedded.home import demand_private_folder
from backoffice.embedded.lifecycle import Embedded
from tests.databases import (
    copy_template,
    drop_database,
    drop_what_killed_runs_left,
    keep_little_wal,
    make_template,
)
from tests.settings import OWNER_URL, TEST_HOME, TEST_SERVERS_ARE_EMBEDDED
from tests.worker_process import WorkerProcess, start_worker

PASSWORD = "correct-horse-battery-9"

UserFactory = Callable[..., User]
WorkerFactory = Callable[..., WorkerProcess]


@pytest.fixture(scope="session")
def servers() -> Iterator[None]:
    """PostgreSQL and a broker. Runs that share a home share them; the last one to end stops them."""
    if not TEST_SERVERS_ARE_EMBEDDED:
        yield
        return
    embedded = Embedded(TEST_HOME, database=True, broker=True)
    TEST_HOME.make_directories()
    demand_private_folder(TEST_HOME.path)
    with (TEST_HOME.path / "runs.lock").open("w") as runs:
        fcntl.flock(runs, fcntl.LOCK_SH)
        try:
            embedded.up()
            keep_little_wal()
            yield
        finally:
            fcntl.flock(runs, fcntl.LOCK_UN)
            try:
                fcntl.flock(runs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # another run still needs them, and stops them
            else:
                embedded.down()


@pytest.fixture(scope="session")
def database_template(servers: None) -> str:
    """The name of the migrated database that every test database is a copy of."""
    drop_what_killed_runs_left()
    return make_template()


@pytest.fixture(scope="session")
def django_db_setup(database_template: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Instead of pytest-django's: a copy of the template, since the application may neither migrate nor flush."""
    copy_template(database_template)
    yield
    with django_db_blocker.unblock():
        connections.close_all()
    drop_database()


@pytest.fixture
def committed_db(
    django_db_setup: None, database_template: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """A database whose commits are real. Made anew afterwards: rows cannot be deleted, by design."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            connections.close_all()
            copy_template(database_template)


@pytest.fixture
def owner_connection(committed_db: None) -> Iterator["psycopg.Connection[Any]"]:
    """The owner's own connection, in autocommit."""
    with psycopg.connect(OWNER_URL, autocommit=True) as connection:
        yield connection


@pytest.fixture
def worker_process(committed_db: None, tmp_path: Path) -> Iterator[WorkerFactory]:
    """Starts real workers: `worker_process(AMENDS_FAILPOINT="…", concurrency=1)` returns one that answers. All are killed at the end."""
    started: list[WorkerProcess] = []

    def start(*, concurrency: int = 1, ready: bool = True, **environment: str) -> WorkerProcess:
        worker = start_worker(tmp_path, len(started) + 1, concurrency=concurrency, environment=environment)
        started.append(worker)
        if ready:
            worker.wait_until_ready()
        return worker

    app.control.purge()
    try:
        yield start
    finally:
        for worker in started:
            worker.kill()
        app.control.purge()


@pytest.fixture
def users() -> UserFactory:
    """Makes people: `users("engineer")`, `users("approver", name="Ben")`. Asked again for the same, gives the same. Needs `db` or
    `committed_db`.
    """

    def make(role: str, *, name: str = "") -> User:
        username = name or f"test-{role}"
        existing = User.objects.filter(username=username).first()
        if existing is not None:
            return existing
        user = User.objects.create_user(username, password=PASSWORD, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        return user

    return make


@pytest.fixture
def engineer(users: UserFactory) -> User:
    return users("engineer")


@pytest.fixture
def approver(users: UserFactory) -> User:
    return users("approver")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data. Skips, saying so, only where it is absent."""
    folder = Path(
        os.environ.get("AMENDS_TEST_DATA") or settings.BASE_DIR.parent / "shared" / "data"
    ).resolve()
    if not folder.is_dir():
        pytest.skip(
            f"The real data is not here: there is no folder {folder}. AMENDS_TEST_DATA can name another."
        )
    return folder
