"""What the database refuses, whoever asks: here raw SQL as the application's role, past every line of Python."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from remediation.apply import start_apply
from remediation.digest import manifest_of
from remediation.models import Job, JobChunk, Plan
from remediation.preview import request_preview
from remediation.runner import work
from tests.conftest import UserFactory
from tests.remediation.driving import approved, digest, opened, previewed
from tests.remediation.incident import START, pointers, report, totals
from tests.remediation.tampering import tamper

pytestmark = pytest.mark.usefixtures("committed_db")


def refused(sql: str, parameters: list[Any] | None = None) -> str:
    """Run `sql` as the application, and give the reason for which the database refused it."""
    with pytest.raises(DatabaseError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters or [])
    return str(error.value)


@pytest.fixture
def plan(engineer: User) -> Plan:
    report(10)
    return previewed(engineer)


def insert_approval(plan: Plan, user: User, plan_digest: str) -> tuple[str, list[Any]]:
    return (
        """INSERT INTO remediation_approval (plan_id, decision, digest, decided_by_id, comment)
        VALUES (%s, 'approve', decode(%s, 'hex'), %s, '')""",
        [plan.pk, plan_digest, user.pk],
    )


def test_the_requester_cannot_approve(plan: Plan, engineer: User) -> None:
    assert "may not decide" in refused(*insert_approval(plan, engineer, digest(plan)))


def test_an_editor_of_the_case_cannot_approve(plan: Plan, users: UserFactory) -> None:
    editor = users("approver", name="editor")
    plan.case.revisions.create(number=2, criteria={}, target_version="2.0.0", edited_by=editor)
    assert "edited case" in refused(*insert_approval(plan, editor, digest(plan)))


def test_another_digest_cannot_be_approved(plan: Plan, users: UserFactory) -> None:
    assert "another digest" in refused(*insert_approval(plan, users("approver"), "00" * 32))


def test_nobody_decides_twice(plan: Plan, users: UserFactory) -> None:
    approver = users("approver")
    with connection.cursor() as cursor:
        cursor.execute(*insert_approval(plan, approver, digest(plan)))
    assert "approval_one_decision_a_person" in refused(*insert_approval(plan, approver, digest(plan)))


def test_an_approver_who_edits_later_does_not_count_any_more(plan: Plan, users: UserFactory) -> None:
    approver = users("approver")
    approved(plan, approver)
    plan.case.revisions.create(number=2, criteria={}, target_version="2.0.0", edited_by=approver)
    assert "needs 1 approvals" in refused(
        "UPDATE remediation_plan SET status = 'executing' WHERE id = %s", [plan.pk]
    )


@pytest.mark.parametrize("status", ["approved", "executing", "executed", "stopped", "previewing"])
def test_a_plan_takes_no_arrow_that_is_not_there_or_not_earned(plan: Plan, status: str) -> None:
    assert refused("UPDATE remediation_plan SET status = %s WHERE id = %s", [status, plan.pk])


@pytest.mark.parametrize(
    "change",
    [
        "required_approvals = 2",
        "digest = sha256('other')",
        "manifest = manifest || '{\"proposed\": 1}'",
        "fresh_until = fresh_until + interval '1 year'",
        "requested_by_id = requested_by_id + 1",
        "reason = 'another'",
        "targets = '{}'",
    ],
)
def test_a_sealed_plan_is_frozen(plan: Plan, change: str) -> None:
    assert "preview again" in refused(f"UPDATE remediation_plan SET {change} WHERE id = %s", [plan.pk])


@pytest.fixture
def unsealed(engineer: User, settings: Any) -> Plan:
    """A plan under a policy of two approvals for any money of USD, all scanned, which only its last step is missing from."""
    settings.AMENDS_APPROVAL_POLICY = {"approvals_for_large": 2, "large_money": {"USD": "0"}}
    report(3)
    plan = request_preview(opened(engineer), acting_user=engineer)
    with patch("remediation.conclusion._finish"):
        work(plan.jobs.get().pk, worker="test")
    plan.refresh_from_db()
    assert plan.status == Plan.Status.PREVIEWING
    return plan


def _said(sql: str, parameters: dict[str, Any]) -> str:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
    except DatabaseError as error:
        return str(error)
    return ""


def seal(plan: Plan, *, approvals: int = 2, hours: int = 24, **manifest: Any) -> str:
    """Seal it by SQL, as the application's role; what the database says to it."""
    found = manifest_of(plan, list(plan.chunks.order_by("position"))) | manifest
    return _said(
        "UPDATE remediation_plan SET status = 'ready', manifest = %(manifest)s::jsonb,"
        " digest = sha256(convert_to((%(manifest)s::jsonb)::text, 'UTF8')), required_approvals = %(approvals)s,"
        " fresh_until = requested_at + %(hours)s * interval '1 hour' WHERE id = %(plan)s",
        {"manifest": json.dumps(found), "approvals": approvals, "hours": hours, "plan": plan.pk},
    )


