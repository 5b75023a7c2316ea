"""Running faults one after the other, and telling what was found."""

import argparse
import json
import platform
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from tests.faults import scenarios
from tests.faults.catalogue import FAULTS, NOT_RUN, Fault
from tests.faults.world import World

assert scenarios
_console = Console(width=150, soft_wrap=False)
RESULTS = Path(__file__).parent / "results"


@dataclass
class Ran:
    """How one fault went. `problem` is empty where everything held."""

    name: str
    seconds: float
    kills: int
    recoveries: list[float]
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "fault": self.name,
            "held": not self.problem,
            "problem": self.problem,
            "seconds": round(self.seconds, 1),
            "kills": self.kills,
            "recovery_median_seconds": round(median(self.recoveries), 2) if self.recoveries else None,
            "recovery_worst_seconds": round(max(self.recoveries), 2) if self.recoveries else None,
        }


def main(words: list[str], home: Path) -> int:
    options = _arguments(words)
    chosen = _chosen(options)
    home.mkdir(parents=True, exist_ok=True)
    world = World(home, wanted_kills=options.kills, wanted_group_kills=options.group_kills)
    try:
        world.prepare()
        ran = [run(world, each, options.seed) for each in chosen]
    finally:
        world.end()
    summary = summarise(world, ran, options.seed)
    _print(summary)
    _write(summary, options.json, "campaign")
    return 0 if all(not each.problem for each in ran) else 1


def _chosen(options: argparse.Namespace) -> list[Fault]:
    if options.fault:
        found = [each for each in FAULTS.values() if any(part in each.name for part in options.fault)]
        if not found:
            raise SystemExit(
                f"No fault's name has {' or '.join(options.fault)} in it. They are:\n" + "\n".join(FAULTS)
            )
        return found
    return [each for each in FAULTS.values() if each.quick or not options.quick]


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seed", type=int, default=1, help="The same seed replays the same faults.")
    parser.add_argument(
        "--fault", action="append", help="Only faults whose name has this in it; may be repeated."
    )
    parser.add_argument(
        "--kills", type=int, default=1000, help="Processes to kill with -9 in all (default 1000)."
    )
    parser.add_argument(
        "--group-kills", type=int, default=50, help="Whole worker groups among them (default 50)."
    )
    parser.add_argument("--quick", action="store_true", help="The slice that runs in make test.")
    parser.add_argument("--json", type=Path, help="Where the summary goes (default tests/faults/results/).")
    return parser.parse_args(words)


def run(world: World, chosen: Fault, seed: int) -> Ran:
    """One fault, with a generator seeded by the campaign's seed and its own name."""
    kills, recovered, began = world.kills, len(world.recoveries), time.monotonic()
    problem = ""
    try:
        chosen.scenario(world, Random(f"{seed}:{chosen.name}"))
        world.after_fault()
        world.verify_trail()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is the finding, and the other faults are run as well)
        problem = f"{type(error).__name__}: {error}"
        _console.print(traceback.format_exc(), markup=False)
        world.begin_anew()
        world.after_fault()
    ran = Ran(
        chosen.name, time.monotonic() - began, world.kills - kills, world.recoveries[recovered:], problem
    )
    _console.print(
        f"{'held  ' if not problem else 'BROKEN'} {ran.seconds:6.1f} s  {chosen.name}  {problem}",
        markup=False,
        highlight=False,
    )
    return ran


def summarise(world: World, ran: list[Ran], seed: int) -> dict[str, Any]:
    recoveries = world.recoveries
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "seed": seed,
        "faults": [each.as_json() for each in ran],
        "held": sum(not each.problem for each in ran),
        "kills": world.kills,
        "group_kills": world.group_kills,
        "invariants_checked": dict(sorted(world.judge.checked.items())),
        "recovery": {
            "measured": len(recoveries),
            "median_seconds": round(median(recoveries), 2) if recoveries else None,
            "worst_seconds": round(max(recoveries), 2) if recoveries else None,
        },
        "not_run": NOT_RUN,
        "seconds": round(sum(each.seconds for each in ran), 1),
    }


def _print(summary: dict[str, Any]) -> None:
    table = Table(
        "Fault",
        "Held",
        "Seconds",
        "Kills",
        "Recovery, median s",
        "worst s",
        title=f"Faults, seed {summary['seed']}",
    )
    for each in summary["faults"]:
        table.add_row(
            each["fault"],
            "yes" if each["held"] else "NO",
            *(
                str(each[key]) if each[key] is not None else ""
                for key in ("seconds", "kills", "recovery_median_seconds", "recovery_worst_seconds")
            ),
        )
    _console.print(table)
    for name, why in summary["not_run"].items():
        _console.print(f"Not run: {name}: {why}", highlight=False)
    checked = ", ".join(f"{name} {count}" for name, count in summary["invariants_checked"].items())
    recovery = summary["recovery"]
    _console.print(f"Checked: {checked}", highlight=False)
    _console.print(
        f"{summary['held']} of {len(summary['faults'])} faults held; {summary['kills']} killed with -9, {summary['group_kills']} "
        f"worker groups as a whole; recovery: median {recovery['median_seconds']} s, worst {recovery['worst_seconds']} s; "
        f"{summary['seconds']} s.",
        highlight=False,
    )


def _write(summary: dict[str, Any], file: Path | None, kind: str) -> None:
    file = file or RESULTS / f"{kind}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    _console.print(f"Written to {file}", highlight=False)
