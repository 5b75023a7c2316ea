"""`python -m benchmarks.finder --rows 1000000`: how long the finder takes, beside Django admin's stock change list of the same rows.

Warm, one question at a time, as the application's role. Prints a table, writes JSON to benchmarks/results/.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

from django.contrib.admin import AdminSite, ModelAdmin  # noqa: E402 (Django is set up above)
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.report import console, machine, write_result  # noqa: E402
from transactions.estimate import estimate  # noqa: E402
from transactions.finder import Place, count, page  # noqa: E402
from transactions.models import CurrentCalculation, Release  # noqa: E402
from transactions.rollups import recount  # noqa: E402
from transactions.selection import Selection  # noqa: E402

BEGIN = datetime(2026, 1, 15, 8, 17, 23, tzinfo=UTC)
"""Within an hour, as does the end lie, so that both hours are counted from rows."""
WINDOW = Selection(
    "pricing",
    services=("payments",),
    versions=("1.9.0",),
    calculated_from=BEGIN,
    calculated_before=BEGIN + timedelta(hours=41),
)
EVERYTHING = Selection("pricing")
TARGET = "2.0.0"
WANTED_MILLISECONDS = {"count and histogram": 150, "first page": 150, "deep page": 150, "estimate": 1000}
_WARM_UPS = 3
_MOST_SECONDS = 30.0


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a question asked `times` times, and what is wanted of the slowest twentieth, if anything."""

    who: str
    what: str
    where: str
    times: int
    p50: float
    p95: float
    wanted: int | None

    @property
    def reached(self) -> bool:
        """Whether it is as fast as wanted."""
        return self.wanted is None or self.p95 <= self.wanted


def main() -> int:
    """0 where every figure is as wanted, 1 where one is not."""
    parser = argparse.ArgumentParser(prog="benchmarks.finder", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="Transactions that there are.")
    parser.add_argument("--times", type=int, default=40, help="How often each question is asked.")
    options = parser.parse_args()
    with servers():
        measured = _measure(options.rows, options.times)
    write_result("finder-", measured)
    return 0 if all(line["reached"] for line in measured["timings"]) else 1


def _measure(rows: int, times: int) -> dict[str, Any]:
    fresh_copy(template_of(rows))
    settle()
    if differences := recount():
        raise AssertionError(f"The rollups are not what the rows say: {differences[:3]}")
    matched = {"window": count(WINDOW).matched, "everything": count(EVERYTHING).matched}
    console.print(
        f"{matched['everything']:,} transactions, {matched['window']:,} in the 41 hours of one release."
    )
    timings: list[Timing] = []
    for where, selection in (("41 hours of a release", WINDOW), ("everything", EVERYTHING)):
        timings += _of_finder(where, selection, times)
        timings += _of_stock_change_list(where, selection)
    _print(timings)
    return {
        "timings": [vars(timing) | {"reached": timing.reached} for timing in timings],
        "matched": matched,
        "rows": rows,
        "server": durability(),
        "machine": machine(),
    }


def _of_finder(where: str, selection: Selection, times: int) -> list[Timing]:
    deep, euros = _deep(selection), replace(selection, currencies=("EUR",))
    questions: dict[str, Callable[[int], object]] = {
        "count and histogram": lambda _: count(selection),
        "first page": lambda _: page(selection),
        "deep page": lambda _: page(selection, after=deep),
        "estimate": lambda seed: estimate(selection, TARGET, seed=seed),
        "count, euros only": lambda _: count(euros),
        "first page, euros only": lambda _: page(euros),
    }
    return [
        _timed("Amends", what, where, times, ask, WANTED_MILLISECONDS.get(what))
        for what, ask in questions.items()
    ]


