"""A calculator that hangs, dies or eats memory costs its row, and nothing else."""

import subprocess
import sys
from typing import Any

import pytest

from remediation.lease import CRASHES
from remediation.models import JobChunk, Outcome, Plan
from remediation.preview import request_preview
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, work_until_ended
from tests.remediation.incident import fee, report, totals


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("hangs-on-1001", "The calculator did not answer within 0.5 s."),
        ("eats-memory-on-1001", "The calculator needs more than 300 MB of memory."),
        ("dies-on-1001", "The calculator ended its process by SIGSEGV."),
    ],
)
def test_after_three_lost_workers_the_row_to_blame_fails_and_the_others_are_proposed(
    users: UserFactory, settings: Any, target: str, reason: str
) -> None:
    settings.AMENDS_ROW_SECONDS = 0.5
    settings.AMENDS_WORKER_MEMORY_MEGABYTES = 300
    ids = report(4)
    engineer, approver = users("engineer"), users("approver")
    plan = request_preview(opened(engineer, target=target), acting_user=engineer)
    JobChunk.objects.filter(job__plan=plan).update(attempts=CRASHES)
    work_until_ended(plan.jobs.get())
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY, plan.failure
    assert plan.manifest is not None
    assert (plan.manifest["proposed"], plan.manifest["failed"]) == (3, 1)
    (outcome,) = Outcome.objects.all()
    assert (outcome.transaction_id, outcome.kind, outcome.reason) == (ids[1], "failed", reason)
    applied(approved(plan, approver), engineer)
    assert totals(ids) == [fee(1000, 2), 1011, fee(1002, 2), fee(1003, 2)]


def test_a_process_that_computes_longer_than_it_may_is_ended_and_says_where_it_was() -> None:
    hanging = "from remediation.isolation import ended_after\nwith ended_after(0.3):\n    while True:\n        pass\n"
    done = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert 'File "<string>", line' in done.stderr
