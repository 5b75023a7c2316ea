"""Plans, jobs and cases as plain JSON values: what commands print, and what API and pages build on.

Money is a list of {"currency": "USD", "scale": 2, "amount": "-12.30"}, one for each currency and scale; times are ISO 8601.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone

from remediation.causes import merge_causes
from remediation.control import LIMITS
from remediation.digest import totals_of
from remediation.exclusions import Exclusions, merge_left_out
from remediation.models import Approval, Case, Job, JobChunk, Outcome, Plan
from remediation.money import as_amounts
from remediation.progress import JobProgress, applied_by, progress_of, progress_of_jobs
from remediation.stage import derive_stage
from remediation.stops import stop_of, why_it_stands
from transactions.models import Calculation, Transaction
from transactions.money import format_amount
from transactions.selection import Selection

MOST_REASONS = 20
"""How many reasons of failures or conflicts an answer lists, the most frequent first; `rows` counts all of each."""


MOST_IN_HAND = 100
"""How many chunks in workers' hands an answer lists, the longest held first."""


def plan_answer(plan: Plan) -> dict[str, Any]:
    """What a plan would change, or has changed: counts, money, digest, causes with an example each, failures by reason."""
    chunks = list(plan.chunks.order_by("position"))
    totals = totals_of(chunks)
    return {
        "case": plan.case_id,
        "plan": plan.pk,
        "kind": plan.kind,
        "takes_back": plan.source_plan_id,
        "retries": plan.retries_id,
        "status": plan.status,
        "failure": plan.failure,
        "scanned": totals.scanned,
        "unchanged": totals.unchanged,
        "proposed": totals.proposed,
        "failed": totals.failed,
        "moved_since": totals.moved_since,
        "left_out": totals.left_out,
        "left_out_delta": as_amounts({key: sums["delta"] for key, sums in totals.left_out_money.items()}),
        "leaves_out": _left_out(plan, [chunk.left_out_sums for chunk in chunks]),
        "delta": as_amounts(totals.delta),
        "before": as_amounts({key: sums["before"] for key, sums in totals.money.items()}),
        "after": as_amounts({key: sums["after"] for key, sums in totals.money.items()}),
        "digest": _hex(plan.digest),
        "required_approvals": plan.required_approvals,
        "fresh_until": None if plan.fresh_until is None else plan.fresh_until.isoformat(),
        "stale": plan.fresh_until is not None and plan.fresh_until < timezone.now(),
        "causes": _causes(plan, merge_causes([chunk.causes for chunk in chunks if chunk.causes])),
        "failures": _reasons(plan.jobs.filter(kind=Job.Kind.PREVIEW), Outcome.Kind.FAILED),
    }


