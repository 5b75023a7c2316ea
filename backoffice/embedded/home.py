"""The folder that holds all embedded state, and what is derived from where it lies.

Two homes never share anything: not a socket, not a password, not a process.
"""

import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote

DATABASE_NAME = "amends"
ADMIN_ROLE = "amends_admin"
OWNER_ROLE = "amends_owner"
APPLICATION_ROLE = "amends_app"
SEALER_ROLE = "amends_sealer"
POSTGRES_PORT = 5432  # names the socket file only: nothing listens on the network

# sun_path is 108 octets on Linux, the last of them NUL.
_LONGEST_SOCKET_PATH = 107
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"


class UnsafeDirectory(RuntimeError):
    """The folder that sockets would go to belongs to somebody else, or others may write to it."""


def demand_private_folder(folder: Path) -> None:
    """Raise `UnsafeDirectory` unless it is a real folder that only this user, or for root an account chosen by root, may enter."""
    found = folder.lstat()
    ours = found.st_uid == os.getuid() or os.getuid() == 0
    if not stat.S_ISDIR(found.st_mode) or not ours or found.st_mode & 0o077:
        raise UnsafeDirectory(
            f"{folder} is not a private folder of this user. Remove it, or set AMENDS_HOME to another path."
        )


@dataclass(frozen=True)
class Credentials:
    """Random secrets of one home, kept in a file that only its user may read."""

    admin_password: str
    owner_password: str
    application_password: str
    sealer_password: str
    secret_key: str


_SECRETS: dict[str, Callable[[], str]] = {
    "admin_password": partial(secrets.token_urlsafe, 24),
    "owner_password": partial(secrets.token_urlsafe, 24),
    "application_password": partial(secrets.token_urlsafe, 24),
    "sealer_password": partial(secrets.token_urlsafe, 24),
    "secret_key": partial(secrets.token_urlsafe, 64),
}


class Home:
    """Where embedded PostgreSQL and Valkey keep their data, sockets, logs and secrets."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def logs(self) -> Path:
        return self.path / "log"

    @cached_property
    def sockets(self) -> Path:
        """The folder of the sockets: inside the home, or a short one in /tmp where that path would be too long."""
        inside = self.path / "run"
        if len(os.fsencode(inside / _LONGEST_SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path("/tmp") / f"amends-{os.getuid()}-{digest}"  # noqa: S108 (made 0700, its owner checked)

    @property
    def audit_key(self) -> Path:
        """The key that an embedded installation signs checkpoints with, in PEM; the sealer makes it at its first start."""
        return self.path / "audit-key.pem"

    @property
    def checkpoints(self) -> Path:
        """The folder that an embedded installation publishes its checkpoints in."""
        return self.path / "checkpoints"

    @property
    def broker_socket(self) -> Path:
        return self.sockets / "broker.sock"

    @cached_property
    def credentials(self) -> Credentials:
        """The home's secrets; made on first use. Two processes that ask at once get the same ones."""
        file = self.path / "credentials.json"
        stored = self._stored_credentials(file)
        if stored.keys() != _SECRETS.keys():
            with self.locked("credentials.lock"):
                stored = self._stored_credentials(file)
                if stored.keys() != _SECRETS.keys():
                    # A home of an earlier release keeps its own, and gets those that it lacks.
                    stored = {name: stored.get(name) or make() for name, make in _SECRETS.items()}
                    self._write_credentials(file, stored)
        return Credentials(**stored)

    def owner_url(self, database: str = DATABASE_NAME) -> str:
        return self._database_url(OWNER_ROLE, self.credentials.owner_password, database)

    def application_url(self, database: str = DATABASE_NAME) -> str:
        return self._database_url(APPLICATION_ROLE, self.credentials.application_password, database)

    def sealer_url(self, database: str = DATABASE_NAME) -> str:
        return self._database_url(SEALER_ROLE, self.credentials.sealer_password, database)

    def admin_url(self, database: str = "postgres") -> str:
        return self._database_url(ADMIN_ROLE, self.credentials.admin_password, database)

    @property
    def broker_url(self) -> str:
        return f"unix://{quote(str(self.broker_socket))}"

    def make_directories(self) -> None:
        """Make the home's folders. Raises `UnsafeDirectory` where the sockets' folder is not ours alone."""
        for directory in (self.path, self.logs):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        inside = self.sockets.parent == self.path
        if inside and self.sockets.is_symlink() and not self.sockets.exists():
            self.sockets.unlink()  # led to a folder of PostgreSQL's own account that is gone
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        demand_private_folder(self.sockets.resolve() if inside else self.sockets)

    @contextmanager
    def locked(self, name: str = "home.lock") -> Iterator[None]:
        """Wait until no other process holds this lock, and hold it. Released by the kernel if we die."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.path / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _database_url(self, role: str, password: str, database: str) -> str:
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{role}:{password}@{host}:{POSTGRES_PORT}/{database}"

    @staticmethod
    def _stored_credentials(file: Path) -> dict[str, str]:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    @staticmethod
    def _write_credentials(file: Path, secret: dict[str, str]) -> None:
        unfinished = file.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(secret, opened)
        unfinished.rename(file)
