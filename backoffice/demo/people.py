"""The demo's people: one for each role, named after it, all with one random password of this home."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from backoffice.people import create_user
from backoffice.roles import ROLES


@dataclass(frozen=True)
class Logins:
    """Names of the demo's people, and their password; "" where it was made elsewhere, and nobody here knows it."""

    names: tuple[str, ...]
    password: str

    def user(self, role: str) -> User:
        """The person with that role. Raises `User.DoesNotExist`."""
        return User.objects.get(username=role)


def make_people() -> Logins:
    """Make whoever of the demo's people is not there yet; the others keep the password they have.

    The password is random and lies in a file of AMENDS_HOME that only this user may read: nothing that anybody could know beforehand
    opens an installation, not even one that somebody forgot running. Raises `Refused` where a name is taken by another role.
    """
    file = settings.HOME.path / "demo-password"
    if not file.exists() and User.objects.filter(username__in=ROLES).exists():
        return Logins(tuple(ROLES), "")
    password = _password(file)
    for role in ROLES:
        create_user(role, role, password)
    return Logins(tuple(ROLES), password)


def _password(file: Path) -> str:
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(secrets.token_urlsafe(9))
    return file.read_text(encoding="ascii")
