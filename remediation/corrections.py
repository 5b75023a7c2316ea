"""How much was corrected lately, and how wrong each release was when somebody looked last: for pages that say how things stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from remediation.models import Job, Plan
from transactions.models import Release

PLANS_LOOKED_AT = 50
"""So many of the newest previews say how wrong releases were."""


@dataclass(frozen=True)
class Moved:
    """What applies of one kind of plan moved: rows, conflicts left alone, {"USD:2": change of totals}, and the jobs that did it."""

    kind: Plan.Kind
    applied: int
    conflicts: int
    money: Mapping[str, int]
    jobs: tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """Of the rows of `release` that the newest preview of it looked at, how many the target would change, and how many it cannot calculate.

    `verification` is the newest finished one of the plan's case since that preview; None where there is none.
    """

    release: Release
    plan: Plan
    scanned: int
    differing: int
    failed: int
    at: datetime
    verification: Job | None

    @property
    def share_in_words(self) -> str:
        """The part that differs, of a hundred: "12.5 %"; never "0.0 %" where any does, nor "100.0 %" where one does not."""
        if not self.scanned:
            return "–"
        tenths = 1000 * self.differing // self.scanned
        if self.differing and not tenths:
            return "< 0.1 %"
        return f"{tenths // 10}.{tenths % 10} %"


# Jobs are few; of each that may matter the chunks are read along the index on (job, finished_at) of those that are done.
_DONE_SINCE = """
    FROM remediation_job job
    JOIN remediation_plan plan ON plan.id = job.plan_id
    JOIN LATERAL (
        SELECT result FROM remediation_jobchunk WHERE job_id = job.id AND status = 'done' AND finished_at >= %(since)s
    ) AS chunk ON true
"""
_APPLIES_SINCE = "WHERE job.kind = 'apply' AND (job.finished_at IS NULL OR job.finished_at >= %(since)s)"


def moved_since(since: datetime) -> list[Moved]:
    """What finished chunks of applies moved from `since` on, by kind of plan: corrections, what was taken back, what was applied again."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT plan.kind, sum((chunk.result ->> 'applied')::bigint)::bigint, sum((chunk.result ->> 'conflicts')::bigint)::bigint,
                   array_agg(DISTINCT job.id)
            {_DONE_SINCE} {_APPLIES_SINCE} GROUP BY plan.kind
            """,
            {"since": since},
        )
        counts = {kind: (applied, conflicts, jobs) for kind, applied, conflicts, jobs in cursor.fetchall()}
        cursor.execute(
            f"""
            SELECT plan.kind, sums.key, sum((sums.value #>> '{{}}')::numeric)
            {_DONE_SINCE} CROSS JOIN LATERAL jsonb_each(chunk.result -> 'money') AS sums {_APPLIES_SINCE}
            GROUP BY plan.kind, sums.key ORDER BY sums.key
            """,
            {"since": since},
        )
        money: dict[str, dict[str, int]] = {}
        for kind, key, amount in cursor.fetchall():
            money.setdefault(kind, {})[key] = int(amount)
    return [
        Moved(kind, applied, conflicts, money.get(kind.value, {}), tuple(sorted(jobs)))
        for kind in Plan.Kind
        for applied, conflicts, jobs in [counts.get(kind.value, (0, 0, []))]
        if jobs
    ]


def mismatches() -> list[Mismatch]:
    """Each release that one of the newest previews looked at, as the newest of them found it; the worst first. Four queries."""
    plans = {
        plan.pk: plan
        for plan in Plan.objects.filter(kind=Plan.Kind.APPLY, retries=None, manifest__isnull=False)
        .select_related("case")
        .defer("manifest", "policy", "targets")
        .order_by("-pk")[:PLANS_LOOKED_AT]
    }
    found = _newest_scans(list(plans))
    releases = Release.objects.in_bulk([release for release, *_ in found])
    verified = _newest_verifications({plans[plan].case_id for _, plan, *_ in found})
    told = []
    for release, plan_id, scanned, differing, failed, at in found:
        plan = plans[plan_id]
        job = verified.get(plan.case_id)
        later = job if job is not None and job.requested_at > plan.requested_at else None
        told.append(Mismatch(releases[release], plan, scanned, differing, failed, at, later))
    return sorted(told, key=lambda each: (-each.differing * 10**6 // max(each.scanned, 1), each.release.pk))


def _newest_scans(plans: list[int]) -> list[tuple[int, int, int, int, int, datetime]]:
    """(release, plan, scanned, proposed, failed, at) of the newest of `plans` for each release."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (release_id) release_id, plan_id, sum(scanned)::bigint, sum(proposed)::bigint, sum(failed)::bigint,
                   max(scanned_at)
            FROM remediation_planchunk WHERE plan_id = ANY(%s) AND release_id IS NOT NULL
            GROUP BY release_id, plan_id HAVING sum(scanned) > 0 ORDER BY release_id, plan_id DESC
            """,
            [plans],
        )
        found: list[tuple[int, int, int, int, int, datetime]] = cursor.fetchall()
    return found


def _newest_verifications(cases: set[int]) -> dict[int, Job]:
    jobs = Job.objects.filter(case__in=cases, kind=Job.Kind.VERIFY, status=Job.Status.FINISHED)
    return {job.case_id: job for job in jobs.order_by("case_id", "-pk").distinct("case_id")}
