"""Holding drawn corrections against facts, calculator, leaf and pointer, on the spot.

Nothing here believes what is stored: inputs are calculated anew with the code that the plan was previewed with, and only with that;
rows are hashed anew; the pointer is read. A calculator runs in a process of its own, as it may hang.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from django.db import connection
from django.utils import translation
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from audit.errors import Refused
from remediation.models import AuditSampleItem, Plan, PlanChunk
from remediation.scan import target_calculator
from transactions.calculators import CalculationFailure, CalculatorUnavailable
from transactions.calculators.protocol import Result
from transactions.canonical import amounts_json
from transactions.isolation import LockedAway
from transactions.models import Calculation, Supersession, Transaction

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Words: TypeAlias = "str | _StrPromise"
"""A sentence for people, in the language of whoever it is written out for; what is stored is written out in English."""


class Recomputed(StrEnum):
    """What came of recomputing a correction."""

    AGREES = "agrees"
    DIFFERS = "differs"
    FAILED = "failed"
    OTHER_CODE = "other_code"
    UNAVAILABLE = "unavailable"
    REPORTED = "reported"


MEANINGS = {
    Recomputed.AGREES: _(
        "The calculator, with the code that the plan was previewed with, makes the same amounts of the facts."
    ),
    Recomputed.DIFFERS: _(
        "The calculator, with the code that the plan was previewed with, makes other amounts of the facts."
    ),
    Recomputed.FAILED: _(
        "The calculator, with the code that the plan was previewed with, cannot calculate it."
    ),
    Recomputed.OTHER_CODE: _("Not recomputed: the code that the plan was previewed with is not here."),
    Recomputed.UNAVAILABLE: _("Not recomputed: the calculator cannot be reached just now."),
    Recomputed.REPORTED: _(
        "Not recomputed: a service reported these amounts, and taking a correction back restores them as they were."
    ),
}


def in_english(words: Words) -> str:
    """What is stored, and what commands print, whoever's language is in force."""
    with translation.override("en"):
        return str(words)


@dataclass(frozen=True)
class ItemCheck:
    """A drawn correction with all that can be said of it now.

    `amounts` are the recomputed ones where there are any; `detail` says more of why not. `problems` are sentences: empty where rows,
    leaf, facts and pointer are as they were approved. `stands` says where the transaction stands now, `on_it` whether that is the
    correction.
    """

    item: AuditSampleItem
    transaction: Transaction
    before: Calculation
    after: Calculation
    recomputed: Recomputed
    amounts: dict[str, int] | None
    detail: str
    calculator: str
    stands: Words
    on_it: bool
    problems: list[Words] = field(default_factory=list)
    gone = False

    @property
    def delta(self) -> int:
        """What the correction added to the total, in smallest units."""
        return self.after.total - self.before.total

    @property
    def meaning(self) -> Words:
        """What the recomputation says, in a sentence."""
        said = MEANINGS[self.recomputed]
        return format_lazy("{} {}", said, self.detail) if self.detail else said

    @property
    def components(self) -> list[tuple[str, int | None, int | None, int | None, int]]:
        """Each component: its name, before, after, recomputed (None where it has none), and after less before; the total last."""
        found = self.amounts or {}
        names = dict.fromkeys([*self.before.amounts, *self.after.amounts, *found])
        ordered = [*(name for name in names if name != "total"), "total"]
        return [
            (
                name,
                self.before.amounts.get(name),
                self.after.amounts.get(name),
                found.get(name),
                self.after.amounts.get(name, 0) - self.before.amounts.get(name, 0),
            )
            for name in ordered
        ]

    def as_json(self) -> dict[str, Any]:
        """As a verdict keeps it, in English: both totals, "recomputed", "amounts", "detail", "calculator", "stands", "on_it" and
        "problems".
        """
        return {
            "before": self.before.total,
            "after": self.after.total,
            "recomputed": str(self.recomputed),
            "amounts": self.amounts,
            "detail": self.detail,
            "calculator": self.calculator,
            "stands": in_english(self.stands),
            "on_it": self.on_it,
            "problems": [in_english(each) for each in self.problems],
        }


