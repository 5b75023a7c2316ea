"""Trying the failed and conflicting rows of an applied plan again, and only those: a new plan, which again needs approval.

Its chunks look at the transactions that the source plan could not calculate, quarantined, or found changed, as far as they stand on a
calculation of a suspect release now. Rows that stand elsewhere by now are left alone and counted.
"""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.errors import Refused
from audit.permission import demand
from remediation.keyset import newest_calculation
from remediation.lifecycle import APPLIED_PLAN, OPEN_PLAN
from remediation.models import Case, Plan, PlanChunk
from remediation.policy import policy_in_force
from remediation.preview import PlanUnderWay, start_preview_job, supersede
from transactions.calculating import calculator_for
from transactions.selection import Selection


class NothingToRetry(Refused):
    """No row of the plan failed or was a conflict, or none of them stands on a suspect calculation any more."""


class NotRetriable(Refused):
    """Only what was applied can have rows that did not go well: the plan was not, or takes something back. Or its case was edited since."""


@dataclass(frozen=True)
class _Left:
    """Failed and conflicting rows of one chunk of a plan, by the release that they stand on now; `release_id` None for any other one."""

    source_chunk_id: int
    release_id: int | None
    rows: int


def request_retry(plan: Plan, *, acting_user: User, again: bool = False) -> Plan:
    """The plan that tries `plan`'s failed and conflicting rows again; asked twice, the same plan as long as it is open.

    With `again` an open one that is not being applied gives way. Raises `NotPermitted`, `NotRetriable`, `NothingToRetry`,
    `PlanUnderWay` where another plan of the case is open, or what `calculator_for` raises where there is no code for the target.
    """
    demand(acting_user, "remediation.preview_plan")
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=plan.case_id)
        source = Plan.objects.select_related("revision", "case").get(pk=plan.pk)
        if source.kind != Plan.Kind.APPLY or source.status not in APPLIED_PLAN:
            raise NotRetriable(
                f"{source} is {source.get_status_display()}: only a correction that was applied has rows to try again."
            )
        if _edited_since(source):
            raise NotRetriable(
                f"The case leaves out something else by now than when {source} was previewed: preview the case again instead."
            )
        standing = Plan.objects.filter(case=source.case, status__in=OPEN_PLAN).first()
        if standing is not None:
            is_asked_for = standing.retries_id == source.pk
            if is_asked_for and not again:
                return standing
            if not (is_asked_for or standing.proposes_nothing):
                raise PlanUnderWay(f"{standing} is open: it has to be decided or replaced first.")
        left = _rows_left(source)
        _insist_on_rows(source, left)
        if standing is not None:
            supersede(standing, acting_user=acting_user)
        retry = _new_plan(source, acting_user)
        start_preview_job(retry, _chunks(retry, source, left), acting_user=acting_user)
    retry.refresh_from_db()
    return retry


def rows_to_retry(plan: Plan) -> int:
    """How many of `plan`'s failed and conflicting rows stand on a suspect calculation now; 0 where it was not applied."""
    if plan.kind != Plan.Kind.APPLY or plan.status not in APPLIED_PLAN or _edited_since(plan):
        return 0
    return sum(each.rows for each in _rows_left(plan) if each.release_id is not None)


def _edited_since(source: Plan) -> bool:
    """Whether the case was edited since the plan was asked for: a retry, of the same revision, is not what it asks for any more."""
    return source.case.revisions.filter(number__gt=source.revision.number).exists()


def _insist_on_rows(source: Plan, left: list[_Left]) -> None:
    if not left:
        raise NothingToRetry(f"No row of {source} failed or was a conflict.")
    if all(each.release_id is None for each in left):
        rows = sum(each.rows for each in left)
        raise NothingToRetry(
            f"{rows:,} row{'' if rows == 1 else 's'} of {source} failed or conflicted, and none stands on a calculation of its "
            "suspect releases any more: there is nothing to correct."
        )


def _new_plan(source: Plan, acting_user: User) -> Plan:
    selection = Selection.from_criteria(source.revision.criteria)
    return Plan.objects.create(
        case_id=source.case_id,
        revision=source.revision,
        kind=Plan.Kind.APPLY,
        retries=source,
        reason=f"Try the failed and conflicting rows of {source} again. {source.case.reason}",
        targets=source.targets,
        calculator_digest=calculator_for(selection.calculator, source.revision.target_version).code_digest,
        high_water=newest_calculation(),
        policy=policy_in_force().snapshot(),
        requested_by=acting_user,
    )


def _chunks(retry: Plan, source: Plan, left: list[_Left]) -> list[PlanChunk]:
    """A chunk for each chunk of the source and release that its rows stand on.

    Each also has one of its own release, which counts the rows that stand on none of them.
    """
    own = dict(
        source.chunks.filter(pk__in={each.source_chunk_id for each in left}).values_list("pk", "release_id")
    )
    pairs = {(chunk, release) for chunk, release in own.items() if release is not None}
    pairs |= {(each.source_chunk_id, each.release_id) for each in left if each.release_id is not None}
    return [
        PlanChunk(plan=retry, position=position, release_id=release, source_chunk_id=chunk)
        for position, (chunk, release) in enumerate(sorted(pairs))
    ]


def _rows_left(source: Plan) -> list[_Left]:
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, {"plan": source.pk, "releases": [int(release) for release in source.targets]})
        return [_Left(*row) for row in cursor.fetchall()]


_LEFT = """
    SELECT troubled.plan_chunk_id, CASE WHEN standing.release_id = ANY(%(releases)s) THEN standing.release_id END AS release_id, count(*)
    FROM (
        SELECT DISTINCT outcome.plan_chunk_id, outcome.transaction_id
        FROM remediation_outcome outcome
        JOIN remediation_job job ON job.id = outcome.job_id
        WHERE job.plan_id = %(plan)s AND outcome.kind IN ('failed', 'conflict') AND outcome.plan_chunk_id IS NOT NULL
    ) AS troubled
    LEFT JOIN transactions_currentcalculation current ON current.transaction_id = troubled.transaction_id
    LEFT JOIN transactions_calculation standing ON standing.id = current.calculation_id
    GROUP BY 1, 2 ORDER BY 1, 2
"""
