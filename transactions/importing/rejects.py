"""What could not be imported, in a file of the source's own format: mend it there, and import that file."""

import csv
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from transactions.importing.reading import RESERVED, SourceRow

SHOWN = 20


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row for people: where it stands, and what is wrong."""

    file: str
    row: int
    line: int
    column: str
    reason: str


class Rejects:
    """Writes the rejects file, once there is something to write; `shown` keeps the first rows for the answer."""

    def __init__(self, path: Path, columns: list[str], *, as_csv: bool) -> None:
        self.path = path
        self.transactions = 0
        self.shown: list[RejectedRow] = []
        self._columns, self._as_csv = columns, as_csv
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            if kind is not None:
                self.path.unlink()  # nothing was imported, so there is nothing to mend

    def add(self, rows: list[SourceRow], column: str, reason: str) -> None:
        """Set all rows of one transaction aside; `column` and `reason` say what is wrong with it."""
        self.transactions += 1
        for row in rows:
            self._write(row, column, reason)
        guilty = next((row for row in rows if row.problem is not None), rows[0])
        if len(self.shown) < SHOWN:
            self.shown.append(RejectedRow(guilty.file, guilty.number, guilty.line, column, reason))

    def shown_as_json(self) -> list[dict[str, Any]]:
        """The first rejected rows."""
        return [asdict(each) for each in self.shown]

    def _write(self, row: SourceRow, column: str, reason: str) -> None:
        values = row.values | dict(zip(RESERVED, (row.file, row.number, column, reason), strict=True))
        file = self._open()
        if self._as_csv:
            self._writer.writerow(values)
        else:
            file.write(json.dumps(values, ensure_ascii=True) + "\n")

    def _open(self) -> IO[str]:
        if self._file is None:
            # For its owner's eyes only: it may hold personal data.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115, PTH123
            if self._as_csv:
                self._writer = csv.DictWriter(self._file, [*self._columns, *RESERVED], restval="")
                self._writer.writeheader()
        return self._file
