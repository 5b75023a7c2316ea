"""Services that recalculate what is being corrected, jobs over the same rows, people who stop and take back."""

import time
from datetime import timedelta
from random import Random

from audit.errors import Refused
from remediation.control import cancel_job, pause_job, resume_job
from remediation.lifecycle import APPLIED_PLAN
from remediation.locks import JobDoesNotStop
from remediation.models import Case, Job, Outcome, Plan
from remediation.revert import request_revert
from tests.faults.catalogue import fault
from tests.faults.world import START, World, later


def _conflicts(job: Job) -> set[int]:
    return set(Outcome.objects.filter(job=job).values_list("transaction_id", flat=True))


@fault(
    "a service recalculates between preview and apply, during a chunk, and replays old results", quick=True
)
def recalculated(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    incident, plan = world.approved_incident(120)
    early = rng.sample(incident.ids, 9)
    world.recalculate(incident, early)
    name = world.arm("lease.after", "sleep:0.8")
    job = world.start(plan)
    world.await_fired(name)
    late = rng.sample([known for known in incident.ids if known not in early], 9)
    world.recalculate(incident, late)
    world.recalculate(incident, early, at=START - timedelta(days=1))  # an old result, replayed
    world.await_end(job)
    world.recalculate(incident, late, at=START - timedelta(days=1))
    conflicts = _conflicts(job)
    world.judge.that("I8", set(early) <= conflicts, "what was recalculated before the apply is no conflict")
    world.judge.that("I8", conflicts <= {*early, *late}, "there is a conflict that nobody caused")
    world.settle(plan)


@fault("two jobs over the same rows at once")
def two_jobs(world: World, rng: Random) -> None:
    world.want_workers(groups=2, concurrency=2)
    incident = world.incident(160)
    plans = [world.preview(incident, "2.0.0"), world.preview(incident, "3.0.0")]
    plans = [world.approve(plan) for plan in plans]
    name = world.arm("apply.before_commit", "kill")
    jobs = [world.start(plan) for plan in plans]
    for job in jobs:
        world.await_end(job)
    world.kills += world.fired(name) is not None
    for plan in plans:
        world.settle(plan)
    moved = sum(len(set(incident.ids) - _conflicts(job)) for job in jobs)
    world.judge.that("I1", moved == len(incident.ids), f"{moved} moves of {len(incident.ids)} transactions")


@fault("pause, resume and cancel in a storm, with kills", quick=True)
def storm(world: World, rng: Random) -> None:
    """After every acknowledgement nothing commits, however many workers are at it and die."""
    world.want_workers(groups=2, concurrency=2)
    incident, plan = world.approved_incident(400)
    before = world.pointers(incident)
    armed = [
        world.arm("apply.before_commit", rng.choice(("kill", "sleep:0.4", "sleep:0.4"))) for _ in range(8)
    ]
    job = world.start(plan)
    for _ in range(rng.randint(3, 5)):
        time.sleep(rng.uniform(0.02, 0.25))
        world.tend()
        try:
            pause_job(job, acting_user=world.engineer)
        except JobDoesNotStop:
            world.judge.that("I11", False, "a pause was not acknowledged in 20 s")
        except Refused:
            break  # it has ended already
        with world.stillness(job, incident):
            world.tend()
            time.sleep(0.6)
        resume_job(job, acting_user=world.engineer)
    try:
        cancel_job(job, acting_user=world.engineer, reason="Enough of it.")
        with world.stillness(job, incident):
            world.tend()
            time.sleep(1.0)
    except Refused:
        world.await_end(job)
    world.disarm()
    world.kills += sum(1 for name in armed if (told := world.fired(name)) and told.action == "kill")
    world.settle(plan)
    _take_back(world, plan, incident, before)


def _take_back(world: World, plan: Plan, incident, before: dict[int, int]) -> None:
    plan.refresh_from_db()
    if plan.status not in APPLIED_PLAN or world.pointers(incident) == before:
        return
    revert = request_revert(Case.objects.get(pk=plan.case_id), acting_user=world.engineer, plan=plan)
    world.await_preview(revert)
    failed = _conflicts(revert.jobs.get(kind="preview"))
    job = None
    if (revert.manifest or {}).get("proposed"):
        revert = world.approve(revert)
        name = world.arm("apply.before_commit", "kill")
        job = world.await_end(world.start(revert))
        world.kills += world.fired(name) is not None
        world.disarm()
        world.settle(revert)
    superseded = {
        known
        for known, stands in world.pointers(incident).items()
        if known in before and stands not in (before[known],)
    } & (failed | (_conflicts(job) if job else set()))
    world.judge.restored(before, world.pointers(incident), superseded)


@fault("a correction is cancelled halfway and taken back, while its service reports", quick=False)
def revert_partial(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    incident, plan = world.approved_incident(200)
    before = world.pointers(incident)
    world.arm("apply.before_commit", "sleep:0.3")
    job = world.start(plan)
    try:
        request_revert(Case.objects.get(pk=plan.case_id), acting_user=world.engineer)
        world.judge.that("I11", False, "a plan was taken back while it was applied")
    except Refused:
        pass
    world.until(lambda: world.done_chunks(job) >= 2)
    try:
        cancel_job(job, acting_user=world.engineer, reason="It was wrong.")
    except Refused:
        world.await_end(job)
    plan.refresh_from_db()
    revert = request_revert(Case.objects.get(pk=plan.case_id), acting_user=world.engineer, plan=plan)
    world.await_preview(revert)
    revert = world.approve(revert)
    changed = rng.sample(incident.ids, 10)
    world.recalculate(incident, changed, at=later(0))
    held_back = rng.sample([known for known in incident.ids if known not in changed], 5)
    # Newer than what the revert goes back to, older than the correction: held back, and not to be hidden.
    world.recalculate(incident, held_back, at=START + timedelta(days=2))
    world.await_end(world.start(revert))
    now = world.pointers(incident)
    world.settle(revert)
    world.judge.restored(before, now, {*changed, *held_back})
