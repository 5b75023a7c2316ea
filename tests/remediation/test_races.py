"""Two people, or a person and a worker, at the same plan at the same moment."""

import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from audit.models import AuditEntry
from remediation.apply import start_apply
from remediation.models import Case, Job, Outcome, Plan
from remediation.preview import PlanUnderWay, request_preview, supersede
from remediation.verify import start_verify
from tests.remediation.driving import applied, approved, opened, previewed, verified, work_until_ended
from tests.remediation.incident import START, fee, recalculate, report, totals
from transactions.rollups import recount

pytestmark = pytest.mark.usefixtures("committed_db")


def test_a_plan_that_a_worker_seals_while_it_is_replaced_is_replaced(engineer: User) -> None:
    report(3)
    plan = request_preview(opened(engineer), acting_user=engineer)
    as_read = Plan.objects.get(pk=plan.pk)
    work_until_ended(plan.jobs.get())
    with transaction.atomic():
        supersede(as_read, acting_user=engineer)
    plan.refresh_from_db()
    assert plan.status == Plan.Status.SUPERSEDED
    assert AuditEntry.objects.get(event="plan.superseded").data["was"] == "ready"


def test_a_plan_that_somebody_starts_to_apply_while_it_is_replaced_goes_on(
    engineer: User, approver: User
) -> None:
    report(3)
    plan = approved(previewed(engineer), approver)
    as_read = Plan.objects.get(pk=plan.pk)
    job = start_apply(plan, acting_user=engineer)
    with pytest.raises(PlanUnderWay), transaction.atomic():
        supersede(as_read, acting_user=engineer)
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED


def test_starting_waits_for_whoever_holds_the_case_and_does_not_deadlock_with_them(
    engineer: User, approver: User
) -> None:
    report(3)
    plan = approved(previewed(engineer), approver)
    holds, errors = threading.Event(), []

    def hold_the_case_then_the_plan() -> None:
        """As whoever decides or previews again does."""
        try:
            with transaction.atomic():
                Case.objects.select_for_update().get(pk=plan.case_id)
                holds.set()
                deadline = time.monotonic() + 30
                while not _somebody_waits(_our_process()) and time.monotonic() < deadline:
                    time.sleep(0.02)
                Plan.objects.select_for_update().get(pk=plan.pk)
        except DatabaseError as error:
            errors.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=hold_the_case_then_the_plan)
    other.start()
    assert holds.wait(30)
    job = start_apply(plan, acting_user=engineer)
    other.join()
    assert errors == []
    assert job.status == Job.Status.RUNNING


def test_a_chunk_that_waited_for_its_rows_moves_those_that_stand_where_they_stood_and_no_other(
    engineer: User, approver: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    """A row that was written anew lies elsewhere than when it was asked for; one of the two says what it said."""
    ids = report(3)
    plan = approved(previewed(engineer), approver)
    job = start_apply(plan, acting_user=engineer)

    def do_it() -> None:
        try:
            work_until_ended(job)
        finally:
            connection.close()

    worker = threading.Thread(target=do_it)
    with owner_connection.transaction(), transaction.atomic():
        owner_connection.execute(
            "UPDATE transactions_currentcalculation SET calculation_id = calculation_id WHERE transaction_id = %s", [ids[0]]
        )  # fmt: skip
        newer = recalculate(ids[1], fee_percent=5, at=START + timedelta(days=1))
        worker.start()
        deadline = time.monotonic() + 30
        while not _somebody_waits(owner_connection.info.backend_pid) and time.monotonic() < deadline:
            time.sleep(0.02)
    worker.join()

    assert totals(ids) == [fee(1000, 2), fee(1001, 5), fee(1002, 2)]
    chunk = job.chunks.get()
    added = fee(1000, 2) - fee(1000, 1) + fee(1002, 2) - fee(1002, 1)
    assert chunk.result == {"applied": 2, "conflicts": 1, "money": {"USD:2": added}}
    assert AuditEntry.objects.get(event="chunk.applied").data["money"] == {"USD:2": added}
    conflict = Outcome.objects.get()
    assert (conflict.transaction_id, conflict.detail["found"]) == (ids[1], newer)
    assert recount() == []


def _somebody_waits(holder: int) -> bool:
    """Whether anybody waits for what the server's process `holder` has locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE %s = ANY(pg_blocking_pids(pid)))", [holder])
        return bool(cursor.fetchone()[0])


def _our_process() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_verification_says_nothing_of_a_plan_that_was_applied_while_it_ran(
    engineer: User, approver: User
) -> None:
    report(3)
    plan = approved(previewed(engineer), approver)
    verification = start_verify(plan.case, acting_user=engineer)
    applied(plan, engineer)
    work_until_ended(verification)
    assert verification.result is not None
    assert (verification.result["problems"], verification.result["plans"]) == ([], [])
    (sums,) = verified(plan.case, engineer)["plans"]
    assert sums["applied"]["rows"] == 3
