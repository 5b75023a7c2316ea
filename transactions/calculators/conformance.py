"""Does a calculator keep the rules, and does it answer its reference vectors?

A vector is {"inputs": {…}, "scale": 2, "amounts": {"total": 1190, …}}: what one transaction must come to, in
whole numbers of the smallest unit. In place of `amounts`, `"fails": true` says that it must be refused. A
file holds one vector a line (NDJSON), or a JSON list of them.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from transactions.calculators.guarded import ask_twice, failure_reason, run
from transactions.calculators.protocol import Amounts, CalculationFailure, Inputs, Result
from transactions.calculators.registry import RegisteredCalculator


class VectorsUnreadable(ValueError):
    """A file of vectors cannot be used. The message says which line, and why."""


class Vector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one transaction must come to: exactly `amounts`, or a refusal."""

    inputs: Inputs
    scale: int
    amounts: Amounts | None = None
    fails: bool = False


@dataclass(frozen=True)
class Problem:
    """One rule that one vector showed to be broken. `vector` counts from 1."""

    vector: int
    rule: str
    message: str


def read_vectors(path: Path) -> list[Vector]:
    """The vectors of a file, in its order. Raises `VectorsUnreadable`, also where there are none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VectorsUnreadable(f"{path} cannot be read: {error.strerror}.") from error
    if content.lstrip().startswith(b"["):
        vectors: list[Vector] = _decoded(content, list[Vector], str(path))
    else:
        vectors = [
            _decoded(line, Vector, f"{path}, line {number}")
            for number, line in enumerate(content.split(b"\n"), start=1)
            if line.strip()
        ]
    if not vectors:
        raise VectorsUnreadable(f"{path} holds no vectors.")
    for number, vector in enumerate(vectors, start=1):
        if (vector.amounts is None) is not vector.fails:
            raise VectorsUnreadable(f'{path}: vector {number} needs either "amounts" or "fails": true.')
    return vectors


def _decoded(content: bytes, shape: Any, where: str) -> Any:
    try:
        return msgspec.json.Decoder(shape, float_hook=Decimal).decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VectorsUnreadable(f"{where}: {error}") from error


def check(calculator: RegisteredCalculator, vectors: Sequence[Vector]) -> list[Problem]:
    """Every rule that `calculator` breaks on `vectors`; none where it conforms.

    The rules: `answer` (whole amounts with a total, or a refusal where one is expected; the same when asked
    twice), `vectors` (the amounts agree), `inputs` (they are left as they were), `calculate_many` (answers as
    `calculate` does), `explain` (the steps add up to the total). Raises `CalculatorUnavailable`.
    """
    problems: list[Problem] = []
    answers = ask_twice(calculator, _batch(vectors))
    one_by_one = [_alone(calculator, vector) for vector in vectors]
    for number, (vector, answer, alone) in enumerate(zip(vectors, answers, one_by_one, strict=True), start=1):
        found = [*_answer_problems(vector, answer), *_explain_problems(calculator, vector, answer)]
        result, left_alone = alone
        if not left_alone:
            found.append(("inputs", "The calculator changes the inputs that it is given."))
        if not _same(result, answer) and not any(rule == "answer" for rule, _ in found):
            found.append(
                ("calculate_many", f"In a batch it answers {_shown(answer)}, alone {_shown(result)}.")
            )
        problems.extend(Problem(number, rule, message) for rule, message in found)
    return problems


def _batch(vectors: Sequence[Vector]) -> list[tuple[Inputs, int]]:
    return [(deepcopy(vector.inputs), vector.scale) for vector in vectors]


def _alone(calculator: RegisteredCalculator, vector: Vector) -> tuple[Result, bool]:
    """What `calculate` answers to this vector by itself, and whether it left the inputs as they were."""
    ((inputs, scale),) = _batch([vector])
    answer = run(calculator.without_batches(), [(inputs, scale)])[0]
    return answer, inputs == vector.inputs


def _answer_problems(vector: Vector, answer: Result) -> list[tuple[str, str]]:
    if vector.amounts is None:
        return (
            [] if isinstance(answer, CalculationFailure) else [("answer", f"Not refused: {_shown(answer)}.")]
        )
    if isinstance(answer, CalculationFailure):
        return [("answer", answer.reason)]
    if answer != vector.amounts:
        return [("vectors", f"It answers {_shown(answer)}, and the vector has {_shown(vector.amounts)}.")]
    return []


def _explain_problems(
    calculator: RegisteredCalculator, vector: Vector, answer: Result
) -> list[tuple[str, str]]:
    if calculator.explain is None or isinstance(answer, CalculationFailure):
        return []
    try:
        explained = sum(step.amount for step in calculator.explain(deepcopy(vector.inputs), vector.scale))
    except Exception as error:  # noqa: BLE001 — somebody else's code: whatever it raises is the finding.
        return [("explain", failure_reason(error))]
    if explained == answer["total"]:
        return []
    return [("explain", f"The steps add up to {explained}, and the total is {answer['total']}.")]


def _same(one: Result, other: Result) -> bool:
    """Whether two answers agree; two refusals do, whatever their words."""
    if isinstance(one, CalculationFailure) or isinstance(other, CalculationFailure):
        return isinstance(one, CalculationFailure) and isinstance(other, CalculationFailure)
    return one == other


def _shown(answer: Result) -> str:
    if isinstance(answer, CalculationFailure):
        return f"a refusal ({answer.reason})"
    return ", ".join(f"{name} {amount}" for name, amount in answer.items())