def _left_out(plan: Plan, sums: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By everything that the plan's case leaves out, how many rows that were, and what their totals would have changed by."""
    exclusions = Exclusions.from_json(plan.revision.exclusions)
    merged = merge_left_out(sums)
    named = (
        ("cause", "causes", exclusions.causes),
        ("store", "stores", exclusions.stores),
        ("larger_than", "larger_than", tuple(exclusions.larger_than)),
    )
    return [
        {
            "by": by,
            "name": name,
            "limit": exclusions.larger_than.get(name) if by == "larger_than" else None,
            "rows": merged[kind].get(name, {}).get("count", 0),
            "delta": as_amounts(merged[kind].get(name, {}).get("delta", {})),
        }
        for by, kind, names in named
        for name in names
    ]


def apply_answer(job: Job) -> dict[str, Any]:
    """What an apply job has moved. `failed` are approved rows that it did neither move nor list as conflicts when it was given up."""
    plan = job.plan
    assert plan is not None
    done = applied_by(job)
    left = (plan.manifest or {}).get("proposed", 0) - done.applied - done.conflicts
    return {
        "job": job.pk,
        "case": job.case_id,
        "plan": plan.pk,
        "kind": plan.kind,
        "status": job.status,
        "failure": job.failure,
        "applied": done.applied,
        "conflicts": done.conflicts,
        "failed": left if job.ended else 0,
        "waiting": 0 if job.ended else left,
        "delta": as_amounts(done.money),
        "conflict_reasons": _reasons(Job.objects.filter(pk=job.pk), Outcome.Kind.CONFLICT),
    }


def job_answer(job: Job) -> dict[str, Any]:
    """Where a job stands: progress, stage, limits, what slows it, who holds which chunk, and who stopped it and why."""
    progress = progress_of(job)
    stop = stop_of(job)
    return _job_line(job, progress) | {
        "case": job.case_id,
        "stuck": progress.stuck,
        "stage": progress.stage + 1,
        "stages": list(progress.stages),
        "held_by_gate": job.held_at_stage is not None,
        "pause_reason": job.pause_reason,
        "stopped_by": None if stop is None or stop.gates else stop.by,
        "stopped_at": None if stop is None else stop.at.isoformat(),
        "stopped_because": why_it_stands(job),
        "quarantined": progress.quarantined,
        "limits": {name: getattr(job, name) for name in LIMITS},
        "throttle": job.throttle,
        "in_hand": [
            {
                "chunk": chunk.position,
                "worker": chunk.worker,
                "since": None if chunk.leased_at is None else chunk.leased_at.isoformat(),
                "attempt": chunk.attempts,
                "rows": chunk.leaf_count,
            }
            for chunk in job.chunks.filter(status=JobChunk.Status.LEASED).order_by("leased_at")[:MOST_IN_HAND]
        ],
    }


def verify_answer(job: Job) -> dict[str, Any]:
    """What a finished verification found; `remediation.verification.CLASSES` says what its classes mean."""
    result = job.result or {}
    return {
        "case": job.case_id,
        "job": job.pk,
        "status": job.status,
        "differing": result.get("differing"),
        "excluded": result.get("excluded", 0),
        "reconciled": result.get("reconciled"),
        "problems": result.get("problems", []),
        "classes": {name: _counted(part) for name, part in result.get("classes", {}).items()},
        "plans": [
            {name: _counted(part) if isinstance(part, dict) else part for name, part in plan.items()}
            for plan in result.get("plans", [])
        ],
        "verified_at": None if job.finished_at is None else job.finished_at.isoformat(),
    }


def case_answer(case: Case) -> dict[str, Any]:
    """A case with its stage, plans, decisions, jobs and last verification; the queries do not grow with their number."""
    revision = case.revisions.select_related("edited_by").latest("number")
    plans = list(case.plans.select_related("requested_by").order_by("pk"))
    jobs = list(case.jobs.order_by("pk"))
    progress = progress_of_jobs(job.pk for job in jobs)
    verified = [job for job in jobs if job.kind == Job.Kind.VERIFY and job.result]
    decisions = Approval.objects.filter(plan__case=case).select_related("decided_by").order_by("pk")
    return {
        "case": case.pk,
        "incident": case.incident,
        "reason": case.reason,
        "ticket": case.ticket,
        "stage": derive_stage(plans, jobs),
        "selection": revision.criteria,
        "leaves_out": revision.exclusions,
        "leaves_out_in_words": str(Exclusions.from_json(revision.exclusions)),
        "selection_in_words": str(Selection.from_criteria(revision.criteria)),
        "target": revision.target_version,
        "opened_by": case.opened_by.get_username(),
        "opened_at": case.opened_at.isoformat(),
        "plans": [_plan_line(plan) for plan in plans],
        "approvals": [
            {
                "plan": each.plan_id,
                "decision": each.decision,
                "by": each.decided_by.get_username(),
                "at": each.decided_at.isoformat(),
                "comment": each.comment,
            }
            for each in decisions
        ],
        "jobs": [_job_line(job, progress[job.pk]) for job in jobs],
        "verification": verify_answer(verified[-1]) if verified else None,
    }


def _plan_line(plan: Plan) -> dict[str, Any]:
    """A sealed plan's figures as its manifest keeps them, so that a list of plans reads no chunks."""
    manifest = plan.manifest or {}
    return {
        "plan": plan.pk,
        "kind": plan.kind,
        "takes_back": plan.source_plan_id,
        "retries": plan.retries_id,
        "status": plan.status,
        "failure": plan.failure,
        "requested_by": plan.requested_by.get_username(),
        "requested_at": plan.requested_at.isoformat(),
        **{
            name: manifest.get(name) for name in ("scanned", "unchanged", "proposed", "failed", "moved_since")
        },
        "left_out": manifest.get("left_out", 0),
        "delta": as_amounts({key: sums["delta"] for key, sums in manifest.get("money", {}).items()}),
        "digest": _hex(plan.digest),
        "required_approvals": plan.required_approvals,
        "fresh_until": None if plan.fresh_until is None else plan.fresh_until.isoformat(),
    }


def _job_line(job: Job, progress: JobProgress) -> dict[str, Any]:
    return {
        "job": job.pk,
        "kind": job.kind,
        "plan": job.plan_id,
        "status": progress.status,
        "failure": progress.failure,
        "chunks": progress.chunks,
        "chunks_done": progress.chunks_done,
        "rows": progress.rows,
        "rows_total": progress.rows_total,
        "rows_per_second": None if progress.rate is None else round(progress.rate),
        "seconds_left": None if progress.seconds_left is None else round(progress.seconds_left),
        "trouble": progress.trouble,
    }


def _hex(digest: bytes | memoryview | None) -> str | None:
    return None if digest is None else bytes(digest).hex()


def _counted(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"rows": part["rows"], "money": as_amounts(part["money"])}


def _causes(plan: Plan, causes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The causes with money in currency units, and each example with its reference and its amounts before and after."""
    examples = _examples(plan, [cause["example"] for cause in causes])
    return [
        {
            "cause": cause["cause"],
            "count": cause["count"],
            "delta": as_amounts(cause["delta"]),
            "example": examples.get(cause["example"]),
        }
        for cause in causes
    ]


def _examples(plan: Plan, transaction_ids: list[int]) -> dict[int, dict[str, Any]]:
    """By transaction id, what the plan proposes for it. Two queries, whatever their number."""
    facts = Transaction.objects.in_bulk(transaction_ids)
    proposals = Calculation.objects.filter(
        transaction_id__in=transaction_ids, plan_chunk_id__in=plan.chunks.values("pk")
    ).select_related("replaces")
    examples = {}
    for proposal in proposals:
        transaction = facts[proposal.transaction_id]
        before = {} if proposal.replaces is None else proposal.replaces.amounts
        examples[transaction.pk] = {
            "transaction": transaction.pk,
            "source": transaction.source,
            "reference": transaction.reference,
            "currency": transaction.currency,
            "before": _in_units(before, transaction.scale),
            "after": _in_units(proposal.amounts, transaction.scale),
        }
    return examples


def _in_units(amounts: Mapping[str, int], scale: int) -> dict[str, str]:
    return {name: format_amount(amount, scale) for name, amount in amounts.items()}


def _reasons(jobs: Any, kind: Outcome.Kind) -> list[dict[str, Any]]:
    """Why rows did not go well: each reason with its rows and the reference of one of them, the most frequent first."""
    found = list(
        Outcome.objects.filter(job__in=jobs, kind=kind)
        .values("reason")
        .annotate(rows=Count("id"), example=Min("transaction_id"))
        .order_by("-rows", "reason")[:MOST_REASONS]
    )
    references = dict(
        Transaction.objects.filter(pk__in=[each["example"] for each in found]).values_list("pk", "reference")
    )
    return [
        {"reason": each["reason"], "rows": each["rows"], "example": references.get(each["example"])}
        for each in found
    ]
