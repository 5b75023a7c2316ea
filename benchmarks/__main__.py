"""`python -m benchmarks --rows 1000000 --workers 2`: measures, prints a table, writes JSON to benchmarks/results/."""

import argparse
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

from rich.table import Table  # noqa: E402 (Django is set up above)

from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.django_ways import bulk_update, save_each  # noqa: E402
from benchmarks.floor import SETTINGS, SQL_TEXT, FloorTimes, run_floor  # noqa: E402
from benchmarks.product import ProductTimes, floor_chunks, run_product  # noqa: E402
from benchmarks.report import console, figure, machine, tell_figures, write_result  # noqa: E402
from benchmarks.settings import OWNER_URL  # noqa: E402

SMALL = 100_000
"""Transactions of the run that the worker's memory is compared with."""
SHIPPED_VERSION = "2.0.0"
WANTED = {"floor": 0.7, "bulk_update": 25.0, "save": 50.0, "megabytes": 300.0, "more_megabytes": 20.0}


def main() -> int:
    """0 where every figure is as wanted, 1 where one is not."""
    options = _arguments()
    with servers():
        measured = _measure(options)
    _print(measured)
    write_result("", measured)
    return tell_figures(measured["figures"], beside=measured["of_the_floor"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="Transactions; two of five are corrected."
    )
    parser.add_argument("--workers", type=int, default=2, help="Processes, of the product and of the floor.")
    parser.add_argument(
        "--rounds", type=int, default=3, help="Times the product is measured, a floor before and after each."
    )
    parser.add_argument("--bulk-rows", type=int, default=20_000, help="Rows that bulk_update is measured on.")
    parser.add_argument("--save-rows", type=int, default=5_000, help="Rows that save() is measured on.")
    options = parser.parse_args()
    for name, value in vars(options).items():
        if value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return options


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    template, small = _step(
        "Load", lambda: (template_of(options.rows), template_of(min(options.rows, SMALL)))
    )
    workers = options.workers
    floors = [_on_copy(template, "Floor", lambda: _floor(workers))]
    tuned, products = [], []
    for _ in range(options.rounds):
        products.append(_on_copy(template, "Product", lambda: run_product(LEAN_VERSION, workers)))
        floors.append(_on_copy(template, "Floor", lambda: _floor(workers)))
        tuned.append(_on_copy(template, "Floor, tuned", lambda: _floor(workers, SETTINGS)))
    shipped = _on_copy(
        template, f"Product, pricing {SHIPPED_VERSION}", lambda: run_product(SHIPPED_VERSION, workers)
    )
    floors.append(_on_copy(template, "Floor", lambda: _floor(workers)))
    few = _on_copy(
        small,
        f"Product, {min(options.rows, SMALL):,} transactions",
        lambda: run_product(LEAN_VERSION, workers),
    )
    bulk = _on_copy(template, "bulk_update + bulk_create", lambda: bulk_update(options.bulk_rows))
    saving = _on_copy(template, "save()", lambda: save_each(options.save_rows))
    settings = durability()

    around = [(_total(before) + _total(after)) / 2 for before, after in pairwise(floors)]
    ratios = [floor / _total(product) for floor, product in zip(around, products, strict=False)]
    shipped_ratio = around[-1] / _total(shipped)
    rate = median(_rate(product) for product in products)
    peak = max(product.megabytes for product in products)
    figures = [
        figure("preview + apply, of the floor's speed", median(ratios), WANTED["floor"]),
        figure("times bulk_update + bulk_create", rate / bulk, WANTED["bulk_update"]),
        figure("times save()", rate / saving, WANTED["save"]),
        figure("worker memory at its peak, MB", peak, WANTED["megabytes"], at_most=True),
        figure(
            f"MB more than at {min(options.rows, SMALL):,} transactions",
            peak - few.megabytes,
            WANTED["more_megabytes"],
            at_most=True,
        ),
    ]
    return {
        "figures": figures,
        "of_the_floor": {
            f"the same with the shipped calculator, pricing {SHIPPED_VERSION}": shipped_ratio,
            "the same, of a floor that is given the product's own plans": rate / median(map(_rate, tuned)),
        },
        "ratios": ratios,
        "rows_a_second": {
            "product": [_rate(product) for product in products],
            "product, shipped calculator": _rate(shipped),
            "floor": [_rate(floor) for floor in floors],
            "floor, given the product's own plans": [_rate(floor) for floor in tuned],
            "bulk_update": bulk,
            "save": saving,
        },
        "floors": [vars(floor) for floor in floors],
        "products": [vars(product) for product in products],
        "shipped": vars(shipped),
        "small": vars(few),
        "sizes": vars(options),
        "server": settings,
        "machine": machine(),
        "floor_sql": SQL_TEXT,
    }


def _step(what: str, do: Callable[[], Any]) -> Any:
    console.print(f"{what} … ", end="")
    result = do()
    if isinstance(result, FloorTimes | ProductTimes):
        console.print(
            f"preview {result.preview:.2f} s, apply {result.apply:.2f} s: {_rate(result):,.0f} rows/s"
        )
    else:
        console.print(f"{result:,.0f} rows/s" if isinstance(result, float) else "done")
    return result


def _on_copy(template: str, what: str, do: Callable[[], Any]) -> Any:
    fresh_copy(template)
    settle()
    return _step(what, do)


def _floor(workers: int, settings: str = "") -> FloorTimes:
    return run_floor(OWNER_URL, floor_chunks(), workers, settings=settings)


def _total(times: FloorTimes | ProductTimes) -> float:
    return times.preview + times.apply


def _rate(times: FloorTimes | ProductTimes) -> float:
    return times.rows / _total(times)


def _print(measured: dict[str, Any]) -> None:
    console.rule("The floor's SQL")
    console.print(measured["floor_sql"], markup=False, highlight=False)
    console.rule("Server")
    console.print(
        ", ".join(f"{name} {value}" for name, value in sorted(measured["server"].items())), highlight=False
    )
    table = Table("Rows a second, preview + apply", "each run")
    for name, rates in measured["rows_a_second"].items():
        table.add_row(
            name, ", ".join(f"{rate:,.0f}" for rate in (rates if isinstance(rates, list) else [rates]))
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