def test_a_plan_is_sealed_with_as_many_approvals_as_its_policy_asks_for_and_stays_fresh_no_longer(
    unsealed: Plan,
) -> None:
    assert "needs 2 approvals by its policy, not 1" in seal(unsealed, approvals=1)
    # What its rows add up to counts, and not what the manifest says of them.
    nothing = {"proposed": 0, "money": {}}
    assert "needs 2 approvals by its policy, not 1" in seal(unsealed, approvals=1, **nothing)
    weaker = unsealed.policy | {"approvals_for_large": 1}
    assert "under another policy" in seal(unsealed, policy=weaker)
    assert "is fresh for 24 hours by its policy" in seal(unsealed, hours=25)
    assert seal(unsealed) == ""


def test_a_policy_that_says_nothing_seals_nothing(unsealed: Plan, owner_connection: Any) -> None:
    tamper(owner_connection, "UPDATE remediation_plan SET policy = '{}'")
    unsealed.refresh_from_db()
    assert "approvals by its policy" in seal(unsealed)


def test_a_plan_cannot_be_born_approved(plan: Plan) -> None:
    columns = "revision_id, case_id, kind, reason, targets, calculator_digest, high_water, policy, requested_by_id, failure"
    assert "begins as previewing" in refused(
        f"INSERT INTO remediation_plan ({columns}, status) SELECT {columns}, 'ready' FROM remediation_plan WHERE id = %s",
        [plan.pk],
    )


def test_chunks_of_a_sealed_plan_are_frozen(plan: Plan) -> None:
    assert "frozen" in refused("UPDATE remediation_planchunk SET proposed = 1 WHERE plan_id = %s", [plan.pk])
    assert "frozen" in refused(
        "INSERT INTO remediation_planchunk (plan_id, position) VALUES (%s, 99)", [plan.pk]
    )


def test_a_job_cannot_apply_a_plan_that_is_not_being_executed(plan: Plan, engineer: User) -> None:
    assert "is not being executed" in refused(
        "INSERT INTO remediation_job (case_id, plan_id, kind, status, failure, requested_by_id)"
        " VALUES (%s, %s, 'apply', 'running', '', %s)",
        [plan.case_id, plan.pk, engineer.pk],
    )


def test_a_plan_has_one_apply_job_ever(plan: Plan, engineer: User, users: UserFactory) -> None:
    start_apply(approved(plan, users("approver")), acting_user=engineer)
    assert "job_one_of_a_kind_per_plan" in refused(
        "INSERT INTO remediation_job (case_id, plan_id, kind, status, failure, requested_by_id)"
        " VALUES (%s, %s, 'apply', 'running', '', %s)",
        [plan.case_id, plan.pk, engineer.pk],
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transactions_currentcalculation SET calculation_id = calculation_id + 1",
        "INSERT INTO transactions_currentcalculation VALUES (1, 1)",
        "DELETE FROM transactions_currentcalculation",
        "TRUNCATE transactions_currentcalculation",
        "UPDATE transactions_calculation SET total = 0",
        "DELETE FROM transactions_transaction",
        "UPDATE audit_auditentry SET reason = ''",
        "DELETE FROM audit_auditentry",
        "DELETE FROM remediation_approval",
        "UPDATE remediation_planchunkleaves SET leaves = ''",
        "DELETE FROM remediation_outcome",
        "ALTER TABLE remediation_plan DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION amends_valid_approvals(bigint) RETURNS bigint LANGUAGE sql RETURN 9",
    ],
)
def test_the_application_cannot_get_round_the_guards(plan: Plan, statement: str) -> None:
    reason = refused(statement)
    assert "permission denied" in reason or "must be owner" in reason


