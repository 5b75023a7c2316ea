"""`python -m benchmarks.audit`: what the trail costs, and what it would cost as most people write it.

- The main job with a sealer at work: corrections a second that an apply covers, and the audit's part of the job's processor time: leaves in
  Python and in SQL, the Merkle trees, and sealing.
- A small audited action, one after the other, in turns with a sealer at work and without: whether sealing delays writers.
- The peer: a row for each correction, hashed with the one before it by a row trigger under a global lock, by two connections.

Writes benchmarks/results/audit-….json.
"""

import argparse
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

import psycopg  # noqa: E402 (Django is set up above)
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from audit.merkle import merkle_root, split_leaves  # noqa: E402
from audit.models import AuditEntry  # noqa: E402
from audit.seal import connect  # noqa: E402
from audit.sealer import SECONDS_BETWEEN, seal_all  # noqa: E402
from audit.trail import record  # noqa: E402
from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import run_product  # noqa: E402
from benchmarks.report import console, figure, machine, tell_figures, write_result  # noqa: E402
from benchmarks.settings import OWNER_URL  # noqa: E402
from remediation.events import CASE_OPENED, CaseOpened  # noqa: E402
from remediation.models import Case, Plan, PlanChunkLeaves  # noqa: E402

WANTED_COVERED, WANTED_DELAY, WANTED_SHARE = 50_000, 1.10, 0.20
ACTIONS, ROUNDS = 300, 5
PEER_ROWS = 10_000
"""Of each of the peer's connections."""

_PEER = """
    CREATE TABLE bench_trail (
        id bigserial PRIMARY KEY, transaction_id bigint NOT NULL, before jsonb NOT NULL, after jsonb NOT NULL, hash bytea);
    CREATE FUNCTION bench_chain() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(4711);
        NEW.hash := sha256(coalesce((SELECT hash FROM bench_trail ORDER BY id DESC LIMIT 1), ''::bytea)
            || convert_to(concat_ws('|', NEW.transaction_id, NEW.before, NEW.after), 'UTF8'));
        RETURN NEW;
    END $$;
    CREATE TRIGGER chained BEFORE INSERT ON bench_trail FOR EACH ROW EXECUTE FUNCTION bench_chain();
"""


def main() -> int:
    """0 where every figure is as wanted, 1 where one is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions; two in five are corrected")
    options = parser.parse_args()
    with servers():
        measured = _measure(options.rows)
        measured |= {"rows": options.rows, "machine": machine(), "database": durability()}
    write_result("audit-", measured)
    return tell_figures(measured["figures"], beside=measured["beside"])


def _measure(rows: int) -> dict[str, Any]:
    fresh_copy(template_of(rows))
    settle()
    with _sealing():
        times = run_product(LEAN_VERSION, 2)
    covered = times.rows / times.apply
    console.print(f"Job: preview {times.preview:.2f} s, apply {times.apply:.2f} s")
    hashing = _hashing_seconds()
    share = hashing / (2 * (times.preview + times.apply))
    delays = _delays()
    peer = _peer()
    return {
        "figures": [
            figure("corrections covered a second, through apply", covered, WANTED_COVERED),
            figure(
                "p95 of an audited action with a sealer, of that without",
                delays["with"] / delays["without"],
                WANTED_DELAY,
                at_most=True,
            ),
            figure("the audit's part of a job's processor time", share, WANTED_SHARE, at_most=True),
        ],
        "beside": {
            "p95 of an audited action with a sealer, ms": 1e3 * delays["with"],
            "p95 of an audited action without, ms": 1e3 * delays["without"],
            "the peer: rows chained a second by a trigger": peer,
            "times the peer": covered / peer,
        },
    }


@contextmanager
def _sealing() -> Iterator[None]:
    """A sealer at work meanwhile, at its usual pace."""
    stopping = threading.Event()

    def seal() -> None:
        with connect() as sealer:
            while not stopping.is_set():
                seal_all(sealer)
                stopping.wait(SECONDS_BETWEEN)

    thread = threading.Thread(target=seal)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _hashing_seconds() -> float:
    """Seconds of one processor that the job spent on hashes: leaves once in Python and once in SQL, both trees, every seal."""
    plan = Plan.objects.latest("pk")
    leaves_in_sql = _leaves_in_sql(plan)
    stored = [bytes(each.leaves) for each in PlanChunkLeaves.objects.filter(plan_chunk__plan=plan)]
    trees = _seconds(lambda: [merkle_root(split_leaves(leaves)) for leaves in stored])
    # A preview hashes the same octets in Python, which takes no longer than in SQL: 1.5 against 1.7 µs a row (docs/performance.md).
    entries = AuditEntry.objects.count()
    with connect() as sealer:
        _write_entries(entries)
        sealing = _seconds(lambda: seal_all(sealer))
    console.print(
        f"Leaves in SQL {leaves_in_sql:.2f} s, trees {trees:.2f} s, sealing {entries} entries {sealing:.2f} s"
    )
    return 2 * leaves_in_sql + trees + sealing


def _leaves_in_sql(plan: Plan) -> float:
    """What hashing adds to reading a plan's rows: the same with leaves and without."""
    took = {}
    for name, column in (("with", "leaf"), ("without", "delta")):
        begun = time.perf_counter()
        with connection.cursor() as cursor:
            for chunk in plan.chunks.values_list("pk", flat=True):
                cursor.execute(
                    f"SELECT count(move.{column}) FROM amends_chunk_moves(%s, 0, 9223372036854775807) AS move",
                    [chunk],
                )
        took[name] = time.perf_counter() - begun
    return max(took["with"] - took["without"], 0.0)


def _delays() -> dict[str, float]:
    """p95 in seconds of writing one audited change, with a sealer and without: the median of rounds taken in turns."""
    found: dict[str, list[float]] = {"with": [], "without": []}
    _write_entries(50)
    for _ in range(ROUNDS):
        with _sealing():
            found["with"].append(_p95())
        found["without"].append(_p95())
    return {name: median(each) for name, each in found.items()}


def _p95() -> float:
    return quantiles([_seconds(lambda: _write_entries(1)) for _ in range(ACTIONS)], n=20)[-1]


def _write_entries(count: int) -> None:
    case, user = Case.objects.latest("pk"), User.objects.get(username="engineer")
    data = CaseOpened(criteria={"calculator": "pricing"}, target_version="2.0.0", ticket="")
    for _ in range(count):
        with transaction.atomic():
            record(CASE_OPENED, case, data, actor=user, reason="A benchmark.")


def _peer() -> float:
    """Rows a second that two connections write into a table whose trigger chains each to the one before."""
    with psycopg.connect(OWNER_URL, autocommit=True) as owner:
        owner.execute("DROP TABLE IF EXISTS bench_trail; DROP FUNCTION IF EXISTS bench_chain()")
        owner.execute(_PEER)
    connection.close()
    begun = time.perf_counter()
    processes = [multiprocessing.Process(target=_write_chained, args=(part,)) for part in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return 2 * PEER_ROWS / (time.perf_counter() - begun)


def _write_chained(part: int) -> None:
    with psycopg.connect(OWNER_URL) as owner:
        for start in range(0, PEER_ROWS, 1000):
            owner.execute(
                "INSERT INTO bench_trail (transaction_id, before, after) SELECT c.transaction_id, r.amounts, c.amounts"
                " FROM (SELECT * FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL ORDER BY id OFFSET %s LIMIT 1000) c"
                " JOIN transactions_calculation r ON r.id = c.replaces_id",
                [part * PEER_ROWS + start],
            )
            owner.commit()


def _seconds(do: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
