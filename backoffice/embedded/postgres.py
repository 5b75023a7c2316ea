"""Embedded PostgreSQL: a private cluster under the home, reached by a unix socket and passwords only.

Durability stays on: what is measured and shown here is what a server elsewhere would do.
"""

import hashlib
import locale
import os
import shutil
import time
from functools import cached_property
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import psycopg

from backoffice.embedded.binaries import PostgresBinaries, postgres_binaries
from backoffice.embedded.home import ADMIN_ROLE, POSTGRES_PORT, Home, demand_private_folder
from backoffice.embedded.process_file import stop_process
from backoffice.embedded.service_user import NobodyToRunAs, ServiceUser, service_user

_ORPHANS_SECONDS = 10
_START_SECONDS = 60

# For two cores and a few gigabytes. What would lose a committed transaction in a crash is not touched.
_SETTINGS = {
    "listen_addresses": "",
    "port": str(POSTGRES_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d/%a ",
    "log_lock_waits": "on",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
}


class PostgresFailed(RuntimeError):
    """PostgreSQL could not be made, started or stopped. The message says what it printed."""


class EmbeddedPostgres:
    def __init__(self, home: Home) -> None:
        self._home = home

    def is_up(self) -> bool:
        """Whether it accepts connections."""
        try:
            with psycopg.connect(self._home.admin_url(), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def start(self) -> None:
        """Make the cluster if there is none, and start it if it does not run; call with the home's lock held.

        What a killed run left is cleared away first. Raises `PostgresFailed`, `NoBinaries`, `NobodyToRunAs`.
        """
        if self._postmaster() is not None and self.is_up():
            return
        self._clear_what_a_killed_run_left()
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        self._write_settings()
        self._user.give(self._socket_folder)
        self._user.give(self._log_folder)
        start_log = self._log_folder / "postgresql-start.log"
        done = self._pg_ctl("start", "--wait", f"--timeout={_START_SECONDS}", f"--log={start_log}")
        if done.returncode != 0:
            ending = (
                start_log.read_text(encoding="utf-8", errors="replace")[-2000:] if start_log.exists() else ""
            )
            raise PostgresFailed(
                f"PostgreSQL did not start:\n{done.stdout}\n{start_log} ends with:\n{ending}"
            )

    def stop(self) -> bool:
        """Stop it, ending its connections; call with the home's lock held. Says whether it ran."""
        if self._postmaster() is None:
            self._clear_what_a_killed_run_left()
            return False
        done = self._pg_ctl("stop", "--wait", "--mode=fast", "--timeout=60")
        if done.returncode != 0:
            raise PostgresFailed(f"PostgreSQL did not stop:\n{done.stdout}")
        return True

    @cached_property
    def _user(self) -> ServiceUser:
        return service_user(os.environ.get("AMENDS_SERVICE_USER", ""))

    @cached_property
    def _data(self) -> Path:
        """The cluster's folder: in the home, or where the account that runs PostgreSQL cannot go there, in /var/tmp."""
        if self._user.account is None or self._user.reaches(self._home.path):
            return self._home.path / "postgres"
        digest = hashlib.sha256(os.fsencode(self._home.path)).hexdigest()[:16]
        return self._own_folder(Path("/var/tmp") / f"amends-{digest}") / "postgres"  # noqa: S108 (made 0700, ours)

    @cached_property
    def _socket_folder(self) -> Path:
        """Where PostgreSQL puts its socket. Clients always look in the home's folder: that may lead to this one."""
        there = self._home.sockets
        if (
            self._user.account is None
            or there.parent != self._home.path
            or self._user.reaches(self._home.path)
        ):
            return there
        folder = self._own_folder(self._data.parent / "run")
        if not there.is_symlink():
            shutil.rmtree(there)
            there.symlink_to(folder)
        return folder

    @cached_property
    def _log_folder(self) -> Path:
        if self._data.parent == self._home.path:
            folder = self._home.logs / "postgresql"
            self._home.logs.chmod(0o700 if self._user.account is None else 0o711)
        else:
            folder = self._data.parent / "log"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @cached_property
    def _binaries(self) -> PostgresBinaries:
        version = self._data / "PG_VERSION"
        return postgres_binaries(int(version.read_text(encoding="ascii")) if version.exists() else None)

    def _own_folder(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, exist_ok=True)
        demand_private_folder(folder)
        self._user.give(folder)
        if not self._user.reaches(folder):
            raise NobodyToRunAs(
                f"The user {self._user.account} cannot enter {folder}, and root may not run PostgreSQL."
            )
        return folder

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return inherited | {"LC_ALL": self._locale}

    @cached_property
    def _locale(self) -> str:
        before = locale.setlocale(locale.LC_CTYPE)
        try:
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
        except locale.Error:
            return "C"
        else:
            return "C.UTF-8"
        finally:
            locale.setlocale(locale.LC_CTYPE, before)

    def _make_cluster(self) -> None:
        """Made beside its place and moved there when whole, so that a kill in between leaves no half of one."""
        unfinished = self._data.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._user.give(unfinished)
        password = self._data.with_name("admin.password")
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._home.credentials.admin_password)
        self._user.give(password)
        try:
            done = self._user.run(
                [
                    self._binaries.folder / "initdb",
                    f"--pgdata={unfinished}",
                    f"--username={ADMIN_ROLE}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--data-checksums",
                    "--encoding=UTF8",
                    f"--locale={self._locale}",
                ],
                self._environment(),
            )
        finally:
            password.unlink()
        if done.returncode != 0:
            raise PostgresFailed(f"initdb failed:\n{done.stdout}")
        unfinished.rename(self._data)

    def _write_settings(self) -> None:
        """What differs from PostgreSQL's defaults, in a file of its own that is written anew at every start."""
        folders = {
            "unix_socket_directories": str(self._socket_folder),
            "log_directory": str(self._log_folder),
        }
        quoted = {name: value.replace("'", "''") for name, value in (_SETTINGS | folders).items()}
        lines = [f"{name} = '{value}'" for name, value in quoted.items()]
        file = self._data / "amends.conf"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._user.give(file)
        main = self._data / "postgresql.conf"
        include = "include 'amends.conf'\n"
        if include not in main.read_text(encoding="utf-8"):
            with main.open("a", encoding="utf-8") as opened:
                opened.write(include)

    def _pg_ctl(self, *words: str) -> CompletedProcess[str]:
        return self._user.run(
            [self._binaries.folder / "pg_ctl", f"--pgdata={self._data}", *words], self._environment()
        )

    def _postmaster(self) -> psutil.Process | None:
        """The cluster's main process, if the one that its pid file names is alive and really is it."""
        try:
            first_line = (self._data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
            process = psutil.Process(int(first_line))
            is_it = process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(self._data)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if is_it else None

    def _clear_what_a_killed_run_left(self) -> None:
        """Without its main process, PostgreSQL's others end by themselves; what does not is ended. Stale files go."""
        deadline = time.monotonic() + _ORPHANS_SECONDS
        if self._postmaster() is not None:
            return
        while orphans := self._orphans():
            if time.monotonic() > deadline:
                for orphan in orphans:
                    stop_process(orphan, patience_seconds=2)
            time.sleep(0.05)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for left in self._home.sockets.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)

    def _orphans(self) -> list[psutil.Process]:
        """Processes at work in the cluster's folder: PostgreSQL's own stand in it, and nobody else does."""
        found = []
        for process in psutil.process_iter(["name", "cwd", "status"]):
            alive = process.info["status"] != psutil.STATUS_ZOMBIE
            if alive and process.info["name"] == "postgres" and process.info["cwd"] == str(self._data):
                found.append(process)
        return found
