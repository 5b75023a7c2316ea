"""`python -m benchmarks.pages`: how long each page takes to make, and how many queries, at a million transactions and 400,000 proposals.

Every page that anybody in any role can get to by following links from the first page is asked for, by Django's own client: server time.
The database holds a case that was previewed, applied and verified, its revert, ready to be decided on, and the trail of it all, sealed
or not.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median, quantiles

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

from django.conf import settings  # noqa: E402 (Django is set up above)
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from rich.table import Table  # noqa: E402

from backoffice.people import create_user  # noqa: E402
from backoffice.roles import ROLES  # noqa: E402
from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import run_product  # noqa: E402
from benchmarks.report import console, figure, machine, tell_figures, write_result  # noqa: E402
from benchmarks.workers import running_workers  # noqa: E402
from remediation.models import Case, Job  # noqa: E402
from remediation.revert import request_revert  # noqa: E402
from tests.reachable_pages import reachable_pages  # noqa: E402

WANTED_P95 = 0.200
ASKED_FOR = frozenset(
    {
        "admin:find_estimate",
        "admin:find_onset",
        "admin:remediation_job_workers_broker",
        "admin:remediation_plan_cause",
    }
)
"""Answers that recalculate a sample or ask every worker: asked for by a button, or after the page is there. Shown, and not among pages."""
WANTED_QUERIES = 30
ROUNDS = 20


@dataclass(frozen=True)
class PageTimes:
    """Of all of a view's pages, as everybody sees them: seconds, and the most queries that one of them takes."""

    median: float
    p95: float
    queries: int
    slowest: str
    asked: int


def main() -> int:
    """0 where every page is as wanted, 1 where one is not."""
    parser = argparse.ArgumentParser(prog="benchmarks.pages", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="Transactions of the incident.")
    options = parser.parse_args()
    with servers():
        fresh_copy(template_of(options.rows))
        settle()
        _incident()
        settle()
        times = _pages()
        server = durability()
    pages_alone = [each for view, each in times.items() if view not in ASKED_FOR]
    figures = [
        figure("slowest page's p95, s", max(each.p95 for each in pages_alone), WANTED_P95, at_most=True),
        figure(
            "most queries of a page",
            max(each.queries for each in times.values()),
            WANTED_QUERIES,
            at_most=True,
        ),
    ]
    _print(times)
    pages = {view: vars(each) for view, each in times.items()}
    write_result(
        "pages-",
        {
            "figures": figures,
            "pages": pages,
            "server": server,
            "machine": machine(),
            "rows": options.rows,
        },
    )
    return tell_figures(figures)


def _incident() -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    for role in ROLES:
        create_user(role, role, "a-password-of-nobody")
    run_product(LEAN_VERSION, 2, verify=True)
    case = Case.objects.get()
    engineer = User.objects.get(username="engineer")
    with running_workers(2, settings.HOME.logs / "bench-workers.log"):
        plan = request_revert(case, acting_user=engineer, reason="The contract was read wrongly.")
        job = plan.jobs.get()
        while job.status == Job.Status.RUNNING:
            time.sleep(0.1)
            job.refresh_from_db()


def _pages() -> dict[str, PageTimes]:
    taken: dict[str, list[tuple[float, str]]] = {}
    queries: dict[str, int] = {}
    for role in ROLES:
        client = Client()
        client.force_login(User.objects.get(username=role))
        found = reachable_pages(client)
        for view, address in (*found, *_each(found.parts)):
            with CaptureQueriesContext(connection) as captured:
                client.get(address)
            queries[view] = max(queries.get(view, 0), len(captured))
            if "ask=" in address:
                continue
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                client.get(address)
                taken.setdefault(view, []).append((time.perf_counter() - begun, address))
    return {view: _summed(each, queries[view]) for view, each in taken.items()}


def _each(by_view: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for view, addresses in by_view.items():
        yield from ((view, address) for address in addresses)


def _summed(taken: list[tuple[float, str]], queries: int) -> PageTimes:
    """The p95 is that of the slowest address: a page that is quick for one role hides none that is slow for another."""
    by_address: dict[str, list[float]] = {}
    for seconds, address in taken:
        by_address.setdefault(address, []).append(seconds)
    p95 = {address: quantiles(seconds, n=20)[-1] for address, seconds in by_address.items()}
    slowest = max(p95, key=lambda address: p95[address])
    return PageTimes(median(seconds for seconds, _ in taken), p95[slowest], queries, slowest, len(taken))


def _print(times: dict[str, PageTimes]) -> None:
    table = Table("Page", "median, ms", "p95, ms", "queries", "slowest")
    for view, each in sorted(times.items(), key=lambda pair: -pair[1].p95):
        table.add_row(
            view, f"{each.median * 1000:.0f}", f"{each.p95 * 1000:.0f}", str(each.queries), each.slowest
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
