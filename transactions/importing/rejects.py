"""What could not be imported, in a file of the source's own format: mend it there, and import that file."""

import csv
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from audit.errors import Refused
from transactions.importing.reading import RESERVED, SourceRow

SHOWN = 20


class RejectsNotWritable(Refused):
    """There is no place for the rejects file, so that nothing was imported."""


def check_writable(path: Path) -> None:
    """Raise `RejectsNotWritable` where no rejects could be written to `path`."""
    if (path.exists() and not path.is_file()) or not os.access(path.parent, os.W_OK):
        raise RejectsNotWritable(f"Rejected rows cannot be written to {path}: name a file with --rejects.")


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row for people: where it stands, and what is wrong."""

    file: str
    row: int
    line: int
    column: str
    reason: str


class Rejects:
    """Writes the rejects file, once there is something to write; `shown` keeps the first rows for the answer.

    It stands under its own name only when the import has landed.
    """

    def __init__(self, path: Path, columns: list[str], *, as_csv: bool) -> None:
        self.path = path
        self.transactions = 0
        self.shown: list[RejectedRow] = []
        self._columns, self._as_csv = columns, as_csv
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            if kind is None:
                self._unfinished.replace(self.path)
            else:
                self._unfinished.unlink()  # nothing was imported, so there is nothing to mend

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
        file = self._open()
        place = (row.file, str(row.number), column, reason)
        if self._as_csv:
            self._writer.writerow((*place, *self._cells(row)))
        else:
            file.write(json.dumps(dict(zip(RESERVED, place, strict=True)) | row.values) + "\n")

    def _cells(self, row: SourceRow) -> list[str]:
        """The row's cells, as many as the file has columns; where they were too many or too few, they are so again."""
        if row.cells is None:
            return [row.values.get(name, "") for name in self._columns]
        extra = len(row.cells) - len(self._columns)
        return row.cells if extra else [*row.cells, ""]

    def _open(self) -> IO[str]:
        if self._file is None:
            # For its owner's eyes only: it may hold personal data.
            descriptor = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="")  # noqa: SIM115, PTH123
            if self._as_csv:
                self._writer = csv.writer(self._file)
                self._writer.writerow((*RESERVED, *self._columns))
        return self._file