@dataclass(frozen=True)
class GoneItem:
    """A drawn correction whose rows are not there any more: rows are never deleted, so somebody did."""

    item: AuditSampleItem
    problems: list[Words]
    gone = True

    def as_json(self) -> dict[str, Any]:
        """As a verdict keeps it, in English: {"gone": true, "problems"}."""
        return {"gone": True, "problems": [in_english(each) for each in self.problems]}


def check_items(items: Sequence[AuditSampleItem]) -> list[ItemCheck | GoneItem]:
    """Each of `items`, which are of one sample, checked now, in their order."""
    transactions = Transaction.objects.select_related("store").in_bulk(
        [item.transaction_id for item in items]
    )
    wanted = {known for item in items for known in (item.calculation_id, item.replaces_id)}
    calculations = Calculation.objects.select_related("release").in_bulk(wanted)
    rows = _rows(items)
    there = [
        item
        for item in items
        if item.pk in rows
        and item.transaction_id in transactions
        and item.calculation_id in calculations
        and item.replaces_id in calculations
    ]
    recomputed = _recompute(there, calculations)
    stands = _stands(there, {number: row.current for number, row in rows.items()})
    checked = {
        item.pk: ItemCheck(
            item,
            transactions[item.transaction_id],
            calculations[item.replaces_id],
            calculations[item.calculation_id],
            *recomputed[item.pk],
            *stands[item.pk],
            rows[item.pk].problems,
        )
        for item in there
    }
    return [checked.get(item.pk) or GoneItem(item, [_GONE]) for item in items]


@dataclass(frozen=True)
class _Row:
    """What the database says of an item: the calculation that its transaction stands on, and what does not hold."""

    current: int | None
    problems: list[Words]


_GONE = _(
    "Its transaction, one of its calculations or its store is not there any more: rows are never deleted by Amends."
)
_PROBLEMS = (
    _(
        "Its rows do not hash to the leaf that was approved: calculation, replaced calculation or facts were changed since."
    ),
    _("The leaf stored with the plan is another than when the sample was drawn."),
    _("The leaves of its chunk are not the approved ones."),
    _(
        "Its facts do not have the hash that was taken when they came in: inputs or circumstances were changed since."
    ),
)


def _rows(items: Sequence[AuditSampleItem]) -> dict[int, _Row]:
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, {"items": [item.pk for item in items]})
        return {
            found[0]: _Row(
                found[1],
                [text for holds, text in zip(found[2:], _PROBLEMS, strict=True) if not holds],
            )
            for found in cursor.fetchall()
        }


_ROWS = """
    SELECT item.id, current.calculation_id,
           coalesce((SELECT move.leaf = item.leaf AND move.calculation_id = item.calculation_id AND move.replaces_id = item.replaces_id
                     FROM amends_chunk_moves(chunk.id, item.transaction_id, item.transaction_id) AS move), false),
           substring(stored.leaves FROM item.leaf_number * 32 + 1 FOR 32) = item.leaf,
           sha256(stored.leaves) = chunk.leaves_digest,
           facts.facts_hash = amends_facts_hash(
               facts.source, facts.reference, store.reference, facts.currency, facts.scale, facts.occurred_at, facts.inputs)
    FROM remediation_auditsampleitem item
    JOIN remediation_jobchunk done ON done.id = item.job_chunk_id
    JOIN remediation_planchunk chunk ON chunk.id = done.plan_chunk_id
    JOIN remediation_planchunkleaves stored ON stored.plan_chunk_id = chunk.id
    JOIN transactions_transaction facts ON facts.id = item.transaction_id
    JOIN transactions_store store ON store.id = facts.store_id
    LEFT JOIN transactions_currentcalculation current ON current.transaction_id = item.transaction_id
    WHERE item.id = ANY(%(items)s)
"""

_Answer = tuple[Recomputed, dict[str, int] | None, str, str]
"""What came of it, the amounts, more words on it, and the calculator's name and version."""


