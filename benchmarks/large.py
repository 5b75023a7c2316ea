"""`python -m benchmarks.large`: what a correction costs at ten million transactions beside one million, and two workers beside one.

The same incident at both sizes, in one run. Its result is kept in benchmarks/results/, with machine, date and versions: it takes long, and
needs some 20 GB of disk.
"""

import argparse
import os
import sys
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

from rich.table import Table  # noqa: E402 (Django is set up above)

from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import ProductTimes, run_product  # noqa: E402
from benchmarks.report import console, figure, machine, tell_figures, write_result  # noqa: E402

WANTED = {"growth": 1.15, "workers": 1.5}


def main() -> int:
    """0 where both figures are as wanted, 1 where one is not."""
    parser = argparse.ArgumentParser(prog="benchmarks.large", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="Transactions of the large incident.")
    parser.add_argument("--base", type=int, default=1_000_000, help="Transactions that it is compared with.")
    options = parser.parse_args()
    with servers():
        measured = _measure(options.rows, options.base)
    _print(measured)
    write_result("large-", measured)
    return tell_figures(measured["figures"])


def _measure(rows: int, base: int) -> dict[str, Any]:
    runs = {
        "base": _run(base, 2),
        "base, one worker": _run(base, 1),
        "large": _run(rows, 2),
        "base, again": _run(base, 2),
    }
    cost = {name: 1e6 * (run.preview + run.apply) / run.rows for name, run in runs.items()}
    growth = cost["large"] / min(cost["base"], cost["base, again"])
    speedup = cost["base, one worker"] / cost["base"]
    return {
        "figures": [
            figure(
                f"cost of a correction at {rows:,} transactions, of that at {base:,}",
                growth,
                WANTED["growth"],
                at_most=True,
            ),
            figure("two workers, times as fast as one", speedup, WANTED["workers"]),
        ],
        "microseconds_a_row": cost,
        "runs": {name: vars(run) for name, run in runs.items()},
        "server": durability(),
        "machine": machine(),
    }


def _run(rows: int, workers: int) -> ProductTimes:
    console.print(f"{rows:,} transactions, {workers} workers … ", end="")
    template = template_of(rows)
    fresh_copy(template)
    settle()
    times = run_product(LEAN_VERSION, workers)
    console.print(
        f"preview {times.preview:.2f} s, apply {times.apply:.2f} s: {times.rows / (times.preview + times.apply):,.0f} rows/s"
    )
    return times


def _print(measured: dict[str, Any]) -> None:
    runs = Table("Run", "Corrections", "Preview, s", "Apply, s", "µs a row", "Worker's peak, MB")
    for name, run in measured["runs"].items():
        runs.add_row(
            name,
            f"{run['rows']:,}",
            f"{run['preview']:.2f}",
            f"{run['apply']:.2f}",
            f"{measured['microseconds_a_row'][name]:.1f}",
            f"{run['megabytes']:.0f}",
        )
    console.print(runs)


if __name__ == "__main__":
    sys.exit(main())
