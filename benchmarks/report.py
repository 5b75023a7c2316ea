"""What every benchmark leaves behind: a file of its result with the machine that it ran on, and a table of the figures that were wanted."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
console = Console(width=120)


def figure(name: str, measured: float, wanted: float, *, at_most: bool = False) -> dict[str, Any]:
    """A line of a result: what was measured, at least (or `at_most`) what was wanted, and whether it was reached."""
    reached = measured <= wanted if at_most else measured >= wanted
    return {"figure": name, "measured": measured, "wanted": wanted, "at_most": at_most, "reached": reached}


def machine() -> dict[str, Any]:
    """Where and with what it was measured; the commit's name ends with “-dirty” where files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return {
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "django": django.__version__,
        "commit": found.stdout.strip(),
        "load": os.getloadavg(),
    }


def write_result(name: str, measured: dict[str, Any]) -> None:
    """Write a result to benchmarks/results/, under its name and the time, and say where."""
    file = RESULTS / f"{name}{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {file}")


def tell_figures(figures: Sequence[dict[str, Any]], beside: dict[str, float] | None = None) -> int:
    """Print `figure`s, and numbers that are shown beside them. 0 where every figure was reached, 1 where one was not."""
    table = Table("Figure", "Measured", "Wanted", "")
    for line in figures:
        wanted = f"{'at most' if line['at_most'] else 'at least'} {line['wanted']:g}"
        table.add_row(
            line["figure"],
            f"{line['measured']:.3f}",
            wanted,
            "reached" if line["reached"] else "NOT REACHED",
        )
    for name, number in (beside or {}).items():
        table.add_row(name, f"{number:.3f}", "–", "")
    console.print(table)
    return 0 if all(line["reached"] for line in figures) else 1
