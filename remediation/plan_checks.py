"""What a verification of the trail asks of cases, plans and approvals: is what was decided on still what it was?"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from psycopg.rows import dict_row

from audit.verification import SEALED_AFTER, Connection, Finding, Piece, Scope, tampered
from remediation.digest import chunks_digest_in_python, digest_of, manifest_with
from remediation.models import CaseRevision, Plan, PlanChunk
from remediation.policy import Policy

MOST_NAMED = 200
PLANS = "plans and approvals"

_PLANS = f"""
    SELECT plan.id FROM remediation_plan plan
    WHERE %(since)s = 0 OR EXISTS (
        SELECT FROM audit_auditentry entry
        WHERE entry.subject_type = 'remediation.plan' AND entry.subject_id = plan.id AND {SEALED_AFTER}
    ) OR EXISTS (
        SELECT FROM remediation_job job JOIN audit_auditentry entry
          ON entry.subject_type = 'remediation.job' AND entry.subject_id = job.id
        WHERE job.plan_id = plan.id AND entry.event = 'plan.apply_started' AND {SEALED_AFTER})
    ORDER BY plan.id
"""
_CHUNKS = """
    SELECT position, scanned_at, scanned, unchanged, proposed, failed, moved_since, left_out, left_out_sums, money, root, leaves_digest
    FROM remediation_planchunk WHERE plan_id = %s ORDER BY position
"""
_ENTRIES = """
    SELECT entry.id, entry.event, entry.actor_id, entry.data
    FROM audit_auditentry entry
    WHERE (entry.subject_type = 'remediation.plan' AND entry.subject_id = %(plan)s
           AND entry.event IN ('plan.sealed', 'plan.approved', 'plan.rejected'))
       OR (entry.subject_type = 'remediation.job' AND entry.event = 'plan.apply_started'
           AND entry.subject_id IN (SELECT id FROM remediation_job WHERE plan_id = %(plan)s))
    ORDER BY entry.id
"""
_GONE = """
    SELECT entry.id, entry.event, 'Plan ' || entry.subject_id
    FROM audit_auditentry entry
    WHERE entry.event IN ('plan.sealed', 'plan.approved', 'plan.rejected')
      AND NOT EXISTS (SELECT FROM remediation_plan plan WHERE plan.id = entry.subject_id)
    UNION ALL
    SELECT entry.id, entry.event, 'Job ' || entry.subject_id
    FROM audit_auditentry entry
    WHERE entry.event = 'plan.apply_started' AND NOT EXISTS (SELECT FROM remediation_job job WHERE job.id = entry.subject_id)
    UNION ALL
    SELECT entry.id, entry.event, 'Case ' || entry.subject_id
    FROM audit_auditentry entry
    WHERE entry.event = 'case.opened' AND NOT EXISTS (SELECT FROM remediation_case c WHERE c.id = entry.subject_id)
    ORDER BY 1 LIMIT %(most)s
"""
_CASES_CHANGED = """
    SELECT c.id, entry.id
    FROM remediation_case c
    LEFT JOIN audit_auditentry entry
      ON entry.subject_type = 'remediation.case' AND entry.subject_id = c.id AND entry.event = 'case.opened'
    LEFT JOIN remediation_caserevision revision ON revision.case_id = c.id AND revision.number = 1
    WHERE NOT coalesce(
        entry.reason = c.reason AND entry.actor_id = c.opened_by_id AND entry.data ->> 'ticket' = c.ticket
        AND entry.data -> 'criteria' = revision.criteria AND entry.data ->> 'target_version' = revision.target_version
        AND revision.edited_by_id = c.opened_by_id AND revision.exclusions = '{}', false)
    ORDER BY c.id LIMIT %(most)s
"""
_EDITORS = """
    SELECT DISTINCT actor_id FROM audit_auditentry
    WHERE subject_type = 'remediation.case' AND subject_id = %(case)s AND event IN ('case.opened', 'case.edited') AND id < %(before)s
