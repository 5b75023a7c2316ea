"""Workers that are killed, stopped, asked to leave in the middle, or come back from the dead."""

import os
import signal
import time
from collections.abc import Sequence
from random import Random

from audit.models import AuditEntry
from remediation.control import resume_job
from remediation.models import Job, JobChunk, Plan
from tests.faults.catalogue import fault
from tests.faults.machine import resume_process
from tests.faults.world import World

PREVIEW_POINTS = ("lease.before", "lease.before", "lease.after", "preview.mid_transaction")
APPLY_POINTS = (
    "lease.before",
    "lease.after",
    "lease.after",
    "apply.before_commit",
    "apply.before_commit",
    "apply.after_commit",
)


def kill_round(world: World, rng: Random, *, rows: int = 240) -> None:
    """One correction during whose preview and apply workers die at points, at odd moments, and as a whole group."""
    incident = world.incident(rows)
    armed = [world.arm(rng.choice(PREVIEW_POINTS), "kill") for _ in range(4)]
    plan = world.preview(incident)
    _count_kills(world, plan.jobs.get(kind="preview"), armed)
    if plan.status == Plan.Status.FAILED:
        # Six workers lost at one chunk: given up with the reason, by design. Nothing may have moved.
        world.judge.that("I11", "attempts" in plan.failure, f"the preview failed: {plan.failure}")
        world.judge.everything()
        return
    plan = world.approve(plan)
    armed = [world.arm(rng.choice(APPLY_POINTS), "kill") for _ in range(8)]
    job = world.start(plan, stages=rng.choice((None, [1, 21, rows], [40, rows])))
    odd = sorted(rng.uniform(0.05, 2.5) for _ in range(3))
    group_at = rng.uniform(0.2, 1.5) if rng.random() < 0.6 else None
    started, moments = time.time(), []

    def step() -> bool:
        nonlocal group_at
        job.refresh_from_db()
        if job.ended:
            return True
        if odd and time.time() - started > odd[0]:
            odd.pop(0)
            if (at := world.kill_child(rng)) is not None:
                moments.append(at)
        if group_at is not None and time.time() - started > group_at:
            group_at = None
            world.kill_group(rng)
            moments.append(time.time())
        if job.status == Job.Status.PAUSED:
            _past_gate(world, job)
        return False

    world.until(step, seconds=180)
    _count_kills(world, job, armed)
    for at in moments:
        _went_on(world, job, at)
    result = world.settle(plan, verify=rng.random() < 0.25)
    quarantined = JobChunk.objects.filter(job=job, status=JobChunk.Status.QUARANTINED).count()
    world.judge.that("I1", job.status == Job.Status.FINISHED, f"the job ended {job.status}: {job.failure}")
    if result:
        world.judge.that(
            "I1",
            result["differing"] == quarantined,
            f"{result['differing']} differ, {quarantined} are quarantined",
        )


def _past_gate(world: World, job: Job) -> None:
    resume_job(job, acting_user=world.engineer, reason="Its gate was looked at.")


def _count_kills(world: World, job: Job, armed: Sequence[str]) -> None:
    """Count those that fired, and how long what they held took to be done by others."""
    world.disarm()
    for name in armed:
        fired = world.fired(name)
        if fired is None:
            continue
        world.kills += 1
        entry = AuditEntry.objects.filter(
            event="lease.reclaimed", data__worker__endswith=f":{fired.pid}"
        ).first()
        held = JobChunk.objects.filter(pk=entry.subject_id).first() if entry is not None else None
        if held is not None and held.finished_at is not None:
            _recovery(world, held.finished_at.timestamp() - fired.at)
        else:
            _went_on(world, job, fired.at)


def _went_on(world: World, job: Job, at: float) -> None:
    """From a fault until the next chunk of the job was done, or it ended."""
    moments = [chunk.timestamp() for chunk in job.chunks.values_list("finished_at", flat=True) if chunk]
    if job.finished_at is not None:
        moments.append(job.finished_at.timestamp())
    after = [moment for moment in moments if moment >= at]
    if after:
        _recovery(world, min(after) - at)


def _recovery(world: World, seconds: float) -> None:
    world.recoveries.append(max(seconds, 0.0))
    world.judge.in_time(seconds)


@fault("worker children and worker groups killed with -9", quick=True)
def killed(world: World, rng: Random) -> None:
    """Until as many were killed as the campaign asks for."""
    world.want_workers(groups=2, concurrency=2)
    while world.kills < world.wanted_kills or world.group_kills < world.wanted_group_kills:
        kill_round(world, rng)


@fault("a stopped worker comes back after its lease", quick=True)
def stale(world: World, rng: Random) -> None:
    """SIGSTOP past the lease, then SIGCONT: while another holds the chunk, the first one must be fenced off."""
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(15)
    first = world.arm("lease.after", "stop")
    job = world.start(plan)
    stopped = world.await_fired(first)
    second = world.arm("lease.after", "stop")
    world.until(lambda: world.fired(second) is not None)
    holder = world.await_fired(second)
    notes = [world.arm("apply.before_commit", "note") for _ in range(2)]
    resume_process(stopped.pid)
    time.sleep(1.0)
    resume_process(holder.pid)
    at = time.time()
    world.await_end(job, tending=False)
    world.recovered(at)
    world.disarm()
    wrote = [told.pid for name in notes if (told := world.fired(name))]
    world.judge.that("fenced", stopped.pid not in wrote, "a worker whose lease was lost applied the chunk")
    world.settle(plan)


@fault("a stopped worker holds a preview's chunk")
def stale_preview(world: World, rng: Random) -> None:
    """Stopped in the middle of its transaction, it blocks nobody for long, and what it wrote is not there twice."""
    world.want_workers(concurrency=2)
    incident = world.incident(90)
    name = world.arm(rng.choice(("lease.after",)), "stop")
    plan = world.preview(incident, wait=False)
    stopped = world.await_fired(name)
    world.await_preview(plan)
    world.recovered(stopped.at)
    resume_process(stopped.pid)
    time.sleep(0.5)
    plan.refresh_from_db()
    world.judge.that("I1", (plan.manifest or {}).get("proposed") == 90, f"{plan.status}, {plan.manifest}")
    plan = world.approve(plan)
    world.await_end(world.start(plan))
    world.settle(plan)


@fault("SIGTERM and SIGQUIT during a commit")
def asked_to_leave(world: World, rng: Random) -> None:
    for number in (signal.SIGTERM, signal.SIGQUIT):
        world.want_workers(concurrency=2)
        _, plan = world.approved_incident(120)
        name = world.arm("apply.before_commit", "sleep:0.7")
        job = world.start(plan)
        fired = world.await_fired(name)
        os.kill(world.workers[0].pid, number)
        world.await_end(job)
        world.recovered(fired.at)
        world.settle(plan)


@fault("a row kills every worker that moves it")
def poison(world: World, rng: Random) -> None:
    """After three lost workers a chunk is split, down to the row, which is quarantined; the rest goes on."""
    world.want_workers(groups=2, concurrency=2)
    _, plan = world.approved_incident(4)
    armed = [world.arm("lease.after", "kill") for _ in range(9)]
    job = world.start(plan)
    world.await_end(job, seconds=180)
    _count_kills(world, job, armed)
    world.judge.that("I1", job.status == Job.Status.FINISHED, f"{job.status}: {job.failure}")
    world.settle(plan)
