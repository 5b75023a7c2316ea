"""One import, from files to landed transactions."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from audit.errors import Refused
from audit.permission import demand
from transactions.importing.drafting import Draft, Drafting, RowRejected, compute
from transactions.importing.grouping import MOST_LINES, GroupedRows
from transactions.importing.reading import Problem, SourceFile, SourceRow
from transactions.importing.rejects import Rejects
from transactions.ingest import IngestResult, ReportedTransaction, Staging
from transactions.mapping import Mapping

DRAFTED_AT_A_TIME = 2_000

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much: bytes while reading, transactions while grouping and landing."""


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

    Raises `NotPermitted`, `WrongMapping`, `UnreadableFile`, `NothingToImport`; then nothing at all has changed.
    """
    demand(acting_user, "transactions.import_transactions")
    running = _Running(wanted, progress)
    with running.rejects, Staging(wanted.mapping.name) as staging:
        if wanted.mapping.group_by is None:
            result = running.stage_and_land(running.single_rows, staging, acting_user)
        else:
            with GroupedRows(wanted.mapping.group_by) as grouped:
                grouped.add(running.rows())
                running.grouping(grouped.groups)
                result = running.stage_and_land(lambda: iter(grouped), staging, acting_user)
    return running.result(result)


class _Running:
    """An import under way: what it reads from, and what it has counted."""

    def __init__(self, wanted: Import, progress: Progress) -> None:
        self._mapping, self._progress = wanted.mapping, progress
        self._origin = ", ".join(path.name for path in wanted.paths)
        self._files = _opened(wanted)
        self._bytes = sum(file.size for file in self._files)
        self._groups = 0
        self._rows = 0
        self._ambiguous_times = 0
        self._started = time.monotonic()
        columns = list(dict.fromkeys(name for file in self._files for name in file.columns))
        self.rejects = Rejects(wanted.rejects, columns, as_csv=wanted.mapping.format != "ndjson")

    def rows(self) -> Iterator[SourceRow]:
        """Every row of every file, counted."""
        before = 0
        self._rows = 0
        for file in self._files:
            read = before

            def at_byte(position: int, before: int = before) -> None:
                self._progress("Reading", before + position, self._bytes)

            for row in file.rows(at_byte):
                self._rows += 1
                yield row
            before = read + file.size

    def single_rows(self) -> Iterator[list[SourceRow]]:
        """Every row as a group of its own."""
        return ([row] for row in self.rows())

    def grouping(self, groups: int) -> None:
        """Say how many groups are to come."""
        self._groups = groups

    def stage_and_land(
        self, groups: Callable[[], Iterator[list[SourceRow]]], staging: Staging, acting_user: User
    ) -> IngestResult:
        """Draft, stage and land; then set aside what the database knew otherwise, read a second time."""
        drafting = Drafting(self._mapping)
        numbered = enumerate(groups())
        done = 0
        while part := list(islice(numbered, DRAFTED_AT_A_TIME)):
            staging.add(self._drafted(drafting, part))
            done += len(part)
            if self._groups:
                self._progress("Putting together", done, self._groups)
        self._progress("Landing", 0, 0)
        result = staging.land(origin=self._origin, acting_user=acting_user)
        if result.rejections:
            rejected = {each.position: each for each in result.rejections}
            for position, rows in enumerate(groups()):
                if position in rejected:
                    self.rejects.add(rows, rejected[position].column, rejected[position].reason)
        return result

    def _drafted(
        self, drafting: Drafting, part: Iterable[tuple[int, list[SourceRow]]]
    ) -> list[ReportedTransaction]:
        """What of `part` can be a transaction; the rest is set aside."""
        drafts: list[Draft] = []
        rows_of: list[list[SourceRow]] = []
        for position, rows in part:
            try:
                if len(rows) > MOST_LINES:
                    raise RowRejected(
                        "", f"More than {MOST_LINES:,} rows make one transaction. Check source.group_by."
                    )
                drafts.append(drafting.draft(position, rows))
                rows_of.append(rows)
            except RowRejected as rejected:
                self.rejects.add(rows, rejected.problem.column, rejected.problem.reason)
        reported = []
        for rows, draft in zip(rows_of, compute(drafts), strict=True):
            if isinstance(draft, Problem):
                self.rejects.add(rows, draft.column, draft.reason)
            else:
                self._ambiguous_times += draft.ambiguous_times
                reported.append(draft.reported)
        return reported

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


def _opened(wanted: Import) -> list[SourceFile]:
    """The files, with columns that the mapping fits. Raises `UnreadableFile`, `WrongMapping`, `NothingToImport`."""
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
    for file in files:
        file.open()
        if file.columns:
            wanted.mapping.check_columns(file.columns, file.name)
    return files
