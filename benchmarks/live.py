"""`python -m benchmarks.live`: how a job and live traffic get on with each other, at a million transactions.

Pages (by Django's own client, server time) while a preview runs flat out with two workers; and how many transactions a second a service
can report, in batches as an import lands them, with nothing else going on and while a throttled apply runs. Both sides in one run.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count as counted
from statistics import median, quantiles
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

from django.conf import settings  # noqa: E402 (Django is set up above)
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from rich.table import Table  # noqa: E402

from audit.step_up import confirmed_by_operator  # noqa: E402
from backoffice.people import create_user  # noqa: E402
from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import SELECTION  # noqa: E402
from benchmarks.report import console, figure, machine, tell_figures, write_result  # noqa: E402
from benchmarks.workers import running_workers  # noqa: E402
from remediation.apply import start_apply  # noqa: E402
from remediation.approval import approve  # noqa: E402
from remediation.case import open_case  # noqa: E402
from remediation.control import tune_job  # noqa: E402
from remediation.models import Job, Plan  # noqa: E402
from remediation.preview import request_preview  # noqa: E402
from transactions.finder import count, page  # noqa: E402
from transactions.ingest import ReportedTransaction, ingest  # noqa: E402

WANTED_P95 = 0.100
WANTED_SHARE = 0.8
BATCH = 1_000
WORKERS, CHUNK_ROWS, ROWS_PER_SECOND = 1, 1_000, 5_000
"""Limits of the throttled apply."""
SECONDS = 10.0
_numbers = counted()


def main() -> int:
    """0 where every figure is as wanted, 1 where one is not."""
    parser = argparse.ArgumentParser(prog="benchmarks.live", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="Transactions of the incident.")
    options = parser.parse_args()
    with servers():
        fresh_copy(template_of(options.rows))
        settle()
        measured = _measure() | {
            "server": durability(),
            "machine": machine(),
            "rows": options.rows,
            "rows_per_second": ROWS_PER_SECOND,
        }
    _print(measured)
    write_result("live-", measured)
    return tell_figures(measured["figures"])


def _measure() -> dict[str, Any]:
    settings.ALLOWED_HOSTS = ["testserver"]
    create_user("engineer", "engineer", "a-password-of-nobody")
    create_user("approver", "approver", "a-password-of-nobody")
    engineer, approver = (User.objects.get(username=name) for name in ("engineer", "approver"))
    settings.HOME.make_directories()
    with running_workers(2, settings.HOME.logs / "bench-workers.log"):
        plan = request_preview(
            open_case(SELECTION, LEAN_VERSION, reason="Tax was taken before discount.", acting_user=engineer),
            acting_user=engineer,
        )
        preview = plan.jobs.get(kind=Job.Kind.PREVIEW)
        busy = _answers(engineer, preview, while_running=preview)
        _await(preview)
        quiet = _answers(engineer, preview, while_running=None)
        idle_before = _ingest(engineer)
        plan.refresh_from_db()
        assert plan.status == Plan.Status.READY, plan.failure
        approve(
            plan,
            bytes(plan.digest or b"").hex(),
            acting_user=approver,
            confirmed=confirmed_by_operator(approver),
        )
        job = tune_job(
            start_apply(plan, acting_user=engineer),
            acting_user=engineer,
            workers=WORKERS,
            chunk_rows=CHUNK_ROWS,
            rows_per_second=ROWS_PER_SECOND,
        )
        throttled = _ingest(engineer)
        job.refresh_from_db()
        assert job.status == Job.Status.RUNNING, (
            f"The throttled job is {job.status}: {job.failure or job.pause_reason}"
        )
        moved = sum(chunk.result["applied"] for chunk in job.chunks.all() if chunk.result)
        tune_job(job, acting_user=engineer, workers=None, chunk_rows=None, rows_per_second=None)
        _await(job)
        idle_after = _ingest(engineer)
    share = throttled / ((idle_before + idle_after) / 2)
    figures = [
        figure(f"{name}, p95 while a job runs, s", p95, WANTED_P95, at_most=True)
        for name, (_, p95, _) in busy.items()
    ]
    figures.append(figure("ingest beside a throttled job, of its idle throughput", share, WANTED_SHARE))
    return {
        "figures": figures,
        "pages": {"busy": busy, "quiet": quiet},
        "ingest_a_second": {"idle": [idle_before, idle_after], "throttled": throttled},
        "moved_meanwhile": moved,
    }


def _answers(user: User, job: Job, *, while_running: Job | None) -> dict[str, tuple[float, float, int]]:
    """Median, p95 (s) and number of answers of each page, asked in turn while a job runs, or 40 times."""
    client = Client()
    client.force_login(user)
    asked: dict[str, Callable[[], Any]] = {
        "job page": lambda: client.get(reverse("admin:remediation_job_change", args=[job.pk])),
        "job page's live part": lambda: client.get(reverse("admin:remediation_job_live", args=[job.pk])),
        "find: count, histogram, first page": lambda: (count(SELECTION), page(SELECTION, limit=50)),
    }
    for ask in asked.values():
        ask()
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in _rounds(while_running):
        for name, ask in asked.items():
            begun = time.perf_counter()
            answer = ask()
            times[name].append(time.perf_counter() - begun)
            assert getattr(answer, "status_code", 200) == 200, answer
    return {name: (median(each), quantiles(each, n=20)[-1], len(each)) for name, each in times.items()}


def _rounds(job: Job | None) -> Iterator[None]:
    if job is None:
        yield from (None for _ in range(40))
        return
    while job.status == Job.Status.RUNNING:
        yield None
        time.sleep(0.05)
        job.refresh_from_db(fields=["status"])


def _ingest(user: User) -> float:
    """Transactions a second that land, reported in batches for some seconds."""
    landed, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        landed += ingest(_batch(), source="bench-live", origin="benchmarks.live", acting_user=user).imported
    return landed / (time.perf_counter() - begun)


def _batch() -> list[ReportedTransaction]:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return [_reported(next(_numbers), at) for _ in range(BATCH)]


def _reported(number: int, at: datetime) -> ReportedTransaction:
    moment = at + timedelta(seconds=number)
    return ReportedTransaction(
        position=number,
        reference=f"live-{number}",
        store=f"S{1 + number % 5000:05}",
        currency="USD",
        scale=2,
        occurred_at=moment,
        inputs={
            "country": "US",
            "lines": [],
            "shipping": "4.99",
            "discount": {"kind": "percent", "value": "5"},
        },
        service="checkout",
        calculator="pricing",
        version="2.0.0",
        calculated_at=moment,
        amounts={"subtotal": 0, "discount": 0, "shipping": 499, "tax": 44, "total": 543},
    )


def _await(job: Job) -> None:
    while job.status == Job.Status.RUNNING:
        time.sleep(0.1)
        job.refresh_from_db()
    assert job.status == Job.Status.FINISHED, job.failure or job.pause_reason


def _print(measured: dict[str, Any]) -> None:
    pages = Table("Answer", "median, s", "p95, s", "asked", "median quiet, s", "p95 quiet, s")
    for name, (middle, p95, asked) in measured["pages"]["busy"].items():
        quiet = measured["pages"]["quiet"][name]
        pages.add_row(name, f"{middle:.3f}", f"{p95:.3f}", str(asked), f"{quiet[0]:.3f}", f"{quiet[1]:.3f}")
    console.print(pages)
    rates = measured["ingest_a_second"]
    console.print(
        f"Ingest: {rates['idle'][0]:,.0f} and {rates['idle'][1]:,.0f} a second idle, {rates['throttled']:,.0f} beside a job at"
        f" {ROWS_PER_SECOND:,} rows a second, which moved {measured['moved_meanwhile']:,} meanwhile."
    )


if __name__ == "__main__":
    sys.exit(main())