def _deep(selection: Selection) -> Place:
    """A place nine tenths into what the last release of a selection calculated."""
    release = selection.releases()[-1]
    condition = selection.condition()
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH numbered AS (SELECT calculated_at, id FROM transactions_calculation c WHERE release_id = %(release)s AND {condition.sql})
            SELECT calculated_at, id FROM numbered ORDER BY calculated_at, id
            OFFSET (SELECT count(*) * 9 / 10 FROM numbered) LIMIT 1
            """,
            condition.params | {"release": release.pk},
        )
        return Place(release.pk, *cursor.fetchone())


class _StockAdmin(ModelAdmin):  # type: ignore[type-arg]
    """What one would register: the columns of the finder's page, a filter and a date hierarchy."""

    list_display = ("transaction", "reference", "store", "currency", "release", "calculated_at", "total")
    list_select_related = ("transaction__store", "calculation__release")
    list_filter = ("calculation__release",)
    date_hierarchy = "calculation__calculated_at"

    def lookup_allowed(self, *_: object) -> bool:
        return True

    def reference(self, current: CurrentCalculation) -> str:
        return current.transaction.reference

    def store(self, current: CurrentCalculation) -> str:
        return current.transaction.store.reference

    def currency(self, current: CurrentCalculation) -> str:
        return current.transaction.currency

    def release(self, current: CurrentCalculation) -> str:
        return str(current.calculation.release)

    def calculated_at(self, current: CurrentCalculation) -> datetime:
        return current.calculation.calculated_at

    def total(self, current: CurrentCalculation) -> int:
        return current.calculation.total


def _of_stock_change_list(where: str, selection: Selection) -> list[Timing]:
    """Its queries for a page: the counts and the rows. Making HTML of them is left out, in its favour."""
    query: dict[str, str] = {}
    if selection.calculated_from is not None and selection.calculated_before is not None:
        release = Release.objects.get(service=selection.services[0], version=selection.versions[0])
        query = {
            "calculation__release__id__exact": str(release.pk),
            "calculation__calculated_at__gte": selection.calculated_from.isoformat(),
            "calculation__calculated_at__lt": selection.calculated_before.isoformat(),
        }
    admin = _StockAdmin(CurrentCalculation, AdminSite())
    somebody = User(username="peer", is_superuser=True, is_staff=True, is_active=True)

    def ask(number: int) -> object:
        request = RequestFactory().get("/", query | {"p": str(number)})
        request.user = somebody
        shown = admin.get_changelist_instance(request)
        return list(shown.result_list)

    last = count(selection).matched * 9 // 10 // admin.list_per_page
    return [
        _timed("Django admin", "first page, with its count", where, 5, lambda _: ask(1), None),
        _timed("Django admin", "deep page, with its count", where, 5, lambda _: ask(max(last, 1)), None),
    ]


def _timed(
    who: str, what: str, where: str, times: int, ask: Callable[[int], object], wanted: int | None
) -> Timing:
    """Asked again and again, but no longer than half a minute."""
    begun, taken = time.perf_counter(), []
    for turn in range(_WARM_UPS + times):
        start = time.perf_counter()
        ask(turn)
        if turn >= _WARM_UPS or time.perf_counter() - begun > _MOST_SECONDS:
            taken.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - begun > _MOST_SECONDS:
            break
    p95 = quantiles(taken, n=20, method="inclusive")[-1] if len(taken) > 1 else taken[0]
    timing = Timing(who, what, where, len(taken), median(taken), p95, wanted)
    console.print(f"{who}: {what}, {where}: {timing.p50:,.1f} ms, {timing.p95:,.1f} ms of {len(taken)}")
    return timing


def _print(timings: list[Timing]) -> None:
    table = Table("who", "what", "where", "times", "p50 ms", "p95 ms", "wanted")
    for each in timings:
        p95 = f"{each.p95:,.1f}" if each.reached else f"[bold red]{each.p95:,.1f}[/bold red]"
        wanted = "–" if each.wanted is None else f"≤ {each.wanted:,}"
        table.add_row(each.who, each.what, each.where, str(each.times), f"{each.p50:,.1f}", p95, wanted)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
