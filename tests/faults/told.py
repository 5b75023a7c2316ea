"""`python -m tests.faults.told FILE`: which guards were missed once they were out, as a table for people."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

console = Console(width=120)


def tell_guards(lines: list[dict[str, object]]) -> int:
    """A line a guard, and last the count. 1 where one was not missed."""
    table = Table("Guard taken out", "Fault", "")
    for line in lines:
        table.add_row(
            str(line["guard"]),
            str(line["fault"]).replace("_", " "),
            "caught" if line["caught"] else "NOT CAUGHT",
        )
    console.print(table)
    caught = sum(bool(line["caught"]) for line in lines)
    console.print(f"{len(lines)} guards, {caught} caught.")
    return 0 if lines and caught == len(lines) else 1


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    sys.exit(tell_guards([json.loads(line) for line in lines]))
