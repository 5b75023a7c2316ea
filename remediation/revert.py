"""Taking an applied plan back: a plan of its own, which again needs approval.

Its rows are those that the source plan moved and that still stand where it put them. A row that stands elsewhere now is
left alone and counted; a row whose service has reported something newer meanwhile, which the correction held back, is listed
as failed: pointing back to the older result would hide the newer one.
"""

import json
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.errors import Refused
from audit.permission import demand
from remediation.lifecycle import APPLIED_PLAN, OPEN_PLAN
from remediation.models import Case, JobChunk, Outcome, Plan, PlanChunk
from remediation.policy import policy_in_force
from remediation.preview import PlanUnderWay, start_preview_job, supersede
from remediation.scan import freeze


class NothingToRevert(Refused):
    """No plan of the case stands applied."""


def request_revert(
    case: Case, *, acting_user: User, reason: str = "", plan: Plan | None = None, again: bool = False
) -> Plan:
    """The plan that takes back `plan`, or the case's last applied plan that was not taken back; asked twice, the same plan.

    Taking back a revert reapplies. An open plan that is not applied yet gives way. Raises `NotPermitted`, `NothingToRevert`,
    `PlanUnderWay`.
    """
    demand(acting_user, "remediation.preview_plan")
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=case.pk)
        standing = Plan.objects.filter(case=case, status__in=OPEN_PLAN).first()
        if standing is not None and not again and _is_asked_for(standing, plan):
            return standing
        if standing is not None and standing.status == Plan.Status.EXECUTING:
            raise PlanUnderWay(f"{standing} is being applied. Wait until it has ended.")
        source = _source_plan(case, plan)
        if standing is not None:
            supersede(standing, acting_user=acting_user)
        revert = Plan.objects.create(
            case=case,
            revision=source.revision,
            kind=Plan.Kind.REAPPLY if source.kind == Plan.Kind.REVERT else Plan.Kind.REVERT,
            source_plan=source,
            reason=reason or f"Take back {source}.",
            targets={},
            high_water=source.high_water,
            policy=policy_in_force().snapshot(),
            requested_by=acting_user,
        )
        chunks = [
            PlanChunk(plan=revert, position=position, source_chunk_id=source_chunk)
            for position, source_chunk in enumerate(_applied_chunks(source))
        ]
        start_preview_job(revert, chunks, acting_user=acting_user)
    revert.refresh_from_db()
    return revert


def _is_asked_for(standing: Plan, plan: Plan | None) -> bool:
    """Whether the open plan is the one that is asked for: it takes back `plan` or, where none was named, is a revert."""
    if plan is None:
        return standing.kind == Plan.Kind.REVERT
    return standing.source_plan_id == plan.pk


def _source_plan(case: Case, plan: Plan | None) -> Plan:
    applied = Plan.objects.filter(case=case, status__in=APPLIED_PLAN).order_by("-pk")
    asked_for = applied.exclude(kind=Plan.Kind.REVERT) if plan is None else applied.filter(pk=plan.pk)
    # What a revert that was stopped left is not taken back.
    taken_back = Plan.objects.filter(case=case, status=Plan.Status.EXECUTED, source_plan__isnull=False)
    found = asked_for.exclude(pk__in=taken_back.values("source_plan")).first()
    if found is None:
        found = next((each for each in asked_for if _stands_again(each)), None)
    if found is None:
        raise NothingToRevert(
            f"{plan or case} has nothing applied that is not taken back already. Look at the case for what stands."
        )
    return found


def _stands_again(source: Plan) -> bool:
    """Whether rows of a plan stand where it put them though it was taken back: another case had covered them at that time, say.

    Where its last taking back met every row and moved them all, nobody has to look.
    """
    last = source.taken_back_by.filter(status=Plan.Status.EXECUTED).latest("pk")
    manifest = last.manifest or {}
    conflicts = Outcome.objects.filter(job__plan=last, kind=Outcome.Kind.CONFLICT)
    if not (manifest.get("moved_since") or manifest.get("failed") or conflicts.exists()):
        return False
    with connection.cursor() as cursor:
        for chunk in _applied_chunks(source):
            cursor.execute(f"SELECT EXISTS ({_REVERTIBLE_ROWS})", {"source": chunk})
            if cursor.fetchone() == (True,):
                return True
    return False


def _applied_chunks(source: Plan) -> list[int]:
    """The source's chunks of which anything was applied: those that its job finished, even in part."""
    return list(
        PlanChunk.objects.filter(
            plan=source, job_chunks__job__kind="apply", job_chunks__status=JobChunk.Status.DONE
        )
        .order_by("position")
        .distinct()
        .values_list("pk", flat=True)
    )


