"""Starting to apply an approved plan."""

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.approval import valid_approvals
from remediation.digest import digest_of, manifest_of
from remediation.doorbell import ring_after_commit
from remediation.events import APPLY_STARTED, ApplyStarted
from remediation.models import Case, Job, JobChunk, Plan, PlanChunk
from remediation.scan import target_calculator
from remediation.stages import checked_stages, lay_out, usual_stages


class NotApproved(Refused):
    """The plan is not approved, or not any more."""


class Stale(Refused):
    """The plan's preview is too old to be applied."""


class Tampered(Refused):
    """The plan is not what its digest says: rows were changed behind its back."""


def start_apply(plan: Plan, *, acting_user: User, stages: Sequence[int] | None = None) -> Job:
    """The one job that applies `plan`; asked twice, the same job.

    `stages` are the rows moved by the end of each stage, `remediation.stages.usual_stages` where it is None. Digest, freshness, approvals
    and the calculator's code are checked again here; each chunk checks its rows and the approvals once more.
    Raises `NotPermitted`, `NotApproved`, `Stale`, `Tampered`, `remediation.stages.StagesImpossible`, or
    `remediation.scan.OtherCalculatorCode`.
    """
    demand(acting_user, "remediation.apply_plan")
    with transaction.atomic():
        # The case before its plan, as whoever decides or previews again does: the other way round the two would deadlock.
        Case.objects.select_for_update().get(pk=plan.case_id)
        plan = Plan.objects.select_for_update(of=["self"]).select_related("revision").get(pk=plan.pk)
        standing = plan.jobs.filter(kind=Job.Kind.APPLY).first()
        if standing is not None:
            return standing
        chunks = list(plan.chunks.order_by("position"))
        _check(plan, chunks)
        plan.status = Plan.Status.EXECUTING
        plan.save(update_fields=["status"])
        rows = sum(chunk.proposed or 0 for chunk in chunks)
        stages = usual_stages(rows) if stages is None else checked_stages(stages, rows)
        job = Job.objects.create(
            case_id=plan.case_id,
            plan=plan,
            kind=Job.Kind.APPLY,
            requested_by_id=acting_user.pk,
            stages=stages,
        )
        JobChunk.objects.bulk_create(
            (
                JobChunk(
                    job=job,
                    position=position,
                    stage=part.stage,
                    plan_chunk=part.chunk,
                    first_leaf=part.first_leaf,
                    leaf_count=part.leaf_count,
                )
                for position, part in enumerate(lay_out(chunks, stages))
            ),
            batch_size=1000,
        )
        digest = bytes(plan.digest or b"").hex()
        record(
            APPLY_STARTED,
            job,
            ApplyStarted(plan=plan.pk, digest=digest, chunks=job.chunks.count()),
            actor=acting_user,
            reason=plan.reason,
        )
        ring_after_commit(job)
    return job


def _check(plan: Plan, chunks: list[PlanChunk]) -> None:
    if plan.status != Plan.Status.APPROVED:
        raise NotApproved(f"{plan} is {plan.get_status_display()}: only an approved plan can be applied.")
    if plan.digest is None or plan.manifest is None or plan.fresh_until is None:
        raise NotApproved(f"{plan} was never sealed.")
    if valid_approvals(plan) < (plan.required_approvals or 1):
        raise NotApproved(f"{plan} lacks approvals by others than its requester and the editors of its case.")
    if plan.fresh_until < timezone.now():
        raise Stale(f"{plan} was fresh until {plan.fresh_until:%Y-%m-%d %H:%M} UTC. Preview again.")
    manifest = manifest_of(plan, chunks)
    if digest_of(manifest) != bytes(plan.digest) or manifest != plan.manifest:
        raise Tampered(
            f"{plan} is not what its digest says. Nothing was applied; an auditor should look at it."
        )
    if plan.kind == Plan.Kind.APPLY:
        target_calculator(plan)
    if manifest["proposed"] <= settings.AMENDS_CHECK_ROWS_BEFORE_APPLY:
        _check_rows(chunks)


def _check_rows(chunks: list[PlanChunk]) -> None:
    """Hash the rows of a plan anew before any of it is applied. A larger plan stops at the chunk where they differ."""
    with connection.cursor() as cursor:
        for chunk in chunks:
            cursor.execute(
                """
                SELECT coalesce(string_agg(move.leaf, ''::bytea ORDER BY move.transaction_id), '') = (
                    SELECT leaves FROM remediation_planchunkleaves WHERE plan_chunk_id = %(chunk)s)
                FROM amends_chunk_moves(%(chunk)s) AS move
                """,
                {"chunk": chunk.pk},
            )
            if cursor.fetchone() != (True,):
                raise Tampered(
                    f"Rows of {chunk} are not the ones that were previewed and approved. Nothing was applied; "
                    "an auditor should look at it."
                )
