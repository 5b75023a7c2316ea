"""One import, from files to landed transactions."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from audit.errors import Refused
from audit.permission import demand
from transactions.calculating import calculator_for
from transactions.importing.drafting import (
    CLOCKS_DIFFER_BY,
    Draft,
    Drafting,
    RowRejected,
    column_to_mend,
    compute,
)
from transactions.importing.grouping import MOST_LINES, GroupedRows
from transactions.importing.reading import Problem, SourceFile, SourceRow
from transactions.importing.rejects import Rejects, check_writable
from transactions.ingest import IngestResult, Rejection, ReportedTransaction, Staging
from transactions.mapping import Mapping

STAGED_AT_A_TIME = 2_000

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much: bytes while reading, transactions while grouping and landing."""


_Group = tuple[Callable[[], str], list[SourceRow]]
"""The rows of one transaction, and what gives the record by which they are found again."""


class NothingToImport(Refused):
    """No file was given, or one of two names that would be one."""


@dataclass(frozen=True)
class Import:
    """What to import: files of one format, read as one mapping says; `rejects` is where rejected rows are to be written."""

    paths: list[Path]
    mapping: Mapping
    rejects: Path


@dataclass(frozen=True)
class ImportResult:
    """What became of an import. Counts are of transactions; `rows` of data records. `rejects` is None where none was rejected."""

    imported: int
    unchanged: int
    rejected: int
    rows: int
    recalculated: int
    superseding_corrections: int
    ambiguous_times: int
    batch: int | None
    rejects: Path | None
    rejections: list[dict[str, Any]]
    seconds: float


def import_files(wanted: Import, *, acting_user: User, progress: Progress = lambda *_: None) -> ImportResult:
    """Read, stage and land the files. Safe to repeat: what is known is unchanged.

    Raises `NotPermitted`, `WrongMapping`, `TargetWithoutCode`, `UnreadableFile`, `NothingToImport`, `RejectsNotWritable`; then nothing
    at all has changed.
    """
    demand(acting_user, "transactions.import_transactions")
    running = _Running(wanted, progress)
    with running.rejects, Staging(wanted.mapping.name) as staging:
        if wanted.mapping.group_by is None:
            running.stage(staging, ((row.as_text, [row]) for row in running.rows()))
            landed = running.land(staging, acting_user, lambda record: [SourceRow.from_text(record)])
        else:
            with GroupedRows(wanted.mapping.group_by) as grouped:
                grouped.add(running.rows())
                running.stage(staging, _putting_together(grouped, progress))
                landed = running.land(staging, acting_user, grouped.group)
    return running.result(landed)


