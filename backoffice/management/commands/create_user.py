from typing import Any

from django.core.management.base import CommandParser

from audit.command_line import AmendsCommand, asked_password
from backoffice.people import create_user
from backoffice.roles import ROLES


class Command(AmendsCommand):
    help = "Make an account. Its password comes from AMENDS_PASSWORD, or is asked for. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", required=True, choices=tuple(ROLES))

    def answer(self, *, name: str, role: str, **_: Any) -> dict[str, Any]:
        created = create_user(name, role, asked_password(f"Password for {name}: "))
        return {"user": name, "role": role, "created": created}

    def tell(self, answer: dict[str, Any]) -> None:
        what = "created" if answer["created"] else "unchanged: there already"
        self.stdout.write(f"{answer['user']} ({answer['role']}): {what}")