def test_a_proposal_cannot_be_pointed_at_as_if_a_service_had_reported_it(plan: Plan) -> None:
    before = pointers(list(range(1, 11)))
    assert "approved plan" in refused(
        "SELECT amends_point_at_reported(array_agg(id)) FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL"
    )
    assert pointers(list(range(1, 11))) == before


def test_a_calculation_cannot_be_from_the_future(plan: Plan) -> None:
    assert "calculation_not_in_the_future" in refused(
        "INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
        " SELECT transaction_id, release_id, amounts, total, now() + interval '1 hour', batch_id"
        " FROM transactions_calculation WHERE batch_id IS NOT NULL LIMIT 1"
    )


@pytest.mark.parametrize(
    "amounts", ['{"total": "1010"}', '{"net": 1010}', '{"total": 1011}', '{"total": null}']
)
def test_a_total_is_its_amount(plan: Plan, amounts: str) -> None:
    assert "calculation_total_is_its_amount" in refused(
        "INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
        " SELECT transaction_id, release_id, %s, 1010, %s, batch_id FROM transactions_calculation"
        " WHERE batch_id IS NOT NULL LIMIT 1",
        [amounts, START],
    )


class TestApplyingAChunk:
    """`amends_apply_chunk`, called by hand."""

    @pytest.fixture
    def job(self, plan: Plan, engineer: User, users: UserFactory) -> Job:
        return start_apply(approved(plan, users("approver")), acting_user=engineer)

    def call(self, job: Job, token: str = "11111111-1111-1111-1111-111111111111") -> str:
        return refused("SELECT * FROM amends_apply_chunk(%s, %s)", [job.chunks.get().pk, token])

    def lease(self, job: Job) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE remediation_jobchunk SET status = 'leased', token = '11111111-1111-1111-1111-111111111111',"
                " lease_until = now() + interval '1 minute' WHERE job_id = %s",
                [job.pk],
            )

    def test_without_its_lease_is_refused(self, job: Job) -> None:
        assert "lease" in self.call(job)
        self.lease(job)
        assert "lease" in self.call(job, token="22222222-2222-2222-2222-222222222222")

    def test_of_a_job_that_has_ended_is_refused(self, job: Job) -> None:
        self.lease(job)
        Job.objects.filter(pk=job.pk).update(status=Job.Status.FAILED)
        assert "is failed" in self.call(job)

    def test_after_its_approver_edited_the_case_is_refused(
        self, job: Job, plan: Plan, users: UserFactory
    ) -> None:
        self.lease(job)
        plan.case.revisions.create(number=2, criteria={}, target_version="2.0.0", edited_by=users("approver"))
        assert "is not approved" in self.call(job)

    def test_in_another_isolation_level_is_refused(self, job: Job) -> None:
        self.lease(job)
        reason = refused(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT * FROM amends_apply_chunk(%s, %s)",
            [job.chunks.get().pk, "11111111-1111-1111-1111-111111111111"],
        )
        assert "READ COMMITTED" in reason

    def test_with_a_row_more_than_approved_applies_no_unapproved_row(self, job: Job, plan: Plan) -> None:
        late = report(1, first=50)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO transactions_calculation"
                " (transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id)"
                " SELECT transaction_id, release_id, '{\"total\": 1}', 1, now(), %s, id FROM transactions_calculation"
                " WHERE transaction_id = %s",
                [plan.chunks.get().pk, late[0]],
            )
        self.lease(job)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT applied, conflicts FROM amends_apply_chunk(%s, %s)",
                [job.chunks.get().pk, "11111111-1111-1111-1111-111111111111"],
            )
            assert cursor.fetchone() == (10, 0)
        assert totals(late) == [1060]

    def test_once_applied_it_is_not_applied_again(self, job: Job) -> None:
        self.lease(job)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT applied FROM amends_apply_chunk(%s, %s)",
                [job.chunks.get().pk, "11111111-1111-1111-1111-111111111111"],
            )
        assert JobChunk.objects.get(job=job).status == JobChunk.Status.DONE
        assert "lease" in self.call(job)
