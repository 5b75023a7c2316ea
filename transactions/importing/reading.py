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
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from audit.errors import Refused
from transactions.mapping import Columns

LARGEST_CELL = 1_000_000
"""Characters of a cell; a larger one is rejected."""
LONGEST_NAME = 255
"""Characters of a file's name."""
LARGEST_RECORD = 64_000_000
"""Characters that one record may run over; beyond, a quote was never closed."""
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
FILE, ROW, COLUMN, REASON = "_file", "_row", "_column", "_reason"
RESERVED = (FILE, ROW, COLUMN, REASON)
"""Columns that a rejects file adds, and that take over when it is imported."""

csv.field_size_limit(LARGEST_RECORD)


class UnreadableFile(Refused):
    """A file cannot be read to its end, so that nothing of it was imported."""


class Problem(NamedTuple):
    """What is wrong with a row: in which column ("" where it is the whole row), and the reason for people."""

    column: str
    reason: str


class SourceRow(NamedTuple):
    """A data record: its original file and number (from 1), the line it begins on in the file that was read, and its values.

    `cells` are all that a CSV line has where their number is wrong: set aside so, it is wrong again if nobody mends it.
    """

    file: str
    number: int
    line: int
    values: Columns
    problem: Problem | None = None
    cells: list[str] | None = None

    def as_text(self) -> str:
        """JSON that PostgreSQL can store as text, whatever is wrong with the values; without the problem."""
        record = (self.file, self.number, self.line, self.values, self.cells)
        try:
            return orjson.dumps(record).decode()
        except orjson.JSONEncodeError:  # What is not UTF-8: as ASCII it can be kept all the same.
            return json.dumps(record)

    @classmethod
    def from_text(cls, text: str, problem: Problem | None = None) -> "SourceRow":
        """The row that `as_text` wrote."""
        file, number, line, values, cells = json.loads(text)
        return cls(file, number, line, Columns(values), problem, cells)


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
        if self.format == "parquet" and not _is_parquet(self.path):
            self.format = "csv"  # a rejects file of a Parquet file, mended
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
            at_byte(self.size)
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
            yield _not_csv(file, columns, lines.of_record, number, line, f"The line is not CSV: {error}.")
            continue
        if cells:
            number += 1
            clean = len(lines.of_record) == 1 and _is_clean(lines.of_record[0])
            yield _csv_row(file, columns, cells, number, line, clean=clean)


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
    for name in columns:
        if _bad_text(name):
            raise UnreadableFile(f"{file.path} is no UTF-8 text: save it as UTF-8. Nothing was imported.")
    file.columns = [name for name in columns if name not in RESERVED]
    return columns


def _csv_row(
    file: SourceFile, columns: list[str], cells: list[str], number: int, line: int, *, clean: bool
) -> SourceRow:
    values = Columns(zip(columns, cells, strict=False))
    if len(cells) == len(columns):
        return _row(file, values, number, line, None if clean else _bad_cell(values))
    if len(cells) < len(columns):
        missing = columns[len(cells)]
        problem = Problem(
            missing, f"The line ends before its column “{missing}”: {len(cells)} of {len(columns)} cells."
        )
    else:
        problem = Problem(
            "", f"The line has {len(cells)} cells for {len(columns)} columns. Quote what holds a comma."
        )
    own = [cell for column, cell in zip(columns, cells, strict=False) if column not in RESERVED]
    row = _row(file, values, number, line, problem)
    return row._replace(cells=[*own, *cells[len(columns) :]])


def _not_csv(
    file: SourceFile, columns: list[str], lines: list[str], number: int, line: int, reason: str
) -> SourceRow:
    """The line as it is, in one cell. Its values are a guess, good enough to tell which group it is of."""
    guessed = Columns(zip(columns, next(csv.reader(lines), []), strict=False))
    return _row(file, guessed, number, line, Problem("", reason))._replace(cells=["".join(lines)])


