"""The supervisor as people run it: nobody else recovers, rings or restarts here."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import psutil

from remediation.models import Job
from tests.faults.catalogue import fault
from tests.faults.world import World
from tests.worker_process import ROOT

LEASE_SECONDS = "5"


@contextmanager
def supervisor(world: World) -> Iterator[psutil.Process]:
    """`manage.py supervise` with two processes, its log in the world's folder."""
    with (world.folder / "supervisor.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "manage.py", "supervise", "--workers", "2"],
            cwd=ROOT,
            env=os.environ | {"AMENDS_LEASE_SECONDS": LEASE_SECONDS, "AMENDS_LOG_LEVEL": "INFO"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = psutil.Process(started.pid)
    try:
        yield process
    finally:
        family = [process, *process.children(recursive=True)] if process.is_running() else []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        started.wait(20)


def _worker(process: psutil.Process) -> psutil.Process:
    """The supervisor's worker: the one with pool processes below it."""
    return next(child for child in process.children() if "worker" in child.cmdline())


def _with_pool(process: psutil.Process) -> bool:
    try:
        return len(_worker(process).children()) >= 2
    except (StopIteration, psutil.NoSuchProcess):
        return False


def _recovers(world: World, harm: Callable[[psutil.Process], None], *, point: str = "lease.after") -> None:
    """A correction by a supervised worker; once a chunk is in hand `harm` is done, and nobody but the supervisor helps."""
    with supervisor(world) as process:
        world.until(lambda: _with_pool(process), tending=False)
        _, plan = world.approved_incident_untended(100)
        name = world.arm(point, "sleep:0.5")
        job = world.start(plan)
        world.await_fired(name)
        harm(process)
        at = time.time()
        world.until(lambda: _ended(job), tending=False, seconds=120)
        world.recovered(at)
        world.judge.that("I1", job.status == Job.Status.FINISHED, f"{job.status}: {job.failure}")
        world.settle_here(plan)


def _ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.ended


@fault("the supervisor's worker group is killed with -9")
def group_killed(world: World, rng: Random) -> None:
    def harm(process: psutil.Process) -> None:
        worker = _worker(process)
        for member in [worker, *worker.children(recursive=True)]:
            member.kill()
            world.kills += 1
        world.group_kills += 1

    _recovers(world, harm)


@fault("the supervisor's pool hangs while its worker answers every ping")
def pool_hangs(world: World, rng: Random) -> None:
    """It lives, it answers, and it does nothing: only that work lies about shows it."""

    def harm(process: psutil.Process) -> None:
        for member in _worker(process).children(recursive=True):
            member.send_signal(signal.SIGSTOP)

    _recovers(world, harm)


@fault("two supervisors' beats, one killed")
def two_beats(world: World, rng: Random) -> None:
    beats = [
        subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "backoffice", "beat", "--pidfile="],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        _recovers(world, lambda process: beats[0].kill())
    finally:
        for beat in beats:
            beat.kill()
            beat.wait(10)
