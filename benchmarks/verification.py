"""`python -m benchmarks.verification`: how fast everything that the trail covers is verified, after the incident was corrected.

Whole, with as many connections as asked for; a finding makes the run fail. Processor time is this process's and the server's, since a busy
machine tells little by the clock. Writes benchmarks/results/verification-….json.
"""

import argparse
import os
import resource
import sys
import time
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

import psutil  # noqa: E402 (Django is set up above)
from django.db import connection  # noqa: E402

from audit.seal import connect, seal_waiting  # noqa: E402
from audit.verification import verify_everything  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import WrongResult, run_product  # noqa: E402
from benchmarks.report import figure, machine, tell_figures, write_result  # noqa: E402
from transactions.leaves import cover_batch  # noqa: E402
from transactions.models import IngestBatch  # noqa: E402


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verification", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions; two in five are corrected")
    parser.add_argument("--connections", type=int, default=2)
    asked = parser.parse_args(arguments)
    with servers():
        fresh_copy(template_of(asked.rows))
        for batch in IngestBatch.objects.all():
            cover_batch(batch)
        run_product("2.0.0", 2)
        with connect() as sealer:
            while seal_waiting(sealer):
                continue
        settle()
        measured = _measure(asked.connections)
        measured |= {"rows": asked.rows, "machine": machine(), "database": durability()}
    write_result("verification-", measured)
    return tell_figures(measured["figures"], beside=measured["beside"])


def _measure(connections: int) -> dict[str, Any]:
    cpu = _processor_seconds()
    begun = time.perf_counter()
    verification = verify_everything(connections=connections)
    seconds = time.perf_counter() - begun
    cpu = _processor_seconds() - cpu
    if verification.result != "ok":
        raise WrongResult(f"{verification.result}: {verification.findings[:3]}")
    corrections = verification.rows["corrections"]
    calculations = corrections + verification.rows["calculations that came in"]
    return {
        "connections": connections,
        "seconds": seconds,
        "processor_seconds": cpu,
        "verified": verification.rows,
        "figures": [
            figure("Calculations verified a second, with facts and pointers", calculations / seconds, 100_000)
        ],
        "beside": {
            "Calculations a second of two free processors": calculations / (cpu / 2),
            "Corrections a second, their uncorrected neighbours verified too": corrections / seconds,
            "Corrections a second of two free processors": corrections / (cpu / 2),
            "Most memory of this process, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        },
    }


def _processor_seconds() -> float:
    """Of this process and of all the server's, those that have ended included."""
    time.sleep(1)  # one that ends just now would be counted neither among the living nor among the ended
    connection.ensure_connection()
    server = psutil.Process(connection.connection.info.backend_pid).parent()
    assert server is not None
    ended = server.cpu_times()
    found = time.process_time() + float(ended.children_user) + float(ended.children_system)
    for process in server.children():
        times = process.cpu_times()
        found += float(times.user) + float(times.system)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
