"""What a verification of the trail asks of jobs, how plans ended, and what did not go well: is it what the trail tells of them?

None of it is in a hash of its own; the entries that were written with it are sealed.
"""

from collections.abc import Iterator

from audit.verification import Connection, Finding, Piece, Scope, tampered

MOST_NAMED = 200
ENDINGS = "jobs and outcomes"


def _ended_otherwise_than_told(kind: str, endings: tuple[str, ...], failure: str) -> str:
    """SQL for the jobs or plans (`kind`) that did not end as the trail tells, or not for the reason that it tells.

    `endings` are their last statuses, each the end of an event's name too; `failure` is SQL for the reason in an `entry`.
    """
    events = ", ".join(f"'{kind}.{ending}'" for ending in endings)
    statuses = ", ".join(f"'{ending}'" for ending in endings)
    return f"""
    WITH told AS (
        SELECT entry.subject_id AS subject, count(*) AS times, min(entry.id) AS entry,
               min(split_part(entry.event, '.', 2)) AS status, min({failure}) AS failure
        FROM audit_auditentry entry
        WHERE entry.event IN ({events}) GROUP BY entry.subject_id
    )
    SELECT coalesce(ended.id, told.subject), ended.status, told.status, told.entry, told.times
    FROM remediation_{kind} ended FULL JOIN told ON told.subject = ended.id
    WHERE ended.id IS NULL OR told.times > 1
       OR told.status IS DISTINCT FROM CASE WHEN ended.status IN ({statuses}) THEN ended.status END
       OR coalesce(told.failure <> ended.failure, false)
    ORDER BY 1 LIMIT %(most)s
"""


_JOBS = _ended_otherwise_than_told(
    "job",
    ("finished", "failed", "cancelled"),
    "CASE entry.event WHEN 'job.failed' THEN entry.data ->> 'failure' WHEN 'job.cancelled' THEN entry.reason END",
)
_PLANS = _ended_otherwise_than_told(
    "plan",
    ("executed", "stopped", "rejected"),
    "CASE entry.event WHEN 'plan.stopped' THEN entry.data ->> 'failure' END",
)
_FAILED = """
    SELECT chunk.plan_id, chunk.position, chunk.failed, coalesce(listed.failed, 0)
    FROM remediation_planchunk chunk
    LEFT JOIN (
        SELECT outcome.plan_chunk_id, count(*) AS failed
        FROM remediation_outcome outcome JOIN remediation_job job ON job.id = outcome.job_id AND job.kind = 'preview'
        WHERE outcome.kind = 'failed' GROUP BY outcome.plan_chunk_id
    ) AS listed ON listed.plan_chunk_id = chunk.id
    WHERE chunk.failed <> coalesce(listed.failed, 0)
    ORDER BY 1, 2 LIMIT %(most)s
"""
"""Chunks whose digest covers another number of rows that failed than are listed."""
_QUARANTINED = """
    SELECT coalesce(listed.job_id::text, told.job), coalesce(listed.transaction_id::text, told.transaction), told.entry
    FROM (
        SELECT outcome.job_id, outcome.transaction_id
        FROM remediation_outcome outcome JOIN remediation_job job ON job.id = outcome.job_id AND job.kind = 'apply'
        WHERE outcome.kind = 'failed'
    ) AS listed
    FULL JOIN (
        SELECT entry.id AS entry, entry.data ->> 'job' AS job, entry.data ->> 'transaction' AS transaction
        FROM audit_auditentry entry WHERE entry.event = 'chunk.quarantined'
    ) AS told ON told.job = listed.job_id::text AND told.transaction = listed.transaction_id::text
    WHERE told.entry IS NULL OR listed.job_id IS NULL
    ORDER BY 1, 2 LIMIT %(most)s
"""
_CONFLICTS = """
    SELECT outcome.id, coalesce(t.reference, outcome.transaction_id::text)
    FROM remediation_outcome outcome
    LEFT JOIN transactions_transaction t ON t.id = outcome.transaction_id
    LEFT JOIN transactions_calculation proposed
      ON proposed.plan_chunk_id = outcome.plan_chunk_id AND proposed.transaction_id = outcome.transaction_id
    LEFT JOIN remediation_planmember member
      ON member.plan_chunk_id = outcome.plan_chunk_id AND member.transaction_id = outcome.transaction_id
    WHERE outcome.kind = 'conflict' AND NOT coalesce(
        outcome.detail - 'found' = jsonb_build_object(
            'expected', coalesce(proposed.replaces_id, member.replaces_id), 'proposed', coalesce(proposed.id, member.calculation_id))
        AND (outcome.detail -> 'found' = 'null' OR EXISTS (
            SELECT FROM transactions_calculation found
            WHERE found.transaction_id = outcome.transaction_id AND to_jsonb(found.id) = outcome.detail -> 'found')), false)
    ORDER BY outcome.id LIMIT %(most)s
"""
"""Conflicts that tell of other calculations than those of their plan and their transaction."""
_VERIFIED = """
    SELECT coalesce(job.id::text, told.data ->> 'job'), told.id
    FROM remediation_job job
    FULL JOIN (
        SELECT entry.id, entry.data FROM audit_auditentry entry
        WHERE entry.event = 'case.verified' AND coalesce(entry.data ->> 'job', '0') <> '0'
    ) AS told ON told.data ->> 'job' = job.id::text
    WHERE told.id IS NOT NULL AND NOT coalesce(
        job.kind = 'verify'
        AND (job.result -> 'differing', job.result -> 'reconciled', job.result -> 'excluded')
          = (told.data -> 'differing', told.data -> 'reconciled', told.data -> 'excluded'), false)
    ORDER BY 1 LIMIT %(most)s
"""
"""Verifications of a case that found something else than the trail tells; early entries do not name their job."""


