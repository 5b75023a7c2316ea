"""`python -m benchmarks.by_stage`: processor time of a correction, stage by stage, at one size after the other.

One process does all chunks, and the functions of each stage are timed: their own time in this process, and the server's while they
ran. Writes benchmarks/results/by-stage-….json, and from it the chart in docs/img/.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

import psutil  # noqa: E402 (Django is set up above)
import psycopg  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.template import Context, Engine  # noqa: E402
from rich.table import Table  # noqa: E402

from audit.step_up import confirmed_by_operator  # noqa: E402
from backoffice.people import create_user  # noqa: E402
from benchmarks import floor  # noqa: E402
from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import SELECTION, floor_chunks  # noqa: E402
from benchmarks.report import console, machine, write_result  # noqa: E402
from benchmarks.settings import OWNER_URL  # noqa: E402
from remediation import scan  # noqa: E402
from remediation.apply import start_apply  # noqa: E402
from remediation.approval import approve  # noqa: E402
from remediation.case import open_case  # noqa: E402
from remediation.models import Job, Plan  # noqa: E402
from remediation.preview import request_preview  # noqa: E402
from remediation.runner import work  # noqa: E402
from transactions.isolation import InProcess  # noqa: E402

CHART = Path(__file__).parent.parent / "docs" / "img" / "cost-by-stage.svg"
STAGES = {
    "read": "preview: read the rows",
    "parse": "preview: parse the inputs, twice",
    "calculate": "preview: calculate and check",
    "again": "preview: ask again",
    "compare": "preview: compare, money, causes",
    "copy": "preview: leaves and COPY",
    "tree": "preview: Merkle tree",
    "preview rest": "preview: lease, audit, commit, the rest",
    "apply read": "apply: read the rows again",
    "apply hash": "apply: hash them",
    "apply move": "apply: lock and move the pointers",
    "apply rest": "apply: compare, count, audit, the rest",
}
_COLOURS = (
    "#4477aa",
    "#66ccee",
    "#228833",
    "#ccbb44",
    "#ee6677",
    "#aa3377",
    "#bbbbbb",
    "#777777",
    "#225522",
    "#663333",
    "#222255",
    "#999933",
)


class Meter:
    """Microseconds that each stage took itself, without the stages inside of it: in this process and in its server's."""

    def __init__(self, server: psutil.Process) -> None:
        self._server = server
        self._stack: list[float] = []
        self.seconds: dict[str, float] = {}

    def _now(self) -> float:
        times = self._server.cpu_times()
        return time.process_time() + float(times.user) + float(times.system)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what the block takes to `name`."""
        self._stack.append(0.0)
        begun = self._now()
        try:
            yield
        finally:
            took = self._now() - begun
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._stack.pop()
            if self._stack:
                self._stack[-1] += took

    def metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, with what it takes counted to `name`."""

        def counted(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return function(*args, **options)

        return counted


def main() -> int:
    """Always 0: this explains, and wants nothing."""
    parser = argparse.ArgumentParser(prog="benchmarks.by_stage", description=__doc__)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="Sizes of the incident."
    )
    options = parser.parse_args()
    with servers():
        sizes = {str(rows): _measure(rows) for rows in options.rows}
        measured = {"microseconds_a_row": sizes, "server": durability(), "machine": machine()}
    _print(sizes)
    CHART.parent.mkdir(exist_ok=True)
    CHART.write_text(_chart(sizes), encoding="utf-8")
    write_result("by-stage-", measured)
    console.print(f"Drawn to {CHART}")
    return 0


def _measure(rows: int) -> dict[str, float]:
    fresh_copy(template_of(rows))
    settle()
    with psycopg.connect(OWNER_URL, autocommit=True) as owner:
        meter = Meter(psutil.Process(owner.info.backend_pid))
        owner.execute(floor.SETTINGS)
        chunks = floor_chunks()
        for name, do in (("floor preview", floor._preview), ("floor apply", floor._apply)):
            for chunk in chunks:
                with meter.stage(name):
                    do(owner, chunk)
    by_floor = meter.seconds

    fresh_copy(template_of(rows))
    settle()
    for role in ("engineer", "approver"):
        create_user(role, role, "a-password-of-nobody")
    engineer, approver = (User.objects.get(username=name) for name in ("engineer", "approver"))
    connection.ensure_connection()
    meter = Meter(psutil.Process(connection.connection.info.backend_pid))
    with meter.stage("preview rest"), _metered_scan(meter):
        case = open_case(SELECTION, LEAN_VERSION, reason="Tax.", acting_user=engineer)
        plan = request_preview(case, acting_user=engineer)
        work(plan.jobs.get().pk, worker="by stage")
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY, plan.failure
    _ask_server(plan, meter)
    approve(
        plan, bytes(plan.digest or b"").hex(), acting_user=approver, confirmed=confirmed_by_operator(approver)
    )
    with meter.stage("apply"):
        job = start_apply(plan, acting_user=engineer, stages=[])
        work(job.pk, worker="by stage")
    job.refresh_from_db()
    assert job.status == Job.Status.FINISHED, job.failure
    return _by_row(meter.seconds, by_floor, (plan.manifest or {})["proposed"])


