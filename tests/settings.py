"""The settings the suite runs with: the project's own, pointed at servers and a database that only this run uses.

With DATABASE_URL, DATABASE_OWNER_URL, DATABASE_SEALER_URL and REDIS_URL given, those servers are used (DATABASE_ADMIN_URL too,
unless the owner may make databases), in databases whose names begin with “amends_test_”. Otherwise embedded ones are started under
AMENDS_HOME.
"""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from backoffice.embedded.home import Home

TEST_DATABASE = f"amends_test_{os.getpid()}"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of ours is made in it, and demanded to be private)
LEAST_MEMORY = 4 * 2**30
"""Octets that must be free for the servers to keep their files in memory; they take a tenth of it between runs."""


def _home_of_servers() -> Path:
    """Where this run's own servers keep their files: in memory where there is room for that, else under AMENDS_HOME.

    Every other test gets a database of its own, some 300 files. Made and deleted on a disk they were a third of the suite's time. What
    fsync promises is no less kept: no test pulls the plug of the machine. AMENDS_TEST_ON_DISK=1 keeps them on the disk.
    """
    asked = Path(os.environ.get("AMENDS_HOME") or Path(__file__).parent.parent / ".amends") / "tests"
    if os.environ.get("AMENDS_TEST_ON_DISK") or not _has_room(IN_MEMORY):
        return asked
    digest = hashlib.sha256(os.fsencode(asked.resolve())).hexdigest()[:16]
    return IN_MEMORY / f"amends-tests-{os.getuid()}-{digest}"


def _has_room(folder: Path) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    there = os.statvfs(folder)
    return min(there.f_bavail * there.f_frsize, psutil.virtual_memory().available) >= LEAST_MEMORY


def _on_test_database(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{TEST_DATABASE}"))


# Set by whoever is first: the processes that pytest-xdist starts inherit what is set below, and are on the same servers.
TEST_SERVERS_ARE_EMBEDDED = "AMENDS_TEST_HOME" in os.environ or not os.environ.get("DATABASE_URL")
_home = Path(os.environ.get("AMENDS_TEST_HOME") or _home_of_servers())
TEST_HOME = Home(_home)
os.environ["AMENDS_HOME"] = str(_home)
if TEST_SERVERS_ARE_EMBEDDED:
    os.environ["AMENDS_TEST_HOME"] = str(_home)
    os.environ["DATABASE_URL"] = TEST_HOME.application_url(TEST_DATABASE)
    os.environ["DATABASE_OWNER_URL"] = TEST_HOME.owner_url(TEST_DATABASE)
    os.environ["DATABASE_SEALER_URL"] = TEST_HOME.sealer_url(TEST_DATABASE)
    os.environ["DATABASE_ADMIN_URL"] = TEST_HOME.admin_url()
    os.environ["REDIS_URL"] = TEST_HOME.broker_url
else:
    for _name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_SEALER_URL"):
        os.environ[_name] = _on_test_database(os.environ[_name])
OWNER_URL = os.environ["DATABASE_OWNER_URL"]
SEALER_URL = os.environ["DATABASE_SEALER_URL"]
ADMIN_URL = os.environ.get("DATABASE_ADMIN_URL") or urlunsplit(urlsplit(OWNER_URL)._replace(path="/postgres"))
# Messages of this run are heard by its own workers only, whoever else shares the broker.
os.environ["AMENDS_BROKER_PREFIX"] = f"{TEST_DATABASE}:"
# Calculators that tests need, here and in every process that they start.
os.environ["AMENDS_CALCULATORS"] = "tests.remediation.calculators,tests.real_data.calculators"

from backoffice.settings import *  # noqa: E402, F403 (reads the environment made above)

DATABASES.pop("owner", None)  # noqa: F405


class QuickHasher(PBKDF2PasswordHasher):
    """The same algorithm, so that commands run with the project's own settings can check what this one stored."""

    iterations = 1


PASSWORD_HASHERS = ["tests.settings.QuickHasher"]
