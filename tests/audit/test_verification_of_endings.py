"""A verification finds how a job or a plan ended, and what was listed as not gone well, changed behind the application's back."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from remediation.apply import start_apply
from remediation.control import cancel_job
from remediation.models import Job, Outcome
from tests.remediation.driving import applied, approved, previewed, verified
from tests.remediation.incident import START, recalculate, report
from tests.remediation.tampering import assert_tampering_is_found
from transactions.selection import Selection

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def ended(engineer: User, approver: User) -> Job:
    """A job that applied a plan with a conflict, and was verified; another one, of another case, was cancelled."""
    ids = report(4)
    plan = approved(previewed(engineer), approver)
    recalculate(ids[1], fee_percent=5, at=START + timedelta(days=1))
    job = applied(plan, engineer)
    verified(plan.case, engineer)
    report(2, first=20, service="refunds")
    other = previewed(engineer, selection=Selection("fee", services=("refunds",), versions=("1.0.0",)))
    cancel_job(
        start_apply(approved(other, approver), acting_user=engineer), reason="Stop.", acting_user=engineer
    )
    assert Outcome.objects.filter(kind="conflict").count() == 1
    return job


APPLIED = "kind = 'apply' AND status = 'finished'"
ONE_MORE = (
    "INSERT INTO remediation_outcome (job_id, plan_chunk_id, transaction_id, kind, reason, detail)"
    " SELECT job.id, chunk.id, 1, 'failed', 'It failed.', '{}' FROM remediation_job job"
    " JOIN remediation_planchunk chunk ON chunk.plan_id = job.plan_id WHERE job.kind = '%s' ORDER BY 1 LIMIT 1"
)
TAMPERED: dict[str, tuple[str, str]] = {
    "how a job ended": (
        f"UPDATE remediation_job SET status = 'failed' WHERE {APPLIED}",
        r"\[jobs and outcomes\] Job \d+: is failed, and entry \d+ of the trail says that it was finished",
    ),
    "an ended job made a running one": (
        f"UPDATE remediation_job SET status = 'running', finished_at = NULL WHERE {APPLIED}",
        r"\[jobs and outcomes\] Job \d+: is running, and entry \d+ of the trail says that it was finished",
    ),
    "why a job was cancelled": (
        "UPDATE remediation_job SET failure = 'It was right.' WHERE status = 'cancelled'",
        r"\[jobs and outcomes\] Job \d+: is cancelled for another reason than entry \d+ of the trail gives",
    ),
    "how a plan ended": (
        "UPDATE remediation_plan SET status = 'executed' WHERE status = 'stopped'",
        r"\[jobs and outcomes\] Plan \d+: is executed, and entry \d+ of the trail says that it was stopped",
    ),
    "a plan said to be rejected": (
        "UPDATE remediation_plan SET status = 'rejected' WHERE status = 'executed'",
        r"\[jobs and outcomes\] Plan \d+: is rejected, and entry \d+ of the trail says that it was executed",
    ),
    "what a verification of a case found": (
        "UPDATE remediation_job SET result = jsonb_set(result, '{differing}', '0') WHERE kind = 'verify'",
        r"\[jobs and outcomes\] Job \d+: found something else than entry \d+ of the trail tells",
    ),
    "a failed row put into a preview": (
        ONE_MORE % "preview",
        r"\[jobs and outcomes\] Plan \d+, chunk 0: 0 of its rows failed by its digest, and 1 are listed",
    ),
    "a quarantined row put in": (
        ONE_MORE % "apply",
        r"\[jobs and outcomes\] Job \d+, transaction 1: is listed as failed, and no entry of the trail says",
    ),
    "the calculations that a conflict tells of": (
        "UPDATE remediation_outcome SET detail = detail || jsonb_build_object('found', 0) WHERE kind = 'conflict'",
        r"\[jobs and outcomes\] Outcome \d+ of transaction o-1: tells of other calculations than those",
    ),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_tampered_with_is_found_and_named(
    kind: str, ended: Job, owner_connection: "psycopg.Connection[Any]"
) -> None:
    assert_tampering_is_found(owner_connection, *TAMPERED[kind])
