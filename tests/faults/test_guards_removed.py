"""A guard that is taken out is missed: its fault goes red."""

import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import UserFactory
from tests.faults.guards import GUARDS, Guard, GuardMoved, People

TOLD = os.environ.get("AMENDS_GUARDS_SUMMARY")
guards = pytest.mark.parametrize("guard", GUARDS, ids=str)


@pytest.fixture
def people(users: UserFactory, owner_connection: "psycopg.Connection[Any]", monkeypatch: Any) -> People:
    monkeypatch.setattr("remediation.locks.PATIENCE_SECONDS", 1)
    return People(users("engineer"), users("approver"), owner_connection)


@guards
def test_its_fault_does_no_harm_while_the_guard_is_in(guard: Guard, people: People) -> None:
    guard.fault(people)


@guards
def test_its_fault_goes_red_once_the_guard_is_out(guard: Guard, people: People) -> None:
    guard.take_out(people.owner)
    caught = False
    try:
        guard.fault(people)
    except GuardMoved:
        raise
    except (AssertionError, pytest.fail.Exception):
        caught = True
    if TOLD:
        with Path(TOLD).open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"guard": guard.name, "fault": guard.fault.__name__, "caught": caught}) + "\n"
            )
    assert caught, f"Nobody misses the {guard}."
