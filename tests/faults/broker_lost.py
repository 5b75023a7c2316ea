"""The doorbell rung too often, never, or by somebody else; and a broker that dies, forgets, hangs or is full."""

import time
from random import Random

import redis
from celery import current_app
from django.conf import settings

from backoffice.embedded.process_file import stop_process
from remediation.control import pause_job, resume_job
from remediation.doorbell import TASK, ring
from remediation.models import Job
from tests.faults.catalogue import fault
from tests.faults.world import World


def _client() -> redis.Redis:
    return redis.Redis(unix_socket_path=str(settings.HOME.broker_socket), socket_timeout=5)


def _applied_in_spite_of(world: World, job: Job, since: float) -> None:
    world.await_end(job)
    world.recovered(since)
    world.judge.that("I1", job.status == Job.Status.FINISHED, f"the job ended {job.status}: {job.failure}")
    assert job.plan is not None
    world.settle(job.plan)


@fault("the doorbell rung 1,000 times, never, and forged")
def doorbell(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(120)
    forged: list[object] = [0, -1, 999_999_999, 2**70, "job", None, "1; DROP TABLE remediation_job"]
    for argument in forged:
        current_app.send_task(TASK, args=[argument])
    current_app.send_task("os.system", args=["true"])
    job = world.start(plan)
    for _ in range(1000):
        current_app.send_task(TASK, args=[job.pk])
    _applied_in_spite_of(world, job, time.time())
    for _ in range(20):
        ring(job.pk)  # it has ended

    _, plan = world.approved_incident(120)
    with_nobody = world.workers[0]
    with_nobody.kill()
    job = world.start(plan)
    current_app.control.purge()  # what was rung is lost
    _applied_in_spite_of(world, job, time.time())


@fault("what is no message at all is pushed into the queue")
def forged_bytes(world: World, rng: Random) -> None:
    """A worker may die of it; its successor goes on."""
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(120)
    for junk in (b"junk", b"{}", b'{"body": "!", "headers": {}, "properties": {}}', rng.randbytes(64)):
        _client().lpush(settings.CELERY_TASK_DEFAULT_QUEUE, junk)
    _applied_in_spite_of(world, world.start(plan), time.time())


@fault("the broker restarts, forgets everything, and is down at the start and at a resume")
def broker_restarts(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(200)
    job = world.start(plan)
    _kill_broker(world)
    time.sleep(rng.uniform(0.1, 0.5))
    world.services_up()
    _applied_in_spite_of(world, job, time.time())

    _, plan = world.approved_incident(120)
    job = world.start(plan)
    _client().flushall()
    _applied_in_spite_of(world, job, time.time())

    _, plan = world.approved_incident(120)
    _kill_broker(world)
    job = world.start(plan)  # approved and started though nobody can be rung for
    pause_job(job, acting_user=world.engineer)
    resume_job(job, acting_user=world.engineer)
    world.services_up()
    _applied_in_spite_of(world, job, time.time())


@fault("the broker hangs, and is out of memory")
def broker_suffers(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(120)
    broker = world.broker()
    assert broker is not None
    broker.suspend()
    try:
        began = time.time()
        job = world.start(plan)
        world.judge.that("I6", time.time() - began < 60, "a start hung with the broker")
    finally:
        broker.resume()
    _applied_in_spite_of(world, job, time.time())

    _, plan = world.approved_incident(120)
    _client().config_set("maxmemory", 1)
    try:
        job = world.start(plan)
        time.sleep(1.0)
    finally:
        _client().config_set("maxmemory", "256mb")
    _applied_in_spite_of(world, job, time.time())


def _kill_broker(world: World) -> None:
    broker = world.broker()
    assert broker is not None
    stop_process(broker, patience_seconds=0)
