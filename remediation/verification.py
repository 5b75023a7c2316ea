"""Holding rows and pointers against what was approved, and the whole scope against the target calculator.

Nothing here believes a stored counter: every sum is taken anew from rows and pointers, and then compared with the counters.
A verification's chunks are of two kinds: a plan's chunk (`check_plan_chunk`), and a piece of the scope (`check_scope`).
`conclude_verification` adds their results up.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from remediation.exclusions import Exclusions, LeftOut, why_in_words
from remediation.garbage import free_cycles_of_slice
from remediation.lifecycle import APPLIED_PLAN
from remediation.models import Case, Job, JobChunk, Plan
from remediation.money import add_money, money_key
from remediation.scan import SLICE, Asking
from remediation.verification_sql import DANGLING, PLAN_CHUNK, SCOPE
from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure
from transactions.canonical import amounts_json
from transactions.selection import Selection

CLASSES = {
    "matches": "It stands on what the target calculator makes of it.",
    "differs": "It stands on other amounts than the target calculator makes of it.",
    "superseded": "Its service has superseded the correction with a newer calculation of other amounts.",
    "conflict": "A plan found it changed since its preview and left it alone.",
    "arrived_since": "It arrived after the last applied plan was previewed.",
    "excluded": "The case leaves it out, by cause, store or size: else it would be corrected.",
    "failed": "The target calculator cannot calculate it.",
}
"""What a transaction in scope can be, and what that means."""


@dataclass
class Found:
    """What one chunk of a verification found; `outcomes` are (transaction id, kind, reason, detail)."""

    findings: dict[str, Any]
    outcomes: list[tuple[int, str, str, dict[str, Any]]] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """The chunk's result as stored."""
        return self.findings

    def store(self, chunk: JobChunk) -> None:
        """Write the rows that are not as they should be, inside the caller's transaction."""
        if not self.outcomes:
            return
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY remediation_outcome (job_id, transaction_id, kind, reason, detail) FROM STDIN"
            ) as copy,
        ):
            for transaction_id, kind, reason, detail in self.outcomes:
                copy.write_row((chunk.job_id, transaction_id, kind, reason, json.dumps(detail)))


def check_chunk(chunk: JobChunk, *, asking: Asking, renew: Callable[[], None]) -> Found:
    """What verifying `chunk` finds; `renew` is called after every slice of rows."""
    if chunk.plan_chunk is not None:
        return check_plan_chunk(chunk.plan_chunk.pk)
    return check_scope(chunk.job.case, chunk.bounds or {}, asking=asking, renew=renew)


def check_plan_chunk(plan_chunk_id: int) -> Found:
    """Hash a plan chunk's rows anew, add their money up, and ask of every row whether its pointer stands where the moves say.

    Findings: {"plan_chunk", "leaves_hold": bool, "unexplained": rows whose pointer no move explains, and for each of
    "previewed", "applied", "conflicts", "failed", "left": {"rows", "money": {"USD:2": delta}}}.
    """
    with connection.cursor() as cursor:
        cursor.execute(PLAN_CHUNK, {"chunk": plan_chunk_id})
        leaves_hold, unexplained, groups = cursor.fetchone()
    by_fate: dict[str, dict[str, Any]] = {
        fate: {"rows": 0, "money": {}} for fate in ("previewed", "applied", "conflicts", "failed", "left")
    }
    for group in json.loads(groups):
        for fate in ("previewed", group["fate"]):
            by_fate[fate]["rows"] += group["rows"]
            by_fate[fate]["money"] = add_money([by_fate[fate]["money"], {group["money_key"]: group["delta"]}])
    return Found(
        {"plan_chunk": plan_chunk_id, "leaves_hold": leaves_hold, "unexplained": unexplained} | by_fate
    )


def check_scope(case: Case, bounds: dict[str, Any], *, asking: Asking, renew: Callable[[], None]) -> Found:
    """Recompute the current calculation of every transaction in a piece of the scope, and class it.

    Findings: {"classes": {class: {"rows", "money": what its target would add, {"USD:2": delta}}}, "unexplained": rows whose pointer
    or facts are not what the records say, or whose transaction is gone}.
    """
    revision = case.revisions.latest("number")
    selection = Selection.from_criteria(revision.criteria)
    calculator = calculator_for(selection.calculator, revision.target_version)
    rows = _read_scope(case, selection, bounds)
    classes: dict[str, dict[str, Any]] = {}
    unexplained = sum(not row.explained for row in rows) + _count_dangling(bounds)
    found = Found({"classes": classes, "unexplained": unexplained})
    exclusions = Exclusions.from_json(revision.exclusions)
    left_out = LeftOut(exclusions, [row.transaction_id for row in rows]) if exclusions else None
    for start in range(0, len(rows), SLICE):
        part = rows[start : start + SLICE]
        results = asking.first(calculator, [(orjson.loads(row.inputs_text), row.scale) for row in part])
        for row, result in zip(part, results, strict=True):
            _class_row(row, result, classes, found, left_out)
        free_cycles_of_slice()
        renew()
    return found


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """A transaction in scope with the calculation it stands on now, and what is known of it."""

    transaction_id: int
    amounts_text: str
    total: int
    inputs_text: str
    scale: int
    currency: str
    fate: str
    explained: bool


def _read_scope(case: Case, selection: Selection, bounds: dict[str, Any]) -> list[ScopeRow]:
    condition = selection.condition()
    last = (
        Plan.objects.filter(case=case, kind="apply", retries=None, status__in=APPLIED_PLAN)
        .order_by("-pk")
        .first()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            SCOPE.replace("{condition}", condition.sql).replace(
                "{earlier}", selection.condition("earlier").sql
            ),
            condition.params
            | _in_keyset(bounds)
            | {
                "releases": [release.pk for release in selection.releases()],
                "case": case.pk,
                "previewed_up_to": None if last is None else last.high_water,
            },
        )
        return [ScopeRow(*row) for row in cursor.fetchall()]


