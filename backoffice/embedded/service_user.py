"""Lets root run PostgreSQL, which refuses to run as root.

Best in a user namespace of its own (`unshare --user`): inside it the process is not root, outside its files stay root's. Where
the system forbids that, as the user postgres or nobody, in folders given to that user.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path


class NobodyToRunAs(RuntimeError):
    """Root cannot start PostgreSQL here: no user namespaces, and no other user that reaches the folder or the programs."""


@dataclass(frozen=True)
class ServiceUser:
    """How PostgreSQL's programs are started: words put before the command, and the account used (None: ours)."""

    prefix: tuple[str, ...] = ()
    account: str | None = None

    def run(self, command: list[str | Path], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run to the end, with all it prints captured. Raises nothing for a failure: look at the code."""
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            user=self.account,
            group=None if self.account is None else pwd.getpwnam(self.account).pw_gid,
            extra_groups=None if self.account is None else [],
            check=False,
            cwd="/",
        )

    def give(self, folder: Path) -> None:
        """Make the account the folder's owner, where there is one."""
        if self.account is not None:
            entry = pwd.getpwnam(self.account)
            os.chown(folder, entry.pw_uid, entry.pw_gid)

    def reaches(self, folder: Path) -> bool:
        """Whether the account may enter the folder."""
        return self.run(["test", "-x", folder], dict(os.environ)).returncode == 0


@cache
def service_user(forced: str = "") -> ServiceUser:
    """Who PostgreSQL runs as here. `forced` (AMENDS_SERVICE_USER) names an account for root to use instead of a namespace.

    Raises `NobodyToRunAs`.
    """
    if os.geteuid() != 0:
        return ServiceUser()
    if not forced and _namespaces_work():
        return ServiceUser(prefix=("unshare", "--user", "--"))
    for account in (forced,) if forced else ("postgres", "nobody"):
        try:
            pwd.getpwnam(account)
        except KeyError:
            continue
        return ServiceUser(account=account)
    raise NobodyToRunAs(
        "PostgreSQL refuses to run as root, “unshare --user” is forbidden here, and there is no user to run it as. "
        "Run Amends as another user, or set DATABASE_URL and REDIS_URL."
    )


def _namespaces_work() -> bool:
    try:
        tried = subprocess.run(
            ["unshare", "--user", "--", "true"], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0