def store_members(plan: Plan, job_chunk: JobChunk) -> None:
    """Write the rows of a revert's chunk, set-wise and inside the caller's transaction, and freeze the chunk."""
    chunk = job_chunk.plan_chunk
    assert chunk is not None
    assert chunk.source_chunk_id is not None
    parameters = {
        "chunk": chunk.pk,
        "source": chunk.source_chunk_id,
        "job": job_chunk.job_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_APPLIED, parameters)
        applied = int(cursor.fetchone()[0])
        cursor.execute(_REFUSE_OUTDATED, parameters)
        outdated = cursor.rowcount
        cursor.execute(_INSERT_MEMBERS, parameters)
        members = cursor.rowcount
        cursor.execute(_SUM_MEMBERS, parameters)
        leaves, money = cursor.fetchone()
    freeze(
        chunk,
        bytes(leaves),
        scanned=applied,
        unchanged=0,
        proposed=members,
        failed=outdated,
        moved_since=applied - members - outdated,
        money=json.loads(money),
        causes=_cause(plan, json.loads(money), members),
    )


def _cause(plan: Plan, money: dict[str, dict[str, int]], members: int) -> dict[str, Any]:
    if not members:
        return {}
    delta = {key: sums["delta"] for key, sums in money.items()}
    return {
        f"{plan.get_kind_display()} of plan {plan.source_plan_id}": {
            "count": members,
            "delta": delta,
            "example": 0,
            "example_delta": -1,
        }
    }


_APPLIED_ROWS = """
    SELECT move.transaction_id, move.calculation_id, move.replaces_id
    FROM (
        SELECT transaction_id, calculation_id, replaces_id, row_number() OVER (ORDER BY transaction_id) - 1 AS leaf
        FROM amends_chunk_moves(%(source)s)
    ) AS move
    JOIN remediation_jobchunk done ON done.plan_chunk_id = %(source)s AND done.status = 'done'
        AND move.leaf >= done.first_leaf AND move.leaf < done.first_leaf + done.leaf_count
    WHERE NOT EXISTS (
        SELECT FROM remediation_outcome outcome
        WHERE outcome.job_id = done.job_id AND outcome.transaction_id = move.transaction_id AND outcome.kind = 'conflict')
"""
"""The rows that the source chunk's job moved: its finished ranges without their conflicts."""

_COUNT_APPLIED = f"SELECT count(*) FROM ({_APPLIED_ROWS}) AS applied"

_STANDING_ROWS = f"""
    SELECT applied.transaction_id, applied.calculation_id, applied.replaces_id
    FROM ({_APPLIED_ROWS}) AS applied
    JOIN transactions_currentcalculation current
      ON current.transaction_id = applied.transaction_id AND current.calculation_id = applied.calculation_id
"""

_REVERTIBLE_ROWS = f"""
    SELECT FROM ({_STANDING_ROWS}) AS standing
    JOIN transactions_calculation back_to ON back_to.id = standing.replaces_id
    WHERE NOT EXISTS (
        SELECT FROM transactions_calculation newer WHERE newer.transaction_id = standing.transaction_id
        AND newer.plan_chunk_id IS NULL AND newer.calculated_at > back_to.calculated_at)
"""

_REFUSE_OUTDATED = f"""
    INSERT INTO remediation_outcome (job_id, plan_chunk_id, transaction_id, kind, reason, detail)
    SELECT %(job)s, %(chunk)s, standing.transaction_id, 'failed',
           'Its service has reported a newer calculation since, which the correction held back: going back would hide it.',
           jsonb_build_object('back_to', standing.replaces_id, 'newer', max(newer.id))
    FROM ({_STANDING_ROWS}) AS standing
    JOIN transactions_calculation back_to ON back_to.id = standing.replaces_id
    JOIN transactions_calculation newer ON newer.transaction_id = standing.transaction_id
        AND newer.plan_chunk_id IS NULL AND newer.calculated_at > back_to.calculated_at
    GROUP BY standing.transaction_id, standing.replaces_id
"""

_INSERT_MEMBERS = f"""
    INSERT INTO remediation_planmember (plan_chunk_id, transaction_id, calculation_id, replaces_id)
    SELECT %(chunk)s, standing.transaction_id, standing.replaces_id, standing.calculation_id
    FROM ({_STANDING_ROWS}) AS standing
    WHERE NOT EXISTS (
        SELECT FROM remediation_outcome outcome
        WHERE outcome.job_id = %(job)s AND outcome.transaction_id = standing.transaction_id)
"""

_SUM_MEMBERS = """
    WITH move AS MATERIALIZED (
        SELECT moves.*, standing.total AS after, replaced.total AS before
        FROM amends_chunk_moves(%(chunk)s) AS moves
        JOIN transactions_calculation standing ON standing.id = moves.calculation_id
        JOIN transactions_calculation replaced ON replaced.id = moves.replaces_id
    )
    SELECT
        (SELECT coalesce(string_agg(leaf, ''::bytea ORDER BY transaction_id), '') FROM move),
        (SELECT coalesce(jsonb_object_agg(money_key, sums), '{}') FROM (
            SELECT currency || ':' || scale AS money_key, jsonb_build_object(
                'before', sum(before), 'after', sum(after), 'delta', sum(delta), 'largest', max(abs(delta))) AS sums
            FROM move GROUP BY currency, scale) AS by_currency)
"""