"""
_REVISIONS_CHANGED = """
    SELECT revision.case_id, revision.number, entry.id
    FROM remediation_caserevision revision
    LEFT JOIN audit_auditentry entry
      ON entry.subject_type = 'remediation.case' AND entry.subject_id = revision.case_id AND entry.event = 'case.edited'
     AND entry.data ->> 'revision' = revision.number::text
    WHERE revision.number > 1 AND NOT coalesce(
        entry.actor_id = revision.edited_by_id AND entry.data -> 'criteria' = revision.criteria
        AND entry.data ->> 'target_version' = revision.target_version AND entry.data -> 'exclusions' = revision.exclusions, false)
    ORDER BY revision.case_id, revision.number LIMIT %(most)s
"""
_COMMENTS_CHANGED = """
    SELECT coalesce(entry.subject_id, said.case_id), entry.id, coalesce(said.id::text, entry.data ->> 'comment')
    FROM remediation_casecomment said
    FULL JOIN (
        SELECT id, subject_id, actor_id, reason, data FROM audit_auditentry
        WHERE event = 'case.commented' AND subject_type = 'remediation.case'
    ) AS entry ON entry.subject_id = said.case_id AND entry.data ->> 'comment' = said.id::text
    WHERE NOT coalesce(entry.reason = said.text AND entry.actor_id = said.written_by_id, false)
    ORDER BY 1, 3 LIMIT %(most)s
"""
_REVISIONS_GONE = """
    SELECT entry.id, entry.subject_id, entry.data ->> 'revision'
    FROM audit_auditentry entry
    WHERE entry.event = 'case.edited' AND NOT EXISTS (
        SELECT FROM remediation_caserevision revision
        WHERE revision.case_id = entry.subject_id AND revision.number::text = entry.data ->> 'revision')
    ORDER BY 1 LIMIT %(most)s
"""


def check_plans(scope: Scope) -> Iterator[Piece]:
    """Every case as it was opened; every plan's manifest, digest, approvals and start, against the rows and the trail."""
    for (number,) in scope.connection.execute(_PLANS, {"since": scope.since}).fetchall():
        yield Piece(1, partial(_look_at_plan, number))
    yield Piece(0, _look_at_cases)


def _look_at_cases(connection: Connection) -> Iterator[Finding]:
    most = {"most": MOST_NAMED}
    for entry, event, subject in connection.execute(_GONE, most).fetchall():
        yield tampered(PLANS, subject, f"is gone; entry {entry} ({event}) of the trail tells of it.")
    yield from _look_at_revisions(connection)
    for case, entry in connection.execute(_CASES_CHANGED, most).fetchall():
        yield tampered(
            PLANS,
            f"Case {case}",
            "no entry of the trail tells of its opening."
            if entry is None
            else f"its reason, ticket, opener, first criteria or target are not those of entry {entry} of the trail.",
        )


def _look_at_plan(number: int, connection: Connection) -> Iterator[Finding]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT * FROM remediation_plan WHERE id = %s", [number]).fetchone()
        assert row is not None
        plan = Plan(**row)
        if plan.manifest is None or plan.digest is None:
            return
        revision = cursor.execute(
            "SELECT * FROM remediation_caserevision WHERE id = %s", [plan.revision_id]
        ).fetchone()
        chunks = [PlanChunk(**chunk) for chunk in cursor.execute(_CHUNKS, [number])]
        entries = cursor.execute(_ENTRIES, {"plan": number}).fetchall()
        approvals = cursor.execute(
            "SELECT decision, digest, decided_by_id FROM remediation_approval WHERE plan_id = %s ORDER BY id",
            [number],
        ).fetchall()
    digest = bytes(plan.digest).hex()
    if digest_of(plan.manifest) != bytes(plan.digest):
        yield tampered(PLANS, str(plan), "its digest is not that of its manifest.")
    if revision is None:
        yield tampered(PLANS, str(plan), f"revision {plan.revision_id} of its case is gone.")
    else:
        plan.revision = CaseRevision(**revision)
        expected = manifest_with(
            plan, chunks, chunks_digest_in_python(chunks, with_exclusions=bool(plan.revision.exclusions))
        )
        if differing := sorted(
            key
            for key in expected.keys() | plan.manifest.keys()
            if expected.get(key) != plan.manifest.get(key)
        ):
            yield tampered(
                PLANS,
                str(plan),
                f"itself, its case or its chunks are not what its manifest says ({', '.join(differing)}).",
            )
    yield from _policy_agrees(plan, entries)
    yield from _entries_agree(plan, digest, entries)
    yield from _approvals_agree(plan, digest, approvals, entries)
    yield from _approved_enough(plan, approvals, entries, connection)


