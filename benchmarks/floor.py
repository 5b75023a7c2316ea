"""The floor: what PostgreSQL itself needs for the same rows. It reads, COPYs rows of the same size and moves pointers, and nothing else.

No calculator, no comparison, no hash, no lease, no approval, no audit. The same tables with the same indexes and constraints, the same
chunks, as many processes, one transaction a chunk, locks in transaction-id order, the server's durability.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg

SETTINGS = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET max_parallel_workers_per_gather = 0"
"""What the product asks of the planner (`remediation.scan.ROW_BY_ROW`). PostgreSQL by itself joins whole tables for every chunk at a
million rows; given these, the floor is half as fast again. Who writes a floor would not think of them: it is measured with and without.
"""

READ = """
SELECT c.id, c.transaction_id, c.calculated_at, c.amounts::text, c.total, t.inputs::text, t.scale, t.currency, t.facts_hash
FROM transactions_calculation c
JOIN transactions_currentcalculation current ON current.transaction_id = c.transaction_id AND current.calculation_id = c.id
JOIN transactions_transaction t ON t.id = c.transaction_id
WHERE c.release_id = %(release)s
  AND (c.calculated_at, c.id) > (%(after_at)s, %(after_id)s) AND (c.calculated_at, c.id) <= (%(through_at)s, %(through_id)s)
ORDER BY c.transaction_id"""

COPY = """
COPY transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id) FROM STDIN"""

LOCK = """
SELECT count(*) FROM (
    SELECT FROM transactions_currentcalculation
    WHERE transaction_id = ANY (ARRAY(SELECT transaction_id FROM transactions_calculation WHERE plan_chunk_id = %(chunk)s))
    ORDER BY transaction_id FOR UPDATE) AS locked"""

MOVE = """
UPDATE transactions_currentcalculation current SET calculation_id = proposal.id
FROM transactions_calculation proposal
WHERE proposal.plan_chunk_id = %(chunk)s
  AND current.transaction_id = proposal.transaction_id AND current.calculation_id = proposal.replaces_id"""

SQL_TEXT = (
    f"-- each connection of the tuned floor\n{SETTINGS};\n\n-- preview, a transaction a chunk{READ};{COPY};\n\n"
    f"-- apply, a transaction a chunk{LOCK};{MOVE};"
)

_FIRST_CHUNK = 1_000_000_000  # numbers that no plan's chunk has


@dataclass(frozen=True)
class FloorChunk:
    """A part of the wrong release's keyset, and the release to write."""

    number: int
    release: int
    target: int
    after_at: datetime
    after_id: int
    through_at: datetime
    through_id: int


@dataclass(frozen=True)
class FloorTimes:
    """Seconds of both phases, and rows moved."""

    preview: float
    apply: float
    rows: int


def run_floor(owner_url: str, chunks: list[FloorChunk], processes: int, *, settings: str = "") -> FloorTimes:
    """Do the floor's work on `chunks` with `processes` processes, each connection under `settings`.

    Raises `RuntimeError` where one of them fails.
    """
    context = get_context("spawn")
    barrier = context.Barrier(processes + 1)
    work: dict[str, Queue[FloorChunk | None]] = {phase: context.Queue() for phase in ("preview", "apply")}
    for queue in work.values():
        for chunk in [*chunks, *[None] * processes]:
            queue.put(chunk)
    moved = context.Queue()
    workers = [
        context.Process(
            target=_work,
            args=(owner_url, settings, barrier, work["preview"], work["apply"], moved),
            daemon=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    barrier.wait(120)
    times = []
    for _ in work:
        begun = time.perf_counter()
        barrier.wait(3600)
        times.append(time.perf_counter() - begun)
    rows = sum(moved.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)
        if worker.exitcode != 0:
            raise RuntimeError(f"A process of the floor ended with {worker.exitcode}.")
    return FloorTimes(times[0], times[1], rows)


def _work(
    owner_url: str,
    settings: str,
    barrier: Barrier,
    preview: "Queue[FloorChunk | None]",
    apply: "Queue[FloorChunk | None]",
    moved: "Queue[int]",
) -> None:
    try:
        with psycopg.connect(owner_url, autocommit=True, application_name="amends bench floor") as connection:
            if settings:
                connection.execute(settings)
            barrier.wait(120)
            while (chunk := preview.get()) is not None:
                _preview(connection, chunk)
            barrier.wait(3600)
            rows = 0
            while (chunk := apply.get()) is not None:
                rows += _apply(connection, chunk)
            barrier.wait(3600)
            moved.put(rows)
    except BaseException:
        barrier.abort()  # nobody waits for a process that is gone
        raise


def _preview(connection: "psycopg.Connection[Any]", chunk: FloorChunk) -> None:
    rows = connection.execute(READ, chunk.__dict__).fetchall()
    ending = f"\t{datetime.now().astimezone().isoformat()}\t{_FIRST_CHUNK + chunk.number}\t"
    lines = [
        f"{transaction_id}\t{chunk.target}\t{amounts}\t{total}{ending}{calculation_id}\n"
        for calculation_id, transaction_id, _, amounts, total, *_ in rows
    ]
    with connection.transaction(), connection.cursor().copy(COPY) as copy:
        copy.write("".join(lines))


def _apply(connection: "psycopg.Connection[Any]", chunk: FloorChunk) -> int:
    proposed = {"chunk": _FIRST_CHUNK + chunk.number}
    with connection.transaction():
        connection.execute(LOCK, proposed)
        return connection.execute(MOVE, proposed).rowcount
