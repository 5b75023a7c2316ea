import sys
from typing import Any

from django.core.management.base import CommandParser

from audit import verify_command
from audit.command_line import AmendsCommand


class Command(AmendsCommand):
    help = "Look after the audit trail."

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(dest="subcommand", required=True)
        verify_command.add_arguments(
            subcommands.add_parser(
                "verify", help="Say what of all that the trail covers is not as it was written."
            )
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._exit_code = 0
        super().handle(*args, **options)
        if self._exit_code:
            sys.exit(self._exit_code)

    def answer(self, **options: Any) -> dict[str, Any]:
        verification = verify_command.answer(self, options)
        self._exit_code = verify_command.EXIT_CODES[verification.result]
        return verify_command.as_json(verification)

    def tell(self, answer: dict[str, Any]) -> None:
        verify_command.tell(self, answer)
