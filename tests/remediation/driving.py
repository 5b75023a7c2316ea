"""Driving the main job through its public functions, with this process doing the workers' part."""

import time
from typing import Any

from django.contrib.auth.models import User

from audit.step_up import confirmed_by_operator
from remediation.apply import start_apply
from remediation.approval import approve
from remediation.case import open_case
from remediation.exclusions import Exclusions
from remediation.leave_out import leave_out
from remediation.models import Case, Job, Plan
from remediation.preview import request_preview
from remediation.runner import work
from remediation.verify import start_verify
from tests.remediation.incident import report
from transactions.selection import Selection

SELECTION = Selection("fee", services=("payments",), versions=("1.0.0",))


def work_until_ended(job: Job) -> None:
    """Do a job's chunks here, and wait for those that a worker process may have in hand."""
    deadline = time.monotonic() + 60
    while job.status == Job.Status.RUNNING:
        assert time.monotonic() < deadline, "The job does not end."
        work(job.pk, worker="test")
        job.refresh_from_db()
        time.sleep(0 if job.status != Job.Status.RUNNING else 0.1)


def opened(
    user: User, target: str = "2.0.0", selection: Selection = SELECTION, reason: str = "Fees were too low."
) -> Case:
    return open_case(selection, target, reason=reason, acting_user=user)


def previewed(user: User, **options: Any) -> Plan:
    plan = request_preview(opened(user, **options), acting_user=user)
    work_until_ended(plan.jobs.get(kind="preview"))
    plan.refresh_from_db()
    return plan


def previewed_with_left_out(user: User, *, editor: User) -> Plan:
    """Four transactions to be corrected, and three whose cause `editor` left out of the case that `user` opened and previewed."""
    report(4)
    report(3, fee_percent=3, first=10)
    causes = Exclusions(causes=("fee down, total down",))
    plan = leave_out(previewed(user).case, causes, reason="Right.", acting_user=editor)
    work_until_ended(plan.jobs.get())
    plan.refresh_from_db()
    return plan


def approved(plan: Plan, user: User) -> Plan:
    assert plan.digest is not None
    return approve(plan, bytes(plan.digest).hex(), acting_user=user, confirmed=confirmed_by_operator(user))


def applied(plan: Plan, user: User) -> Job:
    job = start_apply(plan, acting_user=user)
    work_until_ended(job)
    return job


def verified(case: Case, user: User) -> dict[str, Any]:
    job = start_verify(case, acting_user=user)
    work_until_ended(job)
    assert job.status == Job.Status.FINISHED, job.failure
    return dict(job.result or {})


def digest(plan: Plan) -> str:
    """The digest of a sealed plan, in hex as people hand it on."""
    return bytes(plan.digest or b"").hex()
