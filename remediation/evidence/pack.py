"""The evidence pack of a case: one ZIP with which an outsider can check every correction, with neither our server nor our code.

docs/audit-format.md specifies it, and `verify.py` beside this file, which goes into every pack, checks it.
"""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import orjson
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from audit import evidence
from audit.models import Trail
from audit.permission import demand
from audit.trail import record
from remediation.events import CASE_EXPORTED, CaseExported
from remediation.evidence import rows
from remediation.evidence.summary import summary_of
from remediation.models import Case

FORMAT = "amends-evidence/1"
VERIFIER = Path(__file__).with_name("verify.py")
_LINES_AT_ONCE = 1_000


@dataclass(frozen=True)
class Packed:
    """A pack that was made: the SHA-256 (hexadecimal) of its manifest.json, and how many corrections and audit entries it holds."""

    manifest: str
    corrections: int
    entries: int


@dataclass
class _Writer:
    """Writes members of a ZIP as they come, and notes size and hash of each."""

    archive: zipfile.ZipFile
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        hashed, size = sha256(), 0
        with self.archive.open(name, "w", force_zip64=True) as member:
            for block in blocks:
                hashed.update(block)
                size += len(block)
                member.write(block)
        self.files[name] = {"bytes": size, "sha256": hashed.hexdigest()}

    def write_rows(self, name: str, found: Iterable[dict[str, Any]]) -> int:
        """How many there were."""
        count = 0

        def blocks() -> Iterator[bytes]:
            nonlocal count
            lines: list[bytes] = []
            for row in found:
                count += 1
                lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                if len(lines) == _LINES_AT_ONCE:
                    yield b"".join(lines)
                    lines.clear()
            yield b"".join(lines)

        self.write(name, blocks())
        return count


def write_evidence(case: Case, into: IO[bytes], *, acting_user: User) -> Packed:
    """Write the evidence pack of `case` into a file, as of one moment, and tell the trail who took it.

    Memory stays the same for a million corrections as for ten. Must not be called inside a transaction: everything is read from one
    snapshot of its own. Raises `NotPermitted`.
    """
    demand(acting_user, "audit.export_trail")
    with (
        zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive,
        _one_snapshot(),
    ):
        packed = _write(case, _Writer(archive))
    with transaction.atomic():
        data = CaseExported(manifest=packed.manifest, corrections=packed.corrections)
        record(CASE_EXPORTED, case, data, actor=acting_user, reason=case.reason)
    return packed


@contextmanager
def _one_snapshot() -> Iterator[None]:
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _write(case: Case, writer: _Writer) -> Packed:
    trail = str(Trail.objects.get().uuid)
    made_at = timezone.now()
    entries = evidence.thread_entries("case", case.pk)
    span = evidence.span_of(entries)
    told = {"case": case, "trail": trail, "made_at": made_at, "span": span}
    # Whatever the zone and the language of whoever takes it: the files say that their times are UTC, and are in English.
    with timezone.override(UTC), translation.override("en"):
        readme = render_to_string("remediation/evidence_readme.txt", told)
        summary = render_to_string("remediation/evidence_summary.html", told | summary_of(case))
    writer.write("README.txt", [readme.encode()])
    writer.write("verify.py", [VERIFIER.read_bytes()])
    writer.write("summary.html", [summary.encode()])
    writer.write("case.json", [orjson.dumps(rows.case_row(case, span), option=orjson.OPT_INDENT_2)])
    for name, found in (
        ("releases", rows.release_rows(case)),
        ("plans", rows.plan_rows(case)),
        ("chunks", rows.chunk_rows(case)),
        ("approvals", rows.approval_rows(case)),
        ("jobs", rows.job_rows(case)),
        ("outcomes", rows.outcome_rows(case)),
        ("seals", evidence.seal_rows(span)),
        ("checkpoints", evidence.checkpoint_rows(span)),
        ("keys", evidence.key_rows()),
    ):
        writer.write_rows(f"{name}.ndjson", found)
    told_entries = writer.write_rows("entries.ndjson", evidence.entry_rows(entries))
    corrections = writer.write_rows("corrections.ndjson", rows.correction_rows(case))
    manifest = orjson.dumps(
        {
            "format": FORMAT,
            "trail": trail,
            "case": case.pk,
            "made_at": made_at,
            "files": dict(sorted(writer.files.items())),
        },
        option=orjson.OPT_INDENT_2,
    )
    writer.archive.writestr("manifest.json", manifest)
    return Packed(sha256(manifest).hexdigest(), corrections, told_entries)