def _row(file: SourceFile, values: Columns, number: int, line: int, problem: Problem | None) -> SourceRow:
    """The row, known by its original place where it comes from a rejects file."""
    if ROW not in values or FILE not in values:
        return SourceRow(file.name, number, line, values, problem)
    original_file, original_row = str(values.pop(FILE)), str(values.pop(ROW))
    values.pop(COLUMN, None)
    values.pop(REASON, None)
    if (
        _is_name(original_file)
        and original_row.isascii()
        and original_row.isdigit()
        and len(original_row) < 19
    ):
        return SourceRow(original_file, int(original_row), line, values, problem)
    misplaced = Problem(ROW, f"{FILE} and {ROW} must stay as the rejects file had them.")
    return SourceRow(file.name, number, line, values, problem or misplaced)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and not _bad_text(text)


def _is_clean(text: str) -> bool:
    """Whether nothing can be wrong with any cell of a line; most are, and need no look at each cell."""
    return text.isascii() and "\0" not in text and len(text) <= LARGEST_CELL


def _bad_cell(values: Columns) -> Problem | None:
    for column, value in values.items():
        if type(value) is not str:
            if len(json.dumps(value)) > LARGEST_CELL:
                return Problem(column, f"The value has more than {LARGEST_CELL:,} characters.")
            continue
        if len(value) > LARGEST_CELL:
            return Problem(column, f"The cell has {len(value):,} characters; {LARGEST_CELL:,} are the most.")
        bad = _bad_text(value)
        if bad:
            return Problem(column, bad)
    return None


def _bad_text(text: str) -> str:
    """What is wrong with a text, or ""."""
    if "\0" in text:
        return "The cell holds a NUL character, which cannot be stored. Remove it."
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "The cell is not UTF-8. Save the file as UTF-8."
    return ""


def _ndjson_rows(file: SourceFile, raw: IO[bytes]) -> Iterator[SourceRow]:
    number = 0
    lines = _Lines(_text_of(raw), file.name)
    for line, text in enumerate(lines, 1):
        lines.begin_record()
        if not text.strip():
            continue
        number += 1
        try:
            values = json.loads(
                text,
                parse_float=str,
                parse_int=str,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
            if not isinstance(values, dict):
                raise ValueError("it is not an object")
            columns = Columns(_flattened(values))
            problem = _bad_cell(columns)
        except (ValueError, RecursionError) as error:
            reason = f"The line is not a JSON object as needed: {error}."
            yield SourceRow(file.name, number, line, Columns(line=text), Problem("", reason))
            continue
        yield _row(file, columns, number, line, problem)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has a key twice")
    return values


def _flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Objects inside become columns of their own: {"customer": {"id": …}} has the column "customer.id". null is empty."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inside = (
            _flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
        )
        for column in inside.keys() & flat.keys():
            raise ValueError(f"two values are both “{column}”")
        flat |= inside
    return {name: "" if value is None else value for name, value in flat.items()}


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as raw:
            return raw.read(4) == PARQUET
    except OSError:
        return True  # said properly where it is read


def _parquet_rows(file: SourceFile, raw: IO[bytes]) -> Iterator[SourceRow]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 — an extra of 170 MB, loaded only where it is asked for
    except ImportError:
        raise UnreadableFile(
            "Parquet needs the extra: pip install pyarrow, or export the file as CSV."
        ) from None
    number = 0
    try:
        table = parquet.ParquetFile(raw)
        names = list(_names(table.schema_arrow))
        if len(set(names)) != len(names):
            raise UnreadableFile(f"{file.path} has two columns of one name. Rename one.")
        file.columns = [name for name in names if name not in RESERVED]
        for batch in table.iter_batches(batch_size=5_000):
            for values in batch.to_pylist():
                number += 1
                columns = Columns(_flattened(_as_text(values)))
                yield _row(file, columns, number, number, _bad_cell(columns))
    except (ArrowException, ValueError) as error:
        raise UnreadableFile(
            f"{file.path} cannot be read as Parquet: {error}. Nothing was imported."
        ) from None


def _names(fields: Any, prefix: str = "") -> Iterator[str]:
    """The columns' names; what is inside of a struct has a column of its own, as in NDJSON."""
    for each in fields:
        if str(each.type).startswith("struct<"):
            yield from _names(each.type, f"{prefix}{each.name}.")
        else:
            yield f"{prefix}{each.name}"


def _as_text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    if isinstance(value, dict):
        return {name: _as_text(each) for name, each in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value).lower() if isinstance(value, bool) else str(value)
