"""The base of all commands: who asks, how answers and refusals are told, progress, times."""

import json
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from getpass import getpass
from typing import Any, ClassVar, NoReturn

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError
from django.utils import timezone
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from audit.context import request
from audit.denied import denials_recorded
from audit.errors import Refused
from audit.one_time_codes import has_second_factor
from audit.step_up import Confirmation, confirm_by_code

REFUSED = 1
USAGE = 2


class RateColumn(ProgressColumn):
    """Rows per second, as of late."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class ProgressBar:
    """One line of progress. Where the end is not known yet, it says so and shows no time left."""

    def __init__(self, progress: Progress, description: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    def advance(self, by: int = 1) -> None:
        self._progress.advance(self._task, by)

    def reach(self, completed: int, *, total: int | None = None) -> None:
        """Say how much is done in all; `total` where that has changed or become known."""
        self._progress.update(self._task, completed=completed, total=total)

    def describe(self, description: str) -> None:
        self._progress.update(self._task, description=description)


class AmendsCommand(BaseCommand):
    """A thin shell over public functions.

    Implement `answer`, which does the work and returns what `--json` prints as one object; override `tell` to say it to people.
    What a person reads and what a script reads go to stdout, all else to stderr. Exit code 0; 1 where a `Refused` was raised,
    its text on stderr (and as {"refused": …} with --json); 2 for wrong usage. `call_command` raises `Refused` itself.
    """

    changes_something: ClassVar[bool] = False
    """Whether somebody must say, with --as and a password, who they are; `options["acting_user"]` is then that user, and
    `options["confirmed"]` the `audit.step_up.Confirmation` of it.
    """

    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]

    _as_json = False

    def answer(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Do what was asked for. Amounts in the answer are strings in currency units or whole numbers, never floats."""
        raise NotImplementedError

    def tell(self, answer: dict[str, Any]) -> None:
        """Say the answer to a person, on stdout."""
        for name, value in answer.items():
            self.stdout.write(f"{name.replace('_', ' ')}: {value}")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="Print one JSON object, for scripts."
        )
        if self.changes_something:
            parser.add_argument(
                "--as",
                dest="acting_as",
                metavar="USER",
                required=True,
                help="Who does this. The password comes from AMENDS_PASSWORD, or is asked for; a second factor's "
                "code from AMENDS_CODE likewise.",
            )
        return parser

    def handle(self, *_: Any, **options: Any) -> None:
        self._as_json = options.pop("as_json")
        with request(), denials_recorded(f"manage.py {type(self).__module__.rpartition('.')[2]}"):
            if self.changes_something:
                options["acting_user"], options["confirmed"] = authenticated(options.pop("acting_as"))
            answer = self.answer(**options)
        if self._as_json:
            self.stdout.write(json.dumps(answer, cls=DjangoJSONEncoder, ensure_ascii=False))
        else:
            self.tell(answer)

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        except Refused as refused:
            if self._as_json:
                self.stdout.write(json.dumps({"refused": str(refused)}, ensure_ascii=False))
            self.stderr.write(f"Refused: {refused}")
            sys.exit(REFUSED)
        except OperationalError as error:
            self.stderr.write(
                f"The database cannot be reached: {str(error).strip()}\n"
                "“manage.py services up” starts the embedded one; else look at DATABASE_URL."
            )
            sys.exit(REFUSED)

    def say(self, text: str) -> None:
        """Tell a person something meanwhile, on stderr."""
        self.stderr.write(text, style_func=str)

    def usage(self, text: str) -> NoReturn:
        """End with exit code 2: what was asked for cannot be asked for in this way."""
        raise CommandError(text, returncode=USAGE)

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[ProgressBar]:
        """A bar on stderr with count, rate and time left. `total` None: not known yet."""
        with self.progress_lines() as progress:
            yield ProgressBar(progress, description, total)

    @contextmanager
    def progress_lines(self) -> Iterator[Progress]:
        """Room for several bars at once, made with `ProgressBar(progress, description, total)`."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        ) as progress:
            yield progress


def authenticated_user(username: str) -> User:
    """The user of that name, after their password was checked, and a code where they have a second factor. Raises `Refused`."""
    return authenticated(username)[0]


def authenticated(username: str) -> tuple[User, Confirmation]:
    """The same with how they showed that it is they, just now."""
    user = authenticate(username=username, password=asked_password(f"Password of {username}: "))
    if user is None or not isinstance(user, User):
        raise Refused(f"There is no active user “{username}” with that password.")
    if has_second_factor(user):
        code = _asked("AMENDS_CODE", "code: this account has a second factor", f"Code of {username}: ")
        return user, confirm_by_code(user, code)
    return user, Confirmation(user.pk, "password", timezone.now())


def asked_password(prompt: str) -> str:
    """The password from AMENDS_PASSWORD, or typed by a person. Raises `Refused` where there is nobody to ask."""
    return _asked("AMENDS_PASSWORD", "password", prompt)


def _asked(name: str, what: str, prompt: str) -> str:
    given = os.environ.get(name)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise Refused(f"No {what}: set {name}, or run this in a terminal to be asked for it.")
    return getpass(prompt)


def moment(text: str) -> datetime:
    """A time given on the command line (`type=moment`): ISO 8601 with an explicit offset, such as 2024-03-01T09:00+01:00 or …Z."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is no ISO 8601 time, such as 2024-03-01T09:00:00Z.") from None
    if read.tzinfo is None:
        raise ArgumentTypeError(f"“{text}” does not say its offset: add Z for UTC, or one such as +01:00.")
    return read
