"""Files of parking tickets, a mapping for them, and importing them by the command that people and scripts use."""

import csv
import json
from pathlib import Path
from typing import Any

from tests.commands import asked
from transactions.models import CurrentCalculation, Transaction

HEADER = "id,garage,currency,entered,left,hours,fee,total,plate"
GOOD = "{id},g-1,USD,2024-03-01 10:00:00,2024-03-01 11:30:00,1.5,4.50,4.50,ZH {id}"

MAPPING = """
[source]
name = "tickets"
timezone = "America/New_York"

[transaction]
reference = "{id}"
store = "{garage}"
currency = "{currency}"
occurred_at = "{entered}"

[calculation]
service = "gate"
calculator = "parking"
version = "1.0.0"
calculated_at = "{left}"

[calculation.amounts]
fee = "{fee}"
total = "{total}"

[inputs]
hours = "{hours}"

[personal]
plate = "{plate}"
"""


def ticket(number: int | str, **cells: str) -> str:
    """A good line of CSV, but for `cells`."""
    values = dict(zip(HEADER.split(","), GOOD.format(id=number).split(","), strict=True)) | cells
    return ",".join(values.values())


def as_csv(*lines: str) -> bytes:
    """A file of these lines under the tickets' header."""
    return "\n".join([HEADER, *lines, ""]).encode()


class Desk:
    """A folder with files to import, and somebody who may."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rejects = folder / "set-aside.csv"

    def file(self, name: str, content: bytes) -> Path:
        """A file of that content."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def imports(self, *files: Path, mapping: str = MAPPING) -> dict[str, Any]:
        """The command's answer."""
        chosen = self.file("mapping.toml", mapping.encode())
        answer = asked(
            *("import_transactions", *map(str, files), "--mapping", str(chosen)),
            *("--rejects", str(self.rejects), "--as", "ada"),
        )
        assert (answer["rejects"] is None) == (answer["rejected"] == 0)
        return answer

    def imports_text(self, *lines: str, mapping: str = MAPPING) -> dict[str, Any]:
        """The answer for a file “tickets.csv” of these lines."""
        return self.imports(self.file("tickets.csv", as_csv(*lines)), mapping=mapping)

    def set_aside(self) -> list[dict[str, str]]:
        """The rows of the rejects file."""
        with self.rejects.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            return list(csv.DictReader(text))


def counts(answer: dict[str, Any]) -> tuple[int, int, int]:
    """Imported, unchanged, rejected."""
    return answer["imported"], answer["unchanged"], answer["rejected"]


def totals() -> dict[str, int]:
    """What every transaction stands on, by reference, in smallest units."""
    standing = CurrentCalculation.objects.select_related("transaction", "calculation")
    return {each.transaction.reference: each.calculation.total for each in standing}


def facts(reference: str) -> Transaction:
    """One transaction."""
    return Transaction.objects.select_related("store").get(reference=reference)


def ndjson(*records: Any) -> bytes:
    """A file of JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()
