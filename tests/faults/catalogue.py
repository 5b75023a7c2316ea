"""The list of faults: each a function of a world and a seeded random generator that ends quietly, or raises what does not hold."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.faults.world import World

Scenario = Callable[[World, Random], None]


@dataclass(frozen=True)
class Fault:
    name: str
    scenario: Scenario
    quick: bool


FAULTS: dict[str, Fault] = {}
NOT_RUN: dict[str, str] = {
    "I10, deliveries": "nothing is delivered yet",
}
"""Faults that cannot be run, and why."""


def fault(name: str, *, quick: bool = False) -> Callable[[Scenario], Scenario]:
    """List a scenario under its name; `quick` ones run in `make test` too."""

    def listed(scenario: Scenario) -> Scenario:
        if name in FAULTS:
            raise ValueError(f"There are two faults named {name}.")
        FAULTS[name] = Fault(name, scenario, quick)
        return scenario

    return listed