@contextmanager
def _metered_scan(meter: Meter) -> Iterator[None]:
    """Time the stages of a scan while the block runs."""
    places: list[tuple[Any, str, str]] = [
        (scan, "read_rows", "read"),
        (scan, "_questions", "parse"),
        (InProcess, "first", "calculate"),
        (InProcess, "again", "again"),
        (scan, "_calculate", "compare"),
        (scan, "_copy_proposals", "copy"),
        (scan, "merkle_root", "tree"),
    ]
    originals = [(place, name, getattr(place, name)) for place, name, _ in places]
    for place, name, stage in places:
        setattr(place, name, meter.metered(stage, getattr(place, name)))
    try:
        yield
    finally:
        for place, name, original in originals:
            setattr(place, name, original)


def _ask_server(plan: Plan, meter: Meter) -> None:
    """What an apply reads and hashes, asked for itself."""
    with connection.cursor() as cursor:
        for chunk in plan.chunks.all():
            for name, what in (("apply read", "delta"), ("apply read and hash", "length(leaf)")):
                with meter.stage(name):
                    cursor.execute(f"SELECT sum({what}) FROM amends_chunk_moves(%s)", [chunk.pk])


def _by_row(seconds: dict[str, float], by_floor: dict[str, float], rows: int) -> dict[str, float]:
    moved = by_floor["floor apply"]
    hashed = seconds["apply read and hash"] - seconds["apply read"]
    split = {name: seconds[name] for name in STAGES if name in seconds} | {
        "apply hash": hashed,
        "apply move": moved,
        "apply rest": seconds["apply"] - seconds["apply read"] - hashed - moved,
    }
    return {name: 1e6 * split[name] / rows for name in STAGES} | {
        name: 1e6 * took / rows for name, took in by_floor.items()
    }


def _print(sizes: dict[str, dict[str, float]]) -> None:
    table = Table("Stage", *(f"{int(rows):,}, µs a row" for rows in sizes))
    for name, words in STAGES.items():
        table.add_row(words, *(f"{size[name]:.1f}" for size in sizes.values()))
    table.add_row("sum", *(f"{sum(size[name] for name in STAGES):.1f}" for size in sizes.values()))
    table.add_row("floor: read and COPY", *(f"{size['floor preview']:.1f}" for size in sizes.values()))
    table.add_row("floor: lock and move", *(f"{size['floor apply']:.1f}" for size in sizes.values()))
    console.print(table)


def _chart(sizes: dict[str, dict[str, float]]) -> str:
    """Stacked bars, one a size for the product and one for the floor, as SVG."""
    width, left, bar = 620, 190, 26
    bars: list[tuple[str, dict[str, float]]] = []
    for rows, size in sizes.items():
        bars.append((f"{int(rows):,}", {words: size[name] for name, words in STAGES.items()}))
        bars.append((f"{int(rows):,}, floor", {"floor": size["floor preview"] + size["floor apply"]}))
    scale = width / max(sum(parts.values()) for _, parts in bars)
    colours = dict(zip(STAGES.values(), _COLOURS, strict=True)) | {"floor": "#dddddd"}
    drawn = []
    for number, (label, parts) in enumerate(bars):
        x, pieces = float(left), []
        for words, cost in parts.items():
            pieces.append(
                {
                    "x": f"{x:.1f}",
                    "width": f"{cost * scale:.1f}",
                    "colour": colours[words],
                    "words": words,
                    "cost": f"{cost:.1f}",
                }
            )
            x += cost * scale
        y = 34 + number * (bar + 10)
        drawn.append(
            {
                "label": label,
                "pieces": pieces,
                "y": y,
                "middle": y + 18,
                "end": f"{x + 6:.1f}",
                "sum": f"{sum(parts.values()):.1f}",
            }
        )
    bottom = 50 + len(bars) * (bar + 10)
    legend = [
        {
            "x": left + (number % 2) * 330,
            "y": bottom + number // 2 * 20,
            "text": left + 18 + (number % 2) * 330,
            "baseline": bottom + 10 + number // 2 * 20,
            "words": words,
            "colour": colour,
        }
        for number, (words, colour) in enumerate(colours.items())
    ]
    template = Engine().from_string(Path(__file__).with_name("chart.svg").read_text(encoding="utf-8"))
    return template.render(
        Context(
            {
                "bars": drawn,
                "legend": legend,
                "bar": bar,
                "width": left + width + 60,
                "height": bottom + 20 * (len(legend) // 2 + 1),
            }
        )
    )


if __name__ == "__main__":
    sys.exit(main())
