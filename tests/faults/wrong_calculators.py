"""Calculators that raise, guess, hang, eat, die, or are not the ones that were approved."""

import os
import subprocess
import sys
import time
from random import Random

from remediation.models import Job, Plan
from tests.faults.catalogue import fault
from tests.faults.machine import PASSWORD
from tests.faults.world import World
from tests.worker_process import ROOT

SWAPPED = "tests.faults.swapped_calculators"


def _corrected(world: World, target: str, rows: int, failed: int) -> None:
    incident = world.incident(rows)
    plan = world.preview(incident, target)
    world.judge.that("I1", plan.status == Plan.Status.READY, f"{target}: {plan.status}: {plan.failure}")
    found = (plan.manifest or {})["failed"]
    world.judge.that("I1", found == failed, f"{target}: {found} failed of {failed} that should")
    if (plan.manifest or {})["proposed"]:
        plan = world.approve(plan)
        world.await_end(world.start(plan))
    world.settle(plan, verify=bool((plan.manifest or {})["proposed"]))


@fault(
    "calculators that raise on 3 %, answer differently, with fractions, or with what is no number", quick=True
)
def misbehaving(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    rows = rng.randint(90, 130)
    _corrected(world, "raises-on-3-percent", rows, sum((1000 + i) % 33 == 0 for i in range(rows)))
    _corrected(world, "forgetful", 40, 40)
    _corrected(world, "fractional", 40, 40)
    _corrected(world, "not-a-number", 40, 40)


@fault("calculators that hang, eat all memory, or end their process, on one row")
def poisonous(world: World, rng: Random) -> None:
    world.want_workers(groups=2, concurrency=2, AMENDS_WORKER_MEMORY_MEGABYTES="300")
    for target in ("hangs-on-1001", "eats-memory-on-1001", "dies-on-1001"):
        began = time.time()
        _corrected(world, target, 60, 1)
        world.recoveries.append(time.time() - began)
        world.judge.in_time(time.time() - began)


@fault("the target's code is swapped after the approval")
def swapped(world: World, rng: Random) -> None:
    """A process with other code refuses to start it; one with the approved code does."""
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(60)
    done = subprocess.run(
        [sys.executable, "manage.py", "apply", str(plan.pk), "--as", "engineer"],
        cwd=ROOT,
        env=os.environ | {"AMENDS_CALCULATORS": SWAPPED, "AMENDS_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    plan.refresh_from_db()
    refused = done.returncode != 0 and plan.status == Plan.Status.APPROVED
    world.judge.that("I11", refused, f"it was started: {plan.status} {done.stdout}")
    world.judge.that("I11", "previewed with" in done.stderr, f"it does not say why: {done.stderr[-300:]}")
    world.await_end(world.start(plan))
    world.settle(plan)


@fault("a rolling deploy: workers with other code preview the same plan")
def rolling_deploy(world: World, rng: Random) -> None:
    """Whatever the others' code makes of it is not in the plan: it is right, or it is given up, with the reason."""
    world.want_workers(concurrency=1)
    world.want_workers_too(concurrency=1, AMENDS_CALCULATORS=SWAPPED)
    incident = world.incident(160)
    plan = world.preview(incident)
    if plan.status == Plan.Status.FAILED:
        world.judge.that("I11", "previewed with" in plan.failure, f"it does not say why: {plan.failure}")
        return
    job = world.await_end(world.start(world.approve(plan)))
    world.judge.that("I1", job.status == Job.Status.FINISHED, f"{job.status}: {job.failure}")
    # Verified here, by this process's own code.
    result = world.settle_here(plan)
    world.judge.that("I1", result["differing"] == 0, f"{result['differing']} rows differ")
