"""How a calculation came about, line by line, and whether the code of its own release makes the recorded amounts again.

What a release's code answers here and now is held against what was recorded: where they agree, the cause is proved and not guessed. The
code is somebody else's and may hang or die, so it is asked in a process of its own, for so many seconds at most.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy

from transactions.calculators import (
    Amounts,
    CalculationFailure,
    CalculatorUnavailable,
    Inputs,
    RegisteredCalculator,
    Result,
    Step,
    UnknownCalculator,
    calculator,
    run,
)
from transactions.calculators.guarded import failure_reason
from transactions.canonical import amounts_json
from transactions.isolation import ask_in_children
from transactions.models import Calculation

SECONDS = 3.0
"""A page waits for one release's code so long at most, all rows together."""
MOST_STEPS = 200
"""Lines of one explanation that are shown; the rest is one line that says how many they are."""
_LONGEST_TEXT = 200


class Reproduction(StrEnum):
    """What came of asking the release's own code again."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    NO_CODE = "no_code"


_IN_A_WORD = {
    Reproduction.REPRODUCED: gettext_lazy("reproduced"),
    Reproduction.DIFFERS: gettext_lazy("not reproduced"),
    Reproduction.FAILED: gettext_lazy("cannot be calculated"),
    Reproduction.UNAVAILABLE: gettext_lazy("calculator unavailable"),
    Reproduction.NO_CODE: gettext_lazy("no code here"),
}
_IN_A_SENTENCE = {
    Reproduction.REPRODUCED: gettext_lazy(
        "The code of %(calculator)s makes the recorded amounts again, each of them."
    ),
    Reproduction.DIFFERS: gettext_lazy(
        "The code of %(calculator)s that is installed here makes other amounts than were recorded."
    ),
    Reproduction.FAILED: gettext_lazy("The code of %(calculator)s does not calculate it."),
    Reproduction.UNAVAILABLE: gettext_lazy(
        "%(calculator)s cannot answer just now, so that nothing is known."
    ),
    Reproduction.NO_CODE: gettext_lazy(
        "The code of %(calculator)s is not installed here, so that nothing can be proved by running it."
    ),
}
_TONES = {
    Reproduction.REPRODUCED: "good",
    Reproduction.DIFFERS: "bad",
    Reproduction.FAILED: "bad",
    Reproduction.UNAVAILABLE: "waiting",
    Reproduction.NO_CODE: "calm",
}


class Difference(NamedTuple):
    """A component that the code makes another than was recorded, in smallest units; None where there is none."""

    name: str
    recorded: int | None
    recomputed: int | None


@dataclass(frozen=True)
class Explanation:
    """One calculation explained. Amounts are in the smallest units of its transaction.

    `recomputed` is what the code makes of the facts now, None where it makes nothing; `why` is its reason then. `steps` add up to the
    total that the code makes; they are empty where there is no code, it failed, or it explains nothing.
    """

    calculation: Calculation
    reproduction: Reproduction
    recomputed: Amounts | None = None
    why: str = ""
    steps: list[Step] = field(default_factory=list)
    why_no_steps: str = ""

    @property
    def calculator(self) -> str:
        """Name and version of what calculated: "pricing 1.9.0"."""
        return f"{self.calculation.release.calculator} {self.calculation.release.version}"

    @property
    def tone(self) -> str:
        """The badge's tone."""
        return _TONES[self.reproduction]

    @property
    def in_a_word(self) -> str:
        """Whether it is reproduced, in a word or three."""
        return str(_IN_A_WORD[self.reproduction])

    @property
    def meaning(self) -> str:
        """Whether it is reproduced, in a sentence."""
        return _IN_A_SENTENCE[self.reproduction] % {"calculator": self.calculator}

    @property
    def differences(self) -> list[Difference]:
        """The components that the code makes otherwise, the total last; empty where nothing was recomputed."""
        if self.recomputed is None:
            return []
        recorded = self.calculation.amounts
        names = dict.fromkeys([*recorded, *self.recomputed])
        return [
            Difference(name, recorded.get(name), self.recomputed.get(name))
            for name in [*(name for name in names if name != "total"), "total"]
            if recorded.get(name) != self.recomputed.get(name)
        ]

    @property
    def lines(self) -> list[Step]:
        """The steps; where there are none, the recorded components but the total, in the code's own order where that is known."""
        recorded = self.calculation.amounts
        names = dict.fromkeys([*(self.recomputed or ()), *recorded])
        return self.steps or [
            Step(str(capfirst(name.replace("_", " "))), recorded[name])
            for name in names
            if name != "total" and name in recorded
        ]

    @property
    def adds_up_to(self) -> int | None:
        """What the steps add up to, where that is not the recorded total."""
        added = sum(step.amount for step in self.steps)
        return added if self.steps and added != self.calculation.total else None


def explain(calculation: Calculation, *, seconds: float = SECONDS) -> Explanation:
    """One calculation line by line, and whether its release's code reproduces it. Takes up to `seconds` where that code hangs."""
    (explained,) = explain_all([calculation], seconds=seconds)
    return explained


