import sys
from argparse import SUPPRESS
from collections.abc import Callable
from typing import Any, NamedTuple

from django.core.management.base import CommandParser

from audit import seal_commands, verify_command
from audit.command_line import AmendsCommand


class Subcommand(NamedTuple):
    """What `manage.py audit NAME` does: its help, its answer, and the arguments it takes."""

    help: str
    answer: Callable[[dict[str, Any]], dict[str, Any]]
    add_arguments: Callable[[CommandParser], None] = lambda _: None


SUBCOMMANDS = {
    "seal": Subcommand("Seal, sign and publish until SIGTERM or Ctrl-C.", seal_commands.seal),
    "status": Subcommand("Say how the trail is protected now.", seal_commands.status),
    "keys": Subcommand("List the public keys that checkpoints were signed with.", seal_commands.keys),
    "new_key": Subcommand("Make a key to sign with.", seal_commands.new_key, seal_commands.new_key_arguments),
    "hand_over": Subcommand(
        "Let another key sign from now on.", seal_commands.hand_over, seal_commands.hand_over_arguments
    ),
}


class Command(AmendsCommand):
    help = "Look after the audit trail: seal it, verify it, and keep its keys."

    def add_arguments(self, parser: CommandParser) -> None:
        subcommands = parser.add_subparsers(dest="subcommand", required=True)
        verify_command.add_arguments(
            subcommands.add_parser(
                "verify", help="Say what of all that the trail covers is not as it was written."
            )
        )
        for name, subcommand in SUBCOMMANDS.items():
            parser = subcommands.add_parser(name, help=subcommand.help)
            parser.add_argument("--json", action="store_true", dest="as_json", default=SUPPRESS)
            subcommand.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self._exit_code = 0
        self._subcommand = options["subcommand"]
        super().handle(*args, **options)
        if self._exit_code:
            sys.exit(self._exit_code)

    def answer(self, **options: Any) -> dict[str, Any]:
        if self._subcommand in SUBCOMMANDS:
            return SUBCOMMANDS[self._subcommand].answer(options)
        verification = verify_command.answer(self, options)
        self._exit_code = verify_command.EXIT_CODES[verification.result]
        return verify_command.as_json(verification)

    def tell(self, answer: dict[str, Any]) -> None:
        if self._subcommand in SUBCOMMANDS:
            super().tell(answer)
        else:
            verify_command.tell(self, answer)