def check_endings(scope: Scope) -> Iterator[Piece]:
    """Every job and plan that ended against its entry; what is listed as failed, quarantined or in conflict, where all is looked at."""
    yield Piece(0, _look_at_endings)
    if not scope.since:
        yield Piece(0, _look_at_outcomes)


def _look_at_endings(connection: Connection) -> Iterator[Finding]:
    for kind, statement in (("Job", _JOBS), ("Plan", _PLANS)):
        for number, status, told, entry, times in connection.execute(
            statement, {"most": MOST_NAMED}
        ).fetchall():
            yield tampered(ENDINGS, f"{kind} {number}", _ended_otherwise(status, told, entry, times))
    for job, entry in connection.execute(_VERIFIED, {"most": MOST_NAMED}).fetchall():
        yield tampered(ENDINGS, f"Job {job}", f"found something else than entry {entry} of the trail tells.")


def _ended_otherwise(status: str | None, told: str | None, entry: int | None, times: int | None) -> str:
    if status is None:
        return f"is gone; entry {entry} of the trail says that it was {told}."
    if told is None:
        return f"is {status}, and no entry of the trail tells of that."
    if (times or 0) > 1:
        return (
            f"is {status}, and {times} entries of the trail tell how it ended, the first one entry {entry}."
        )
    if told != status:
        return f"is {status}, and entry {entry} of the trail says that it was {told}."
    return f"is {status} for another reason than entry {entry} of the trail gives."


def _look_at_outcomes(connection: Connection) -> Iterator[Finding]:
    most = {"most": MOST_NAMED}
    for plan, position, covered, listed in connection.execute(_FAILED, most).fetchall():
        yield tampered(
            ENDINGS,
            f"Plan {plan}, chunk {position}",
            f"{covered} of its rows failed by its digest, and {listed} are listed: outcomes were deleted or put in.",
        )
    for job, transaction, entry in connection.execute(_QUARANTINED, most).fetchall():
        said = (
            "is listed as failed, and no entry of the trail says that it was quarantined"
            if entry is None
            else f"is not listed as failed, and entry {entry} of the trail says that it was quarantined"
        )
        yield tampered(ENDINGS, f"Job {job}, transaction {transaction}", f"{said}.")
    for outcome, reference in connection.execute(_CONFLICTS, most).fetchall():
        yield tampered(
            ENDINGS,
            f"Outcome {outcome} of transaction {reference}",
            "tells of other calculations than those of its plan and its transaction.",
        )
