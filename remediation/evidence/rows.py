"""The rows of an evidence pack: a case, its plans and every correction, as docs/audit-format.md has them."""

from collections.abc import Iterator
from typing import Any

from django.db import connection

from audit.evidence import Span
from audit.merkle import LEAF_SIZE
from remediation.models import Approval, Case, Outcome, PlanChunk, PlanChunkLeaves
from remediation.scan import ROW_BY_ROW
from remediation.verification_sql import DONE, FATE
from transactions.canonical import canonical_json
from transactions.models import Release

Row = dict[str, Any]

_CORRECTIONS = f"""
    SELECT {FATE}, facts.id, facts.source, facts.reference, store.reference, facts.currency, facts.scale,
           (extract(epoch FROM facts.occurred_at) * 1000000)::bigint, facts.inputs::text, encode(facts.facts_hash, 'hex'),
           replaced.id, replaced.release_id, (extract(epoch FROM replaced.calculated_at) * 1000000)::bigint, replaced.amounts::text,
           standing.id, standing.release_id, (extract(epoch FROM standing.calculated_at) * 1000000)::bigint, standing.amounts::text
    FROM (
        SELECT moves.*, row_number() OVER (ORDER BY moves.transaction_id) - 1 AS leaf_number
        FROM (
            SELECT transaction_id, id AS standing, replaces_id AS replaced FROM transactions_calculation WHERE plan_chunk_id = %(chunk)s
            UNION ALL
            SELECT transaction_id, calculation_id, replaces_id FROM remediation_planmember WHERE plan_chunk_id = %(chunk)s
        ) AS moves
    ) AS move
    JOIN transactions_transaction facts ON facts.id = move.transaction_id
    JOIN transactions_store store ON store.id = facts.store_id
    JOIN transactions_calculation replaced ON replaced.id = move.replaced
    JOIN transactions_calculation standing ON standing.id = move.standing
    {DONE}
    ORDER BY move.transaction_id
"""
_FATES = {"conflicts": "conflict"}
"""What the pack's format calls differently."""


def case_row(case: Case, span: Span) -> Row:
    """`case.json`."""
    return {
        "id": case.pk,
        "incident": case.incident,
        "reason": case.reason,
        "ticket": case.ticket,
        "opened_by": case.opened_by_id,
        "opener": case.opened_by.get_username(),
        "opened_at": case.opened_at,
        "revisions": [
            {
                "number": revision.number,
                "edited_by": revision.edited_by_id,
                "editor": revision.edited_by.get_username(),
                "edited_at": revision.edited_at,
                "criteria": revision.criteria,
                "exclusions": revision.exclusions,
                "target_version": revision.target_version,
            }
            for revision in case.revisions.select_related("edited_by").order_by("number")
        ],
        "chain_before": {"sequence": span.after, "chain": span.chain.hex()},
        "sealed_through": span.through,
    }


def release_rows(case: Case) -> Iterator[Row]:
    """`releases.ndjson`: those that the case's plans look at or calculate by."""
    named = {
        int(pk)
        for targets in case.plans.values_list("targets", flat=True)
        for pair in targets.items()
        for pk in pair
    }
    for release in Release.objects.filter(pk__in=named).order_by("pk"):
        yield {
            "id": release.pk,
            "service": release.service,
            "calculator": release.calculator,
            "version": release.version,
        }


def plan_rows(case: Case) -> Iterator[Row]:
    """`plans.ndjson`."""
    for plan in case.plans.select_related("requested_by").order_by("pk"):
        yield {
            "id": plan.pk,
            "kind": plan.kind,
            "status": plan.status,
            "source_plan": plan.source_plan_id,
            "requested_by": plan.requested_by_id,
            "requester": plan.requested_by.get_username(),
            "requested_at": plan.requested_at,
            "reason": plan.reason,
            "manifest_text": None if plan.manifest is None else canonical_json(plan.manifest),
            "digest": _hex(plan.digest),
        }