def explain_all(
    calculations: Sequence[Calculation], *, seconds: float = SECONDS, with_steps: bool = True
) -> list[Explanation]:
    """Each of `calculations`, whose releases should have been fetched with them, in their order.

    Each release's code is asked in a process of its own, for `seconds` at most: with several releases it may take as often as long.
    Calculations that nothing is known of by then are told as failed, with that reason.
    """
    found: dict[int, Explanation] = {}
    groups: dict[tuple[str, str], list[Calculation]] = {}
    for each in calculations:
        groups.setdefault((each.release.calculator, each.release.version), []).append(each)
    inputs = _inputs(each.transaction_id for each in calculations)
    for (name, version), group in groups.items():
        try:
            code = calculator(name, version)
        except UnknownCalculator:
            found |= {each.pk: Explanation(each, Reproduction.NO_CODE) for each in group}
            continue
        batch = [inputs[each.transaction_id] for each in group]
        ask = partial(_ask, code, with_steps)
        try:
            answers = ask_in_children(ask, batch, renew=_nobody_waits, seconds_in_all=seconds)
        except CalculatorUnavailable as unavailable:
            found |= {
                each.pk: Explanation(each, Reproduction.UNAVAILABLE, why=str(unavailable)) for each in group
            }
            continue
        found |= {each.pk: _explanation(each, answer) for each, answer in zip(group, answers, strict=True)}
    return [found[each.pk] for each in calculations]


def _nobody_waits() -> None:
    """There is no lease to renew."""


def _inputs(transaction_ids: Iterable[int]) -> dict[int, tuple[Inputs, int]]:
    """Inputs and scale by transaction, as the database keeps them: Django's own reading would make floats of numbers with a point."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, inputs::text, scale FROM transactions_transaction WHERE id = ANY(%s)",
            [sorted(set(transaction_ids))],
        )
        return {known: (orjson.loads(text), scale) for known, text, scale in cursor.fetchall()}


_Answer = tuple[Result, list[Step], str]
"""What the code calculates, its steps, and why it has none."""


def _ask(code: RegisteredCalculator, with_steps: bool, inputs: Inputs, scale: int) -> _Answer:
    """What the code answers for a row. Runs in the child; what goes back is of plain types, whatever the code made."""
    untouched = deepcopy(inputs)
    (result,) = run(code.without_batches(), [(inputs, scale)])
    if isinstance(result, CalculationFailure) or not with_steps:
        return result, [], ""
    if code.explain is None:
        return result, [], gettext("Its code has no line-by-line explanation.")
    try:
        return result, _plain_steps(code.explain(untouched, scale)), ""
    except (CalculatorUnavailable, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 — somebody else's code: it may raise anything, and the amounts stand without it.
        return result, [], gettext("Its explanation failed: %(reason)s") % {"reason": failure_reason(error)}


def _plain_steps(answer: Any) -> list[Step]:
    steps: list[Step] = []
    for given in answer:
        name, amount, detail = given if len(given) > 2 else (*given, "")
        if type(amount) is not int:
            raise ValueError(gettext("“%(name)s” has no whole amount.") % {"name": str(name)[:_LONGEST_TEXT]})
        steps.append(Step(_plain(name), amount, _plain(detail)))
    if len(steps) > MOST_STEPS:
        rest = steps[MOST_STEPS - 1 :]
        told = gettext("%(count)s more lines") % {"count": len(rest)}
        return [*steps[: MOST_STEPS - 1], Step(told, sum(step.amount for step in rest))]
    return steps


def _plain(text: Any) -> str:
    return str(text).replace("\0", "␀").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]


def _explanation(calculation: Calculation, answer: _Answer | CalculationFailure) -> Explanation:
    if isinstance(answer, CalculationFailure):
        return Explanation(calculation, Reproduction.FAILED, why=answer.reason)
    result, steps, why_no_steps = answer
    if isinstance(result, CalculationFailure):
        return Explanation(calculation, Reproduction.FAILED, why=result.reason)
    same = amounts_json(result) == amounts_json(calculation.amounts)
    reproduction = Reproduction.REPRODUCED if same else Reproduction.DIFFERS
    return Explanation(calculation, reproduction, result, "", steps, why_no_steps)


@dataclass(frozen=True)
class Line:
    """One line of two explanations beside each other; a side without it is None."""

    name: str
    before: Step | None
    after: Step | None

    @property
    def differs(self) -> bool:
        """Whether its amount is another before than after, or it is on one side only."""
        return (self.before and self.before.amount) != (self.after and self.after.amount)

    @property
    def change(self) -> int:
        """After less before, in smallest units."""
        return (self.after.amount if self.after else 0) - (self.before.amount if self.before else 0)

    @property
    def details(self) -> list[str]:
        """What the sides say of it, each text once."""
        return list(dict.fromkeys(side.detail for side in (self.before, self.after) if side and side.detail))


@dataclass(frozen=True)
class Comparison:
    """Two calculations of one transaction beside each other; `before` is None where there is one only."""

    before: Explanation | None
    after: Explanation
    lines: list[Line]

    @property
    def sides(self) -> list[Explanation]:
        """Both explanations, or the one that there is."""
        return [each for each in (self.before, self.after) if each is not None]

    @property
    def change(self) -> int:
        """By how much the recorded total changes, in smallest units."""
        return self.after.calculation.total - (self.before.calculation.total if self.before else 0)


def side_by_side(before: Explanation | None, after: Explanation) -> Comparison:
    """The lines of both, those of one name beside each other, in an order that keeps each side's own."""
    if before is None:
        return Comparison(None, after, [Line(step.name, None, step) for step in after.lines])
    old, new = before.lines, after.lines
    lines: list[Line] = []
    matched = SequenceMatcher(None, _keys(old), _keys(new), autojunk=False)
    for same, old_from, old_to, new_from, new_to in matched.get_opcodes():
        if same == "equal":
            pairs = zip(old[old_from:old_to], new[new_from:new_to], strict=True)
            lines += [Line(after_step.name, step, after_step) for step, after_step in pairs]
        else:
            lines += [Line(step.name, step, None) for step in old[old_from:old_to]]
            lines += [Line(step.name, None, step) for step in new[new_from:new_to]]
    return Comparison(before, after, lines)


def _keys(steps: Sequence[Step]) -> list[str]:
    return [step.name.casefold() for step in steps]
