"""Reading files as rows: CSV, NDJSON or Parquet, gzip or not, a row at a time and in flat memory.

A row that cannot be read is still a row, with what is wrong with it. A file that cannot be read to its end is none at all.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from audit.errors import Refused

LARGEST_CELL = 1_000_000
"""Characters of a cell; a larger one is rejected."""
LARGEST_RECORD = 64_000_000
"""Characters that one record may run over; beyond, a quote was never closed."""
GZIP = b"\x1f\x8b"
FILE, ROW, COLUMN, REASON = "_file", "_row", "_column", "_reason"
RESERVED = (FILE, ROW, COLUMN, REASON)
"""Columns that a rejects file adds, and that take over when it is imported."""

csv.field_size_limit(LARGEST_RECORD)


class UnreadableFile(Refused):
    """A file cannot be read to its end, so that nothing of it was imported."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row: in which column ("" where it is the whole row), and the reason for people."""

    column: str
    reason: str


@dataclass(frozen=True)
class SourceRow:
    """A data record: its original file and number (from 1), the line it begins on, and its values by column."""

    file: str
    number: int
    line: int
    values: dict[str, Any]
    problem: Problem | None = None


@dataclass
class SourceFile:
    """A file to import. `columns` is empty where every record has its own (NDJSON)."""

    path: Path
    format: str
    columns: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name without folder and .gz: the same file is the same, wherever it lies."""
        return self.path.name.removesuffix(".gz")

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    def open(self) -> None:
        """Look at its beginning, and learn its columns. Raises `UnreadableFile`."""
        for _ in self.rows(lambda _: None):
            break

    def rows(self, at_byte: Callable[[int], None]) -> Iterator[SourceRow]:
        """Its rows; `at_byte` is told now and then how many bytes of the file were read. Raises `UnreadableFile`."""
        reader = {"csv": _csv_rows, "ndjson": _ndjson_rows, "parquet": _parquet_rows}[self.format]
        try:
            with self.path.open("rb") as raw:
                for row in reader(self, raw):
                    if row.number % 1000 == 0:
                        at_byte(raw.tell())
                    yield row
                at_byte(raw.tell())
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(
                f"{self.path} cannot be read to its end: {error}. Nothing was imported; get the file again."
            ) from None


def _text_of(raw: IO[bytes]) -> IO[str]:
    """The file's text, unpacked where it is packed. What is not UTF-8 becomes lone surrogates, and is found in its cell."""
    packed = raw.read(2) == GZIP
    raw.seek(0)
    binary: Any = gzip.GzipFile(fileobj=raw) if packed else raw
    return io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """Lines for the CSV reader, which keeps those of the record in hand."""

    def __init__(self, text: IO[str], name: str) -> None:
        self._text, self._name = text, name
        self.of_record: list[str] = []
        self._characters = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LARGEST_RECORD + 1)
        if not line:
            raise StopIteration
        self._characters += len(line)
        if self._characters > LARGEST_RECORD:
            raise UnreadableFile(
                f"{self._name}: a record runs over {LARGEST_RECORD:,} characters; a quote was never closed. Nothing was imported."
            )
        self.of_record.append(line)
        return line

    def begin_record(self) -> None:
        self.of_record, self._characters = [], 0


def _csv_rows(file: SourceFile, raw: IO[bytes]) -> Iterator[SourceRow]:
    lines = _Lines(_text_of(raw), file.name)
    reader = csv.reader(lines, strict=True)
    columns = _header(file, reader)
    number = 0
    while True:
        line = reader.line_num + 1
        lines.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UnreadableFile(
                    f"{file.path}: the quote that opens on line {line} is never closed. Nothing was imported."
                ) from None
            number += 1
            values = {columns[0]: "".join(lines.of_record)}
            yield SourceRow(file.name, number, line, values, Problem("", f"The line is not CSV: {error}."))
            continue
        if cells:
            number += 1
            yield _csv_row(file, columns, cells, number, line)