def _recompute(items: Sequence[AuditSampleItem], calculations: dict[int, Calculation]) -> dict[int, _Answer]:
    """By item. Each correction with the calculator of the plan that proposed it: a reapplied one was proposed by the first plan."""
    proposed_by = {
        chunk.pk: chunk.plan
        for chunk in PlanChunk.objects.filter(
            pk__in=_proposing(calculations[item.calculation_id] for item in items)
        ).select_related("plan__revision")
    }
    answers: dict[int, _Answer] = {}
    by_plan: dict[int, tuple[Plan, list[AuditSampleItem]]] = {}
    for item in items:
        chunk = calculations[item.calculation_id].plan_chunk_id
        if chunk is None:
            answers[item.pk] = (Recomputed.REPORTED, None, "", "")
        else:
            plan = proposed_by[chunk]
            by_plan.setdefault(plan.pk, (plan, []))[1].append(item)
    for plan, group in by_plan.values():
        answers |= _with_pinned_calculator(plan, group, calculations)
    return answers


def _proposing(calculations: Iterable[Calculation]) -> set[int]:
    """The plan chunks that proposed any of them."""
    return {each.plan_chunk_id for each in calculations if each.plan_chunk_id is not None}


def _with_pinned_calculator(
    plan: Plan, items: list[AuditSampleItem], calculations: dict[int, Calculation]
) -> dict[int, _Answer]:
    try:
        calculator = target_calculator(plan)
    except Refused as refused:
        return {item.pk: (Recomputed.OTHER_CODE, None, str(refused), "") for item in items}
    with connection.cursor() as cursor:
        # As the database keeps them: Django's own reading would make floats of numbers with a point.
        cursor.execute(
            "SELECT id, inputs::text, scale FROM transactions_transaction WHERE id = ANY(%s)",
            [[item.transaction_id for item in items]],
        )
        inputs = {known: (orjson.loads(text), scale) for known, text, scale in cursor.fetchall()}
    try:
        results = LockedAway(_nobody_waits).first(calculator, [inputs[item.transaction_id] for item in items])
    except CalculatorUnavailable as unavailable:
        return {item.pk: (Recomputed.UNAVAILABLE, None, str(unavailable), str(calculator)) for item in items}
    return {
        item.pk: (*_compared(result, calculations[item.calculation_id]), str(calculator))
        for item, result in zip(items, results, strict=True)
    }


def _nobody_waits() -> None:
    """There is no lease to renew."""


def _compared(result: Result, after: Calculation) -> tuple[Recomputed, dict[str, int] | None, str]:
    if isinstance(result, CalculationFailure):
        return Recomputed.FAILED, None, result.reason
    agrees = amounts_json(result) == amounts_json(after.amounts) and result["total"] == after.total
    return (Recomputed.AGREES if agrees else Recomputed.DIFFERS), dict(result), ""


def _stands(
    items: Sequence[AuditSampleItem], current: dict[int, int | None]
) -> dict[int, tuple[Words, bool]]:
    """Where each item's transaction stands now, in a sentence, and whether that is on the correction."""
    elsewhere = {known for item in items if (known := current[item.pk]) not in (None, item.calculation_id)}
    found = Calculation.objects.select_related("release").in_bulk([known for known in elsewhere if known])
    superseding = set(
        Supersession.objects.filter(
            transaction_id__in=[item.transaction_id for item in items], superseded_by_id__in=found
        ).values_list("superseded_by_id", flat=True)
    )
    plans = {
        chunk.pk: chunk.plan
        for chunk in PlanChunk.objects.filter(pk__in=_proposing(found.values())).select_related("plan")
    }

    def told(item: AuditSampleItem) -> tuple[Words, bool]:
        now = current[item.pk]
        if now is None:
            return _("It stands on nothing: its pointer is gone."), False
        if now == item.calculation_id:
            return _("It stands on the correction."), True
        if now in superseding:
            return _("Its service has superseded the correction with a newer calculation."), False
        if now == item.replaces_id:
            return _("The correction was taken back: it stands where it stood before."), False
        if now in found and (chunk := found[now].plan_chunk_id) in plans:
            return format_lazy(_("{plan} has moved it on since."), plan=plans[chunk]), False
        return _("It stands on a calculation that this correction does not lead to."), False

    return {item.pk: told(item) for item in items}
