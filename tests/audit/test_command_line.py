"""What all commands have in common."""

import json
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError

from audit.command_line import AmendsCommand, moment
from audit.context import current_request_id
from audit.errors import Refused
from tests.conftest import PASSWORD, UserFactory


class Greet(AmendsCommand):
    changes_something = True

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--refuse", action="store_true")
        parser.add_argument("--misuse", action="store_true")

    def answer(self, *, acting_user: Any, refuse: bool, misuse: bool, **_: Any) -> dict[str, Any]:
        if refuse:
            raise Refused("Not today.")
        if misuse:
            self.usage("Not like this.")
        return {"who": acting_user.username, "in_a_request": current_request_id() != ""}


def run(*words: str) -> tuple[int | str | None, str, str]:
    """Exit code, stdout and stderr, as the shell would see them."""
    out, err = StringIO(), StringIO()
    command = Greet(stdout=out, stderr=err)
    code: int | str | None = 0
    try:
        command.run_from_argv(["manage.py", "greet", *words])
    except SystemExit as exit_:
        code = exit_.code
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def _connections_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command closes its connections at its end, which would end the test's transaction."""
    monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)


def test_json_is_one_object_and_nothing_else_on_stdout(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    name = users("engineer").username
    code, out, err = run("--as", name, "--json")
    assert (code, json.loads(out), err) == (0, {"who": name, "in_a_request": True}, "")
    assert run("--as", name)[:2] == (0, f"who: {name}\nin a request: True\n")


def test_a_refusal_ends_with_1_and_its_reason(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    name = users("engineer").username
    assert run("--as", name, "--refuse") == (1, "", "Refused: Not today.\n")
    code, out, _ = run("--as", name, "--refuse", "--json")
    assert (code, json.loads(out)) == (1, {"refused": "Not today."})


def test_wrong_usage_ends_with_2(db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    assert run("--as", users("engineer").username, "--misuse")[0] == 2
    assert run()[0] == 2  # nobody named
    with pytest.raises(CommandError):
        Greet().usage("Not like this.")


@pytest.mark.parametrize("wrong", ["password", "name", "inactive"])
def test_who_cannot_prove_who_they_are_is_refused(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    user = users("engineer")
    monkeypatch.setenv("AMENDS_PASSWORD", "guessed" if wrong == "password" else PASSWORD)
    if wrong == "inactive":
        user.is_active = False
        user.save()
    name = "nobody" if wrong == "name" else user.username
    assert run("--as", name) == (1, "", f"Refused: There is no active user “{name}” with that password.\n")


def test_without_a_password_and_a_terminal_it_is_refused(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMENDS_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", StringIO())
    code, _, err = run("--as", users("engineer").username)
    assert code == 1
    assert "set AMENDS_PASSWORD" in err


def test_a_progress_bar_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with Greet().progress("counting", 3) as bar:
        bar.advance(2)
        bar.reach(3, total=3)
    out, err = capfd.readouterr()
    assert out == ""
    assert "counting" in err
    assert "3/3" in err


def test_a_time_must_say_its_offset() -> None:
    assert moment("2024-03-01T09:00:00+01:00") == datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert moment("2024-03-01T09:00Z") == datetime(2024, 3, 1, 9, tzinfo=UTC)
    for text in ("2024-03-01T09:00", "2024-03-01", "yesterday"):
        with pytest.raises(ArgumentTypeError):
            moment(text)