def _in_keyset(bounds: dict[str, Any]) -> dict[str, Any]:
    return bounds | {name: datetime.fromisoformat(bounds[name]) for name in ("after_at", "through_at")}


def _count_dangling(bounds: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(DANGLING, _in_keyset(bounds))
        return int(cursor.fetchone()[0])


def _class_row(
    row: ScopeRow, result: Any, classes: dict[str, dict[str, Any]], found: Found, left_out: LeftOut | None
) -> None:
    delta = 0
    if isinstance(result, CalculationFailure):
        name = "failed"
        found.outcomes.append((row.transaction_id, "failed", result.reason, {}))
    elif amounts_json(result) == row.amounts_text:
        name = "matches"
    else:
        current = orjson.loads(row.amounts_text)
        why = None
        if left_out is not None and current is not None:
            why = left_out.why(row.transaction_id, current, result, row.currency, row.scale)
        name = row.fate if why is None else "excluded"
        delta = result["total"] - row.total
        detail = {"class": name, "current": current, "target": result}
        found.outcomes.append(
            (row.transaction_id, "differs", CLASSES[name], detail)
            if why is None
            else (row.transaction_id, "excluded", why_in_words(why), detail)
        )
    into = classes.setdefault(name, {"rows": 0, "money": {}})
    into["rows"] += 1
    key = money_key(row.currency, row.scale)
    into["money"][key] = into["money"].get(key, 0) + delta


def conclude_verification(job: Job) -> dict[str, Any]:
    """Add up a verification's chunks: {"differing", "excluded", "reconciled", "classes", "plans", "problems"}.

    `differing` counts every transaction in scope that stands on other amounts than the target's, whatever its class, but for those that the
    case leaves out, which `excluded` counts; `problems` are sentences, and `reconciled` is true where there is none.
    """
    results = [
        result for result in job.chunks.order_by("position").values_list("result", flat=True) if result
    ]
    classes = {
        name: _added([r["classes"][name] for r in results if name in r.get("classes", {})])
        for name in CLASSES
    }
    problems = []
    if unexplained := sum(r["unexplained"] for r in results if "classes" in r):
        problems.append(
            f"{unexplained} transactions in scope are gone, or have facts or a pointer that no record explains."
        )
    plans = []
    # The plans that it looked at: one that was applied while it ran has no rows here, and is the next verification's.
    looked_at = job.chunks.filter(plan_chunk__isnull=False).values("plan_chunk__plan")
    for plan in Plan.objects.filter(pk__in=looked_at).order_by("pk"):
        summed, found = _reconcile(plan, results)
        plans.append(summed)
        problems += found
    differing = sum(
        part["rows"] for name, part in classes.items() if name not in ("matches", "failed", "excluded")
    )
    return {
        "differing": differing,
        "excluded": classes["excluded"]["rows"],
        "reconciled": not problems,
        "classes": classes,
        "plans": plans,
        "problems": problems,
    }


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": sum(part["rows"] for part in parts), "money": add_money(part["money"] for part in parts)}


def _reconcile(plan: Plan, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """A plan's sums from its rows, and what does not agree: previewed = applied + conflicts + failed (+ left by a stopped job)."""
    chunk_ids = set(plan.chunks.values_list("pk", flat=True))
    own = [result for result in results if result.get("plan_chunk") in chunk_ids]
    fates = ("previewed", "applied", "conflicts", "failed", "left")
    sums = {fate: _added([r[fate] for r in own]) for fate in fates}
    manifest = plan.manifest or {}
    problems = []
    if bad := sum(not r["leaves_hold"] for r in own):
        problems.append(f"Rows of {bad} chunks of {plan} are not the ones that were approved.")
    if unexplained := sum(r["unexplained"] for r in own):
        problems.append(
            f"{unexplained} transactions of {plan} do not stand where its moves and later ones put them."
        )
    approved = {key: part["delta"] for key, part in manifest.get("money", {}).items()}
    if sums["previewed"]["rows"] != manifest.get("proposed") or sums["previewed"]["money"] != approved:
        problems.append(f"The rows of {plan} do not add up to what was approved.")
    audited = _audited(plan)
    if (sums["applied"]["rows"], sums["applied"]["money"], sums["conflicts"]["rows"]) != audited:
        problems.append(f"The rows that {plan} moved do not add up to what its job recorded.")
    if plan.status == Plan.Status.EXECUTED and sums["left"]["rows"]:
        problems.append(
            f"{sums['left']['rows']} rows of {plan} were neither applied nor listed as conflicts or failed."
        )
    return {"plan": plan.pk, "kind": plan.kind} | sums, problems


def _audited(plan: Plan) -> tuple[int, dict[str, int], int]:
    """Applied rows, their money and conflicts, as the trail's entries of the plan's finished chunks tell."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT data FROM audit_auditentry WHERE event = 'chunk.applied' AND subject_type = 'remediation.jobchunk'
              AND subject_id = ANY(SELECT chunk.id FROM remediation_jobchunk chunk
                                   JOIN remediation_job job ON job.id = chunk.job_id
                                   WHERE job.plan_id = %s AND job.kind = 'apply')
            """,
            [plan.pk],
        )
        entries = [json.loads(data) for (data,) in cursor.fetchall()]
    return (
        sum(entry["applied"] for entry in entries),
        add_money(entry["money"] for entry in entries),
        sum(entry["conflicts"] for entry in entries),
    )