def _policy_agrees(plan: Plan, entries: list[dict[str, Any]]) -> Iterator[Finding]:
    """By manifest and trail alone, so that figures, which no digest covers, neither hide nor make a finding."""
    assert plan.manifest is not None
    for entry in entries:
        told = entry["data"].get("required_approvals", 0) if entry["event"] == "plan.sealed" else 0
        if told and told != plan.required_approvals:
            said = f"entry {entry['id']} of the trail asks for {told} approvals, and it is said to need {plan.required_approvals}."
            yield tampered(PLANS, str(plan), said)
    try:
        needed = Policy(**plan.manifest["policy"]).required_approvals(plan.manifest)
    except (KeyError, TypeError, ValueError):
        yield tampered(PLANS, str(plan), "the policy in its manifest cannot be read.")
        return
    if (plan.required_approvals or 0) < needed:
        said = f"its policy asks for {needed} approvals, and it is said to need {plan.required_approvals}."
        yield tampered(PLANS, str(plan), said)


def _look_at_revisions(connection: Connection) -> Iterator[Finding]:
    for case, number, entry in connection.execute(_REVISIONS_CHANGED, {"most": MOST_NAMED}).fetchall():
        yield tampered(
            PLANS,
            f"Case {case}, revision {number}",
            "no entry of the trail tells of it."
            if entry is None
            else f"its editor, criteria, target or what it leaves out are not those of entry {entry} of the trail.",
        )
    for case, entry, comment in connection.execute(_COMMENTS_CHANGED, {"most": MOST_NAMED}).fetchall():
        yield tampered(
            PLANS,
            f"Case {case}, comment {comment}",
            "no entry of the trail tells of it."
            if entry is None
            else f"is not what entry {entry} of the trail says.",
        )
    for entry, case, number in connection.execute(_REVISIONS_GONE, {"most": MOST_NAMED}).fetchall():
        yield tampered(
            PLANS,
            f"Case {case}, revision {number}",
            f"is gone; entry {entry} (case.edited) of the trail tells of it.",
        )


def _entries_agree(plan: Plan, digest: str, entries: list[dict[str, Any]]) -> Iterator[Finding]:
    sealed = [entry for entry in entries if entry["event"] == "plan.sealed"]
    if len(sealed) != 1:
        yield tampered(PLANS, str(plan), f"one entry should tell of its sealing: there are {len(sealed)}.")
    for entry in entries:
        if entry["data"]["digest"] != digest:
            yield tampered(
                PLANS,
                str(plan),
                f"its digest is not the one in entry {entry['id']} ({entry['event']}) of the trail.",
            )


def _approvals_agree(
    plan: Plan, digest: str, approvals: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> Iterator[Finding]:
    decided = {"plan.approved": "approve", "plan.rejected": "reject"}
    there = sorted((each["decided_by_id"], each["decision"]) for each in approvals)
    told = sorted((each["actor_id"], decided[each["event"]]) for each in entries if each["event"] in decided)
    if there != told:
        yield tampered(
            PLANS,
            str(plan),
            "its approvals are not those that the trail tells of: one was put in, changed or deleted.",
        )
    if any(bytes(each["digest"]).hex() != digest for each in approvals):
        yield tampered(PLANS, str(plan), "an approval is of another digest than the plan's.")


def _approved_enough(
    plan: Plan, approvals: list[dict[str, Any]], entries: list[dict[str, Any]], connection: Connection
) -> Iterator[Finding]:
    """An edit after the apply began takes nothing back: while it was under way nobody could edit."""
    started = max((each["id"] for each in entries if each["event"] == "plan.apply_started"), default=None)
    if started is None:
        return
    editors = connection.execute(_EDITORS, {"case": plan.case_id, "before": started}).fetchall()
    approvers = {each["decided_by_id"] for each in approvals if each["decision"] == "approve"}
    approvers -= {plan.requested_by_id, *(editor for (editor,) in editors)}
    if len(approvers) < (plan.required_approvals or 1):
        yield tampered(
            PLANS,
            str(plan),
            f"was applied with {len(approvers)} approvals by others and needed {plan.required_approvals}.",
        )