def _header(file: SourceFile, reader: Any) -> list[str]:
    try:
        columns = list(next(reader))
    except StopIteration:
        raise UnreadableFile(f"{file.path} is empty: its first line must name its columns.") from None
    except csv.Error as error:
        raise UnreadableFile(f"{file.path} is not CSV: {error}. Nothing was imported.") from None
    if len(set(columns)) != len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise UnreadableFile(f"{file.path} has two columns of one name: {', '.join(twice)}. Rename one.")
    file.columns = [name for name in columns if name not in RESERVED]
    return columns


def _csv_row(file: SourceFile, columns: list[str], cells: list[str], number: int, line: int) -> SourceRow:
    values: dict[str, Any] = dict(zip(columns, cells, strict=False))
    problem = None
    if len(cells) < len(columns):
        missing = columns[len(cells)]
        problem = Problem(
            missing, f"The line ends before its column “{missing}”: {len(cells)} of {len(columns)} cells."
        )
    elif len(cells) > len(columns):
        values[columns[-1]] = ",".join(cells[len(columns) - 1 :])
        problem = Problem(
            "", f"The line has {len(cells)} cells for {len(columns)} columns. Quote what holds a comma."
        )
    return _row(file, values, number, line, problem)


def _row(
    file: SourceFile, values: dict[str, Any], number: int, line: int, problem: Problem | None
) -> SourceRow:
    """The row, known by its original place where it comes from a rejects file."""
    name = file.name
    if FILE in values and ROW in values:
        original_file, original_row = values.pop(FILE), values.pop(ROW)
        values.pop(COLUMN, None)
        values.pop(REASON, None)
        if original_file and str(original_row).isdigit():
            name, number = str(original_file), int(original_row)
        else:
            problem = problem or Problem(ROW, f"{FILE} and {ROW} must stay as the rejects file had them.")
    return SourceRow(name, number, line, values, problem or _bad_cell(values))


def _bad_cell(values: dict[str, Any]) -> Problem | None:
    for column, value in values.items():
        if type(value) is not str:
            continue
        if len(value) > LARGEST_CELL:
            return Problem(column, f"The cell has {len(value):,} characters; {LARGEST_CELL:,} are the most.")
        if value.isascii():
            if "\0" in value:
                return Problem(column, "The cell holds a NUL character, which cannot be stored.")
            continue
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            return Problem(column, "The cell is not UTF-8, or holds a NUL character. Save the file as UTF-8.")
    return None


def _ndjson_rows(file: SourceFile, raw: IO[bytes]) -> Iterator[SourceRow]:
    number = 0
    for line, text in enumerate(_Lines(_text_of(raw), file.name), 1):
        if not text.strip():
            continue
        number += 1
        try:
            values = json.loads(text, parse_float=str, parse_int=str, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            yield SourceRow(
                file.name, number, line, {"line": text}, Problem("", f"The line is not JSON: {error}.")
            )
            continue
        if not isinstance(values, dict):
            yield SourceRow(
                file.name, number, line, {"line": text}, Problem("", "The line is not a JSON object.")
            )
            continue
        yield _row(file, _flattened(values), number, line, None)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Objects inside become columns of their own: {"customer": {"id": …}} has the column "customer.id"."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _parquet_rows(file: SourceFile, raw: IO[bytes]) -> Iterator[SourceRow]:
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415 — an extra of 170 MB, loaded only where it is asked for
    except ImportError:
        raise UnreadableFile(
            "Parquet needs the extra: pip install pyarrow, or export the file as CSV."
        ) from None
    try:
        table = parquet.ParquetFile(raw)
    except ArrowInvalid as error:
        raise UnreadableFile(f"{file.path} is not Parquet: {error}.") from None
    file.columns = [name for name in table.schema_arrow.names if name not in RESERVED]
    number = 0
    for batch in table.iter_batches(batch_size=5_000):
        for values in batch.to_pylist():
            number += 1
            yield _row(file, {name: _as_text(value) for name, value in values.items()}, number, number, None)


def _as_text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    if isinstance(value, dict):
        return {name: _as_text(each) for name, each in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