def chunk_rows(case: Case) -> Iterator[Row]:
    """`chunks.ndjson`."""
    chunks = PlanChunk.objects.filter(plan__case=case).select_related("plan__revision")
    for chunk in chunks.order_by("plan_id", "position").iterator(1000):
        row: Row = {"id": chunk.pk, "plan": chunk.plan_id, "position": chunk.position}
        row |= {
            name: getattr(chunk, name)
            for name in ("scanned", "unchanged", "proposed", "failed", "moved_since")
        }
        scanned = chunk.scanned_at is not None
        row["money_text"] = canonical_json(chunk.money) if scanned else None
        row |= {"root": _hex(chunk.root), "leaves_digest": _hex(chunk.leaves_digest)}
        row["leaf_format"] = chunk.leaf_format if scanned else None
        if chunk.plan.revision.exclusions:
            row["left_out"] = chunk.left_out
            row["left_out_text"] = canonical_json(chunk.left_out_sums) if scanned else None
        yield row


def approval_rows(case: Case) -> Iterator[Row]:
    """`approvals.ndjson`."""
    decisions = Approval.objects.filter(plan__case=case).select_related("decided_by").order_by("pk")
    for decision in decisions:
        yield {
            "plan": decision.plan_id,
            "decision": decision.decision,
            "digest": _hex(decision.digest),
            "decided_by": decision.decided_by_id,
            "decider": decision.decided_by.get_username(),
            "decided_at": decision.decided_at,
            "comment": decision.comment,
        }


def job_rows(case: Case) -> Iterator[Row]:
    """`jobs.ndjson`."""
    for job in case.jobs.select_related("requested_by").order_by("pk"):
        yield {
            "id": job.pk,
            "plan": job.plan_id,
            "kind": job.kind,
            "status": job.status,
            "requested_by": job.requested_by_id,
            "requester": job.requested_by.get_username(),
            "requested_at": job.requested_at,
            "finished_at": job.finished_at,
        }


def outcome_rows(case: Case) -> Iterator[Row]:
    """`outcomes.ndjson`."""
    for outcome in Outcome.objects.filter(job__case=case).order_by("job", "pk").iterator(1000):
        yield {
            "job": outcome.job_id,
            "plan_chunk": outcome.plan_chunk_id,
            "transaction": outcome.transaction_id,
            "kind": outcome.kind,
            "reason": outcome.reason,
            "detail": outcome.detail,
        }


def correction_rows(case: Case) -> Iterator[Row]:
    """`corrections.ndjson`, a chunk of a plan at a time: memory stays flat."""
    chunks = PlanChunk.objects.filter(plan__case=case, proposed__gt=0).order_by("plan_id", "position")
    for chunk_id, plan_id in chunks.values_list("pk", "plan"):
        yield from _corrections_of(chunk_id, plan_id)


def _corrections_of(chunk_id: int, plan_id: int) -> Iterator[Row]:
    leaves = bytes(PlanChunkLeaves.objects.values_list("leaves", flat=True).get(pk=chunk_id))
    with connection.cursor() as cursor:
        cursor.execute(ROW_BY_ROW)
        cursor.execute(_CORRECTIONS, {"chunk": chunk_id})
        for index, (fate, *row) in enumerate(cursor.fetchall()):
            yield {
                "plan": plan_id,
                "chunk": chunk_id,
                "leaf": index,
                "leaf_hash": leaves[index * LEAF_SIZE : (index + 1) * LEAF_SIZE].hex(),
                "fate": _FATES.get(fate, fate),
                "transaction": dict(zip(_FACTS, row[:9], strict=True)),
                "before": dict(zip(_CALCULATION, row[9:13], strict=True)),
                "after": dict(zip(_CALCULATION, row[13:], strict=True)),
            }


_FACTS = (
    "id",
    "source",
    "reference",
    "store",
    "currency",
    "scale",
    "occurred_at_us",
    "inputs_text",
    "facts_hash",
)
_CALCULATION = ("id", "release", "calculated_at_us", "amounts_text")


def _hex(octets: bytes | memoryview | None) -> str | None:
    return None if octets is None else bytes(octets).hex()
