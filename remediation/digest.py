"""The manifest of a plan and its digest: what people approve, down to every row.

The manifest names the plan, what it is for and how it was made, and covers its chunks twice: by `chunks`, which the
database recomputes when the status changes (`amends_chunks_digest`), and by `root`, the Merkle root of the chunks' roots.
The digest is the SHA-256 of the manifest in canonical JSON, so that SQL and Python come to the same.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.db import connection

from audit.merkle import leaf_hash, merkle_root
from audit.netstrings import netstrings
from remediation.models import Plan, PlanChunk
from remediation.money import add_money
from transactions.canonical import canonical_json

FORMAT = "plan/1"
FORMAT_WITH_EXCLUSIONS = "plan/2"
"""Of plans whose case leaves something out. Others keep the first format, as all had it that were sealed before that could be."""
COUNTS = ("scanned", "unchanged", "proposed", "failed", "moved_since")


@dataclass(frozen=True)
class PlanTotals:
    """What a plan's chunks add up to. `money` is {"USD:2": {"before", "after", "delta", "largest"}}, whole smallest units, and so is
    `left_out_money`, of the `left_out` rows that would have been corrected.
    """

    scanned: int
    unchanged: int
    proposed: int
    failed: int
    moved_since: int
    money: dict[str, dict[str, int]]
    left_out: int = 0
    left_out_money: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def delta(self) -> dict[str, int]:
        """What applying the plan adds to the totals, by currency and scale."""
        return {key: sums["delta"] for key, sums in self.money.items()}


def totals_of(chunks: list[PlanChunk]) -> PlanTotals:
    """What the scanned ones of `chunks` add up to."""
    scanned = [chunk for chunk in chunks if chunk.scanned_at is not None]
    return PlanTotals(
        scanned=sum(chunk.scanned or 0 for chunk in scanned),
        unchanged=sum(chunk.unchanged or 0 for chunk in scanned),
        proposed=sum(chunk.proposed or 0 for chunk in scanned),
        failed=sum(chunk.failed or 0 for chunk in scanned),
        moved_since=sum(chunk.moved_since or 0 for chunk in scanned),
        money=_add_up([chunk.money for chunk in scanned if chunk.money]),
        left_out=sum(chunk.left_out for chunk in scanned),
        left_out_money=_add_up([chunk.left_out_sums.get("money", {}) for chunk in scanned]),
    )


def totals_in(manifest: dict[str, Any]) -> PlanTotals:
    """The sums that a sealed plan's manifest holds."""
    return PlanTotals(
        **{name: manifest[name] for name in (*COUNTS, "money")},
        left_out=manifest.get("left_out", 0),
        left_out_money=manifest.get("left_out_money", {}),
    )


def _add_up(parts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Money of several chunks: before, after and delta are added up, and of the largest changes the largest is taken."""
    sums = {
        name: add_money({key: part[name] for key, part in money.items()} for money in parts)
        for name in ("before", "after", "delta")
    }
    largest: dict[str, int] = {}
    for money in parts:
        for key, part in money.items():
            largest[key] = max(largest.get(key, 0), part["largest"])
    return {
        key: {name: sums[name][key] for name in ("before", "after", "delta")} | {"largest": largest[key]}
        for key in sorted(largest)
    }


def chunks_digest(plan: Plan) -> str:
    """The database's own digest (hex) over the plan's chunks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT amends_chunks_digest(%s)", [plan.pk])
        return str(cursor.fetchone()[0])


def chunks_digest_in_python(chunks: list[PlanChunk], *, with_exclusions: bool) -> str:
    """What `chunks_digest` asks the database for, computed here; `with_exclusions` for a plan whose case leaves something out."""
    hashed = sha256()
    for chunk in chunks:
        fields = (
            *(
                chunk.position,
                chunk.scanned,
                chunk.unchanged,
                chunk.proposed,
                chunk.failed,
                chunk.moved_since,
            ),
            canonical_json(chunk.money),
            bytes(chunk.root or b"").hex(),
            bytes(chunk.leaves_digest or b"").hex(),
            *((chunk.left_out, canonical_json(chunk.left_out_sums)) if with_exclusions else ()),
        )
        hashed.update(netstrings(map(str, fields)))
    return hashed.hexdigest()


def manifest_of(plan: Plan, chunks: list[PlanChunk]) -> dict[str, Any]:
    """The manifest of a plan whose chunks have all been scanned."""
    return manifest_with(plan, chunks, chunks_digest(plan))


def manifest_with(plan: Plan, chunks: list[PlanChunk], digest_of_chunks: str) -> dict[str, Any]:
    """The same, for whoever computed the digest (hex) over the chunks in another way than by asking the database."""
    totals = totals_of(chunks)
    # Plans that retry none have no such key: those that were sealed before there were retries keep their digest.
    retries = {} if plan.retries_id is None else {"retries": plan.retries_id}
    exclusions = {}
    if plan.revision.exclusions:
        exclusions = {
            "exclusions": plan.revision.exclusions,
            "left_out": totals.left_out,
            "left_out_money": totals.left_out_money,
        }
    return (
        retries
        | exclusions
        | {
            "format": FORMAT_WITH_EXCLUSIONS if exclusions else FORMAT,
            "plan": plan.pk,
            "case": plan.case_id,
            "kind": plan.kind,
            "source_plan": plan.source_plan_id,
            "reason": plan.reason,
            "criteria": plan.revision.criteria,
            "target_version": plan.revision.target_version,
            "targets": plan.targets,
            "calculator_digest": plan.calculator_digest,
            "high_water": plan.high_water,
            "policy": plan.policy,
            "requested_by": plan.requested_by_id,
            "scanned": totals.scanned,
            "unchanged": totals.unchanged,
            "proposed": totals.proposed,
            "failed": totals.failed,
            "moved_since": totals.moved_since,
            "money": totals.money,
            "chunks": digest_of_chunks,
            "root": merkle_root(leaf_hash(bytes(chunk.root or b"")) for chunk in chunks).hex(),
        }
    )


def digest_of(manifest: dict[str, Any]) -> bytes:
    """SHA-256 (32 bytes) of the manifest's canonical JSON."""
    return sha256(canonical_json(manifest).encode()).digest()
