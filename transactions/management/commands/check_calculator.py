"""Check that a calculator keeps the rules and answers its reference vectors."""

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from audit.command_line import REFUSED, AmendsCommand
from audit.errors import Refused
from transactions.calculators import CalculatorUnavailable, UnknownCalculator, calculator
from transactions.calculators.conformance import VectorsUnreadable, check, read_vectors


class Command(AmendsCommand):
    """Exit code 0 where the calculator conforms, 1 where it does not or cannot answer, 2 where there is
    nothing to check.
    """

    help = "Check that a calculator keeps the rules and answers its vectors (docs/write-a-calculator.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="Name of the calculator, such as pricing.")
        parser.add_argument("calculator_version", metavar="version", help="Its version, such as 2.0.0.")
        parser.add_argument(
            "--vectors",
            type=Path,
            required=True,
            metavar="FILE",
            help='NDJSON or a JSON list of {"inputs": {…}, "scale": 2, "amounts": {…}}.',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._problems = 0
        super().handle(*args, **options)
        if self._problems:
            asked = f"{options['name']} {options['calculator_version']}"
            raise CommandError(f"{asked} does not conform: {self._problems} problems.", returncode=REFUSED)

    def answer(self, **options: Any) -> dict[str, Any]:
        try:
            code = calculator(options["name"], options["calculator_version"])
            vectors = read_vectors(options["vectors"])
        except (UnknownCalculator, VectorsUnreadable) as error:
            self.usage(str(error))
        try:
            problems = check(code, vectors)
        except CalculatorUnavailable as error:
            raise Refused(str(error)) from error
        self._problems = len(problems)
        return {
            "calculator": code.name,
            "version": code.version,
            "code_digest": code.code_digest,
            "vectors": len(vectors),
            "conforms": not problems,
            "problems": [asdict(problem) for problem in problems],
        }

    def tell(self, answer: dict[str, Any]) -> None:
        for problem in answer["problems"]:
            self.stdout.write(f"Vector {problem['vector']}, {problem['rule']}: {problem['message']}")
        if answer["conforms"]:
            self.stdout.write(
                f"{answer['calculator']} {answer['version']} conforms: {answer['vectors']} vectors answered, "
                f"each alone and in a batch, and twice.\nCode digest {answer['code_digest']}"
            )
