"""The judge of the campaign can say no: what the owner of the database breaks, it names."""

from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.conftest import UserFactory
from tests.faults import witness
from tests.faults.invariants import Judge, Violated
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import report
from tests.remediation.tampering import tamper


@pytest.fixture
def judged(users: UserFactory, owner_connection: "psycopg.Connection[Any]") -> Any:
    """A correction of five transactions, applied and found in order, with its judge."""
    witness.install(owner_connection)
    report(5)
    plan = approved(previewed(users("engineer")), users("approver"))
    applied(plan, users("engineer"))
    plan.refresh_from_db()
    judge = Judge()
    judge.plan(plan)
    judge.everything()
    return judge, plan


def test_a_pointer_moved_by_nobody_is_named(judged: Any, owner_connection: "psycopg.Connection[Any]") -> None:
    judge, _ = judged
    owner_connection.execute(
        "UPDATE transactions_currentcalculation SET calculation_id = c.replaces_id FROM transactions_calculation c"
        " WHERE c.id = calculation_id AND c.transaction_id = (SELECT min(id) FROM transactions_transaction)"
    )
    with pytest.raises(Violated, match=r"I2: transaction .* by nothing that is audited"):
        judge.everything()


def test_a_move_that_is_not_audited_makes_the_counts_differ(
    judged: Any, owner_connection: "psycopg.Connection[Any]"
) -> None:
    judge, plan = judged
    tamper(
        owner_connection,
        "UPDATE audit_auditentry SET data = data || '{\"applied\": 4}' WHERE event = 'chunk.applied'",
    )
    with pytest.raises(Violated, match=r"I2"):
        judge.plan(plan)


def test_rows_that_nobody_approved_are_named(
    judged: Any, owner_connection: "psycopg.Connection[Any]"
) -> None:
    judge, plan = judged
    tamper(
        owner_connection,
        "UPDATE transactions_calculation SET amounts = amounts || '{\"total\": 7}', total = 7 WHERE plan_chunk_id IS NOT NULL",
    )
    with pytest.raises(Violated, match=r"I3.*I4: rows of chunk"):
        judge.plan(plan)


def test_a_transaction_with_two_fates_is_named(judged: Any) -> None:
    judge, plan = judged
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO remediation_outcome (job_id, plan_chunk_id, transaction_id, kind, reason, detail)"
            " SELECT job.id, chunk.id, (SELECT min(id) FROM transactions_transaction), 'conflict', 'forged', '{}'"
            " FROM remediation_job job JOIN remediation_planchunk chunk ON chunk.plan_id = job.plan_id WHERE job.kind = 'apply' LIMIT 1"
        )
    with pytest.raises(Violated, match=r"I1: transaction .* has 2 fates"):
        judge.plan(plan)


def test_a_recovery_of_more_than_90_seconds_is_named() -> None:
    Judge().in_time(89)
    with pytest.raises(Violated, match=r"I6"):
        Judge().in_time(91)
