"""A database that restarts, ends connections, refuses, or answers to nobody."""

import signal
import subprocess
import time
from contextlib import suppress
from random import Random
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connection

from remediation.models import Job
from tests.faults.catalogue import fault
from tests.faults.proxy import AnswerLosingProxy
from tests.faults.world import World


def _finished(world: World, job: Job, since: float) -> None:
    world.await_end(job)
    world.recovered(since)
    world.judge.that("I1", job.status == Job.Status.FINISHED, f"the job ended {job.status}: {job.failure}")
    assert job.plan is not None
    world.settle(job.plan)


@fault("PostgreSQL restarts at once, as after a crash")
def database_restarts(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(200)
    world.arm("apply.before_commit", "sleep:0.5")
    job = world.start(plan)
    time.sleep(rng.uniform(0.1, 0.6))
    postmaster = world.postmaster()
    postmaster.send_signal(signal.SIGQUIT)
    postmaster.wait(30)
    connection.close()
    world.services_up()
    _finished(world, job, time.time())


@fault("pg_terminate_backend in the middle of a chunk")
def connections_ended(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(200)
    names = [
        world.arm(point, "disconnect")
        for point in ("apply.before_commit", "apply.after_commit", "lease.after")
    ]
    job = world.start(plan)
    began = time.time()
    with world.administration() as admin:
        for _ in range(5):
            time.sleep(rng.uniform(0.02, 0.2))
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'amends test worker'"
            )
    _finished(world, job, began)
    world.judge.that("I6", any(world.fired(name) for name in names), "no worker came by")


@fault("deadlocks, serialization failures, lock and statement timeouts", quick=True)
def refusals(world: World, rng: Random) -> None:
    world.want_workers(concurrency=2)
    _, plan = world.approved_incident(160)
    states = ["40P01", "40001", "55P03", "57014"]
    rng.shuffle(states)
    names = [
        world.arm(rng.choice(("apply.before_commit", "lease.after")), f"sqlstate:{state}") for state in states
    ]
    job = world.start(plan)
    began = time.time()
    _finished(world, job, began)
    world.judge.that("I6", all(world.fired(name) for name in names), "not every refusal was met")


@fault("somebody edits the same rows in the wrong order, and holds them for long")
def concurrent_edit(world: World, rng: Random) -> None:
    """A real deadlock and real lock timeouts: the edit takes the last row first, waits for the first, and sits on both."""
    world.want_workers(concurrency=2)
    incident, plan = world.approved_incident(60)
    lock = "SELECT FROM transactions_currentcalculation WHERE transaction_id = %s FOR UPDATE"
    with world.owner() as owner:
        owner.autocommit = False
        owner.execute("SET lock_timeout = '10s'")
        owner.execute(lock, [incident.ids[15]])
        job = world.start(plan)
        time.sleep(0.6)
        with suppress(
            psycopg.OperationalError
        ):  # whichever of the two is given up: what counts is how the job ends
            owner.execute(lock, [incident.ids[2]])
            time.sleep(2.5)  # longer than a chunk waits for a lock
        owner.rollback()
    _finished(world, job, time.time())


@fault("the answer to a commit is lost", quick=True)
def answer_lost(world: World, rng: Random) -> None:
    """The database committed, and the worker is told nothing: it must see what happened, and not do it again."""
    proxy = AnswerLosingProxy(world.folder / "proxy", settings.HOME.sockets / ".s.PGSQL.5432")
    parts = urlsplit(settings.HOME.application_url())
    through_proxy = parts.netloc.replace(
        quote(str(settings.HOME.sockets), safe=""), quote(str(proxy.folder), safe="")
    )
    with proxy:
        world.want_workers(concurrency=1, DATABASE_URL=urlunsplit(parts._replace(netloc=through_proxy)))
        _, plan = world.approved_incident(120)
        proxy.lose_answers = 3
        job = world.start(plan)
        _finished(world, job, time.time())
        world.judge.that("I6", proxy.lose_answers == 0, f"{proxy.lose_answers} answers were not lost")


@fault("a worker's clock is a day off")
def wrong_clock(world: World, rng: Random) -> None:
    """A shared object made here shifts every wall clock of the worker's processes; leases go by the database's."""
    shim = _clock_shim(world)
    for days in (1, -1):
        world.want_workers(concurrency=2, LD_PRELOAD=shim, FAULTS_CLOCK_SECONDS=str(days * 86_400))
        world.want_workers_too(concurrency=1)
        _, plan = world.approved_incident(160)
        name = world.arm("lease.after", "kill")
        job = world.start(plan)
        _finished(world, job, time.time())
        world.kills += world.fired(name) is not None


def _clock_shim(world: World) -> str:
    source, made = world.folder / "clock.c", world.folder / "clock.so"
    source.write_text(_SHIM, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return str(made)


_SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) { const char *s = getenv("FAULTS_CLOCK_SECONDS"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, t);
    if (code == 0 && id == CLOCK_REALTIME) t->tv_sec += shift();
    return code;
}
time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *tv, void *zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec; tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""
