"""A calculator that hangs, dies or eats memory costs its row, and nothing else."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from remediation.lease import CRASHES
from remediation.models import JobChunk, Outcome, Plan
from remediation.preview import request_preview
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, work_until_ended
from tests.remediation.incident import fee, report, totals
from transactions.calculating import calculator_for
from transactions.calculators import CalculationFailure, CalculatorUnavailable, RegisteredCalculator
from transactions.calculators.remote import RemoteCalculator
from transactions.isolation import InProcess, LockedAway


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
    settings.AMENDS_ROW_SECONDS = 0.5 if target.startswith("hangs") else 30.0
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
    hanging = "from transactions.isolation import ended_after\nwith ended_after(0.3):\n    while True:\n        pass\n"
    done = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert 'File "<string>", line' in done.stderr


def test_the_lease_is_kept_while_row_after_row_hangs(settings: Any) -> None:
    settings.AMENDS_ROW_SECONDS = 0.2
    looks: list[float] = []
    calculator = calculator_for("fee", "hangs-on-1001")
    answers = LockedAway(lambda: looks.append(time.monotonic())).first(
        calculator, [({"net": "10.01"}, 2)] * 3
    )
    assert answers == [CalculationFailure("The calculator did not answer within 0.2 s.")] * 3
    assert len(looks) >= 3


def test_the_lease_is_kept_between_asking_and_asking_again() -> None:
    looks: list[float] = []
    asking = InProcess(lambda: looks.append(time.monotonic()))
    batch = [({"net": "10.01"}, 2)]
    asking.again(calculator_for("fee", "2.0.0"), batch, asking.first(calculator_for("fee", "2.0.0"), batch))
    assert len(looks) == 1


def test_a_calculator_that_hangs_outlives_the_killed_worker_that_locked_it_away_by_no_more_than_seconds() -> (
    None
):
    locking = (
        "import os, sys, django; django.setup()\n"
        "from django.conf import settings; settings.AMENDS_ROW_SECONDS = 1.0\n"
        "from transactions.isolation import LockedAway; from transactions.calculating import calculator_for\n"
        "os.fork_and_tell = os.fork\n"
        "def fork():\n"
        "    child = os.fork_and_tell()\n"
        "    if child: print(child, flush=True)\n"
        "    return child\n"
        "os.fork = fork\n"
        "LockedAway(lambda: None).first(calculator_for('fee', 'hangs-on-1001'), [({'net': '10.01'}, 2)])\n"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    with subprocess.Popen(
        [sys.executable, "-c", locking], stdout=subprocess.PIPE, text=True, env=environment
    ) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        worker.kill()
    deadline = time.monotonic() + 20
    while _runs(child):
        assert time.monotonic() < deadline, "The calculator runs on though nobody waits for it."
        time.sleep(0.1)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class _NeverAnswers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        time.sleep(3)


def test_a_calculator_elsewhere_that_hangs_is_an_outage_and_fails_no_row(settings: Any) -> None:
    settings.AMENDS_ROW_SECONDS = settings.AMENDS_SLICE_SECONDS = 0.2
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NeverAnswers)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    class Elsewhere(RemoteCalculator):
        url = f"http://127.0.0.1:{server.server_port}/"
        calculator = "fee"
        version = "elsewhere"
        seconds_to_answer = 0.5

    elsewhere = Elsewhere()
    calculator = RegisteredCalculator(
        name="fee",
        version="elsewhere",
        module=__name__,
        calculate=elsewhere.calculate,
        calculate_many=elsewhere.calculate_many,
    )
    try:
        for asking in (InProcess(lambda: None), LockedAway(lambda: None)):
            with pytest.raises(CalculatorUnavailable):
                asking.first(calculator, [({"net": "10.01"}, 2)])
    finally:
        server.shutdown()