class _Running:
    """An import under way: what it reads from, and what it has counted."""

    def __init__(self, wanted: Import, progress: Progress) -> None:
        self._mapping, self._progress = wanted.mapping, progress
        self._origin = ", ".join(path.name for path in wanted.paths)
        self._files = _opened(wanted)
        self._drafting = Drafting(wanted.mapping, latest=_now() + CLOCKS_DIFFER_BY)
        self._rows = 0
        self._ambiguous_times = 0
        self._started = time.monotonic()
        columns = list(dict.fromkeys(name for file in self._files for name in file.columns))
        self.rejects = Rejects(wanted.rejects, columns, as_csv=wanted.mapping.format != "ndjson")

    def rows(self) -> Iterator[SourceRow]:
        """Every row of every file, counted."""
        size = sum(file.size for file in self._files)
        before = 0
        for file in self._files:
            told = partial(self._tell_bytes, before, size)
            for row in file.rows(told):
                self._rows += 1
                yield row
            before += file.size

    def _tell_bytes(self, before: int, size: int, position: int) -> None:
        self._progress("Reading", before + position, size)

    def stage(self, staging: Staging, groups: Iterator[_Group]) -> None:
        """Stage what of the groups can be a transaction, and set the rest aside. A part at a time: groups come over the same connection."""
        numbered = enumerate(groups)
        while part := list(islice(numbered, STAGED_AT_A_TIME)):
            staging.add(self._reported(part))

    def _reported(self, part: list[tuple[int, _Group]]) -> Iterator[tuple[ReportedTransaction, str]]:
        drafts: list[Draft] = []
        origins: list[_Group] = []
        for position, (record, rows) in part:
            try:
                if len(rows) > MOST_LINES:
                    raise RowRejected(
                        "", f"More than {MOST_LINES:,} rows make one transaction. Check source.group_by."
                    )
                drafts.append(self._drafting.draft(position, rows))
                origins.append((record, rows))
            except RowRejected as rejected:
                self.rejects.add(rows, rejected.problem.column, rejected.problem.reason)
        for (record, rows), draft in zip(origins, compute(drafts), strict=True):
            if isinstance(draft, Problem):
                self.rejects.add(rows, draft.column, draft.reason)
            else:
                self._ambiguous_times += draft.ambiguous_times
                yield draft.reported, record()

    def land(
        self, staging: Staging, acting_user: User, rows_of: Callable[[str], list[SourceRow]]
    ) -> IngestResult:
        """Land what was staged; what the database knows otherwise is set aside before the landing is committed."""
        self._progress("Landing", 0, 0)

        def reject(rejection: Rejection) -> None:
            self.rejects.add(rows_of(rejection.record), self._mendable(rejection.column), rejection.reason)

        return staging.land(origin=self._origin, acting_user=acting_user, reject=reject)

    def _mendable(self, field: str) -> str:
        """The column of the file that `field` of a reported transaction is made of."""
        if field == "amounts":
            total = (self._mapping.amounts or {}).get("total")
            return "" if total is None else column_to_mend(total)
        return column_to_mend(self._mapping.reference)

    def result(self, landed: IngestResult) -> ImportResult:
        """The import's answer."""
        return ImportResult(
            imported=landed.imported,
            unchanged=landed.unchanged,
            rejected=self.rejects.transactions,
            rows=self._rows,
            recalculated=landed.recalculated,
            superseding_corrections=landed.superseding_corrections,
            ambiguous_times=self._ambiguous_times,
            batch=landed.batch_id,
            rejects=self.rejects.path if self.rejects.transactions else None,
            rejections=self.rejects.shown_as_json(),
            seconds=round(time.monotonic() - self._started, 3),
        )


def _putting_together(grouped: GroupedRows, progress: Progress) -> Iterator[_Group]:
    for done, (key, rows) in enumerate(grouped):
        if done % STAGED_AT_A_TIME == 0:
            progress("Putting together", done, grouped.groups)
        yield partial(str, key), rows


def _now() -> datetime:
    """By the database's clock, which has the last word."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def _opened(wanted: Import) -> list[SourceFile]:
    """The files, with columns that the mapping fits. Raises `UnreadableFile`, `WrongMapping`, `TargetWithoutCode`, `NothingToImport`,
    `RejectsNotWritable`.
    """
    files = [SourceFile(path, wanted.mapping.format) for path in wanted.paths]
    names = [file.name for file in files]
    if not files or len(set(names)) != len(names):
        raise NothingToImport(
            "Give one file or more, no two of one name: “{file}” in a mapping tells them apart by it."
        )
    if wanted.rejects.resolve() in {path.resolve() for path in wanted.paths}:
        raise NothingToImport(
            f"The rejects would overwrite {wanted.rejects}: give another file with --rejects."
        )
    for name in names:
        if not name.isprintable():  # bytes of another encoding, which no reference can hold
            raise NothingToImport(f"The file name {name!a} is not UTF-8 text. Rename it.")
    check_writable(wanted.rejects)
    _check_calculator(wanted.mapping)
    for file in files:
        file.open()
        if file.columns:
            wanted.mapping.check_columns(file.columns, file.name)
    return files


def _check_calculator(mapping: Mapping) -> None:
    """Where the mapping itself names the release whose calculator is to make the amounts, there must be one."""
    name, version = mapping.calculator, mapping.version
    if mapping.amounts is None and not name.columns and not version.columns:
        calculator_for(name.text, version.text)
