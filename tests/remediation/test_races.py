"""Two people, or a person and a worker, at the same plan at the same moment."""

import threading
import time

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from audit.models import AuditEntry
from remediation.apply import start_apply
from remediation.models import Case, Job, Plan
from remediation.preview import PlanUnderWay, request_preview, supersede
from remediation.verify import start_verify
from tests.remediation.driving import applied, approved, opened, previewed, verified, work_until_ended
from tests.remediation.incident import report

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
                while not _somebody_waits_for_us() and time.monotonic() < deadline:
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


def _somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


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
