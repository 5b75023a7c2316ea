"""Verification: whether the trail, and everything that it covers, is still what was written.

Each app registers the checks of its own tables. A check names its work piece by piece; the pieces are looked at by several connections
at once, all in one snapshot of the database, so that jobs and imports go on meanwhile and never look like tampering. Nothing is
kept but findings: memory stays the same for ten million rows as for ten.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

import psycopg
import structlog
from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from audit.checkpoint import SignedCheckpoint
from audit.errors import Refused
from audit.events import EventData, register_event
from audit.models import Trail
from audit.snapshot import Snapshot
from audit.trail import record

logger = structlog.get_logger(__name__)

Connection = psycopg.Connection[Any]
Kind = Literal["tampered", "incomplete"]

MOST_FINDINGS = 1_000
"""So many are told; the others are counted."""
_LOCK = [7110, 0]
IN_THE_ENTRY = 20
"""Findings that the audit entry repeats."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written ("tampered"), or could not be looked at ("incomplete").

    `subject` names the row for people ("calculation 17 of transaction till/A-1"), `problem` says what is wrong with it.
    """

    kind: Kind
    check: str
    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


def tampered(check: str, subject: str, problem: str) -> Finding:
    """What `check` found that is not as it was written."""
    return Finding("tampered", check, subject, problem)


@dataclass(frozen=True)
class Piece:
    """A part of a check's work, of about `rows` rows; `look` is called on any of the snapshot's connections."""

    rows: int
    look: Callable[[Connection], Iterable[Finding]]


@dataclass(frozen=True)
class Scope:
    """What is to be verified, and against what.

    `connection` is in the snapshot, for checks to find their pieces with. Entries sealed up to and with sequence `since` (0: none), and
    what they cover, are not looked at again. `checkpoints` were kept outside of the database; `keys` (32 bytes each) the auditor trusts.
    """

    connection: Connection
    since: int = 0
    checkpoints: tuple[SignedCheckpoint, ...] = ()
    keys: tuple[bytes, ...] = ()


def ranges(connection: Connection, query: str, step: int) -> Iterator[tuple[int, int]]:
    """(after, through) for each `step` numbers between the two, lowest and highest, that `query` gives; none where it gives nulls."""
    lowest, highest = connection.execute(query).fetchone() or (None, None)
    if lowest is None or highest is None:
        return
    for after in range(lowest - 1, highest, step):
        yield after, min(after + step, highest)


Check = Callable[[Scope], Iterator[Piece]]
Progress = Callable[[str, int], None]
"""Told the check at work and how many rows more were looked at."""

SEALED_AFTER = """(%(since)s = 0 OR NOT EXISTS (
    SELECT FROM audit_auditseal seal WHERE seal.entry_id = entry.id AND seal.sequence <= %(since)s))"""
"""SQL, of an `entry`: whether it was sealed after the scope's `since`, or not yet."""


def _untold(_check: str, _rows: int) -> None:
    """Nobody asked for progress."""


_checks: dict[str, Check] = {}


class AlreadyVerifying(Refused):
    """Another verification is at work. It reads everything too: wait for its result."""


class CheckAlreadyRegistered(ValueError):
    """Two checks claim one name."""


def register_check(name: str, check: Check) -> None:
    """Make `check` part of every verification, after those registered before. Raises `CheckAlreadyRegistered`."""
    if _checks.setdefault(name, check) is not check:
        raise CheckAlreadyRegistered(f"There is a check “{name}” already.")


class AuditVerified(EventData, frozen=True):
    """What a verification found. `result` is "ok", "tampered" or "incomplete"; `since` and `sequence` say which seals it went through.

    `rows` are those looked at, by check; `findings` the first ones, each {"kind", "check", "subject", "problem"}; `checkpoints` the numbers
    of the checkpoints from outside that it was held against.
    """

    result: str
    since: int
    sequence: int
    rows: dict[str, int]
    tampered: int
    incomplete: int
    findings: list[dict[str, str]]
    checkpoints: list[int]
    seconds: int


VERIFIED = register_event("audit.verified", _("{actor} verified {subject}"), AuditVerified)


@dataclass
class Verification:
    """What was looked at, and what was found. `sequence` is that of the newest seal in the snapshot."""

    since: int
    sequence: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    tampered: int = 0
    incomplete: int = 0
    checkpoints: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def result(self) -> str:
        """The worst of what was found: "ok", "incomplete" or "tampered"."""
        return "tampered" if self.tampered else "incomplete" if self.incomplete else "ok"

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
            if finding.kind == "tampered":
                self.tampered += 1
            else:
                self.incomplete += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding)


def verify_everything(
    *,
    since: SignedCheckpoint | None = None,
    checkpoints: Iterable[SignedCheckpoint] = (),
    keys: Iterable[bytes] = (),
    connections: int = 2,
    progress: Progress = _untold,
) -> Verification:
    """Run every registered check over one snapshot of the database and record the result in the trail.

    With `since`, only what was sealed after that checkpoint. `connections` are at work at a time. A database that goes away in the
    middle leaves a finding of kind "incomplete", as long as it is back for the result to be recorded. Raises `AlreadyVerifying`.
    """
    with _alone():
        return _verify_everything(since, checkpoints, keys, connections, progress)


def _verify_everything(
    since: SignedCheckpoint | None,
    checkpoints: Iterable[SignedCheckpoint],
    keys: Iterable[bytes],
    connections: int,
    progress: Progress,
) -> Verification:
    outside = (*checkpoints, *([since] if since else ()))
    verification = Verification(
        since=since.sequence if since else 0, checkpoints=sorted({each.number for each in outside})
    )
    begun = monotonic()
    try:
        with Snapshot() as snapshot:
            scope = Scope(snapshot.leading, verification.since, outside, tuple(keys))
            verification.sequence = _newest_sequence(snapshot.leading)
            with ThreadPoolExecutor(connections, thread_name_prefix="verify") as pool:
                for name, check in _checks.items():
                    _run(name, check(scope), snapshot, pool, connections, verification, progress)
    except psycopg.OperationalError as error:
        logger.warning("audit.verification_interrupted", error=str(error))
        verification.add(
            [Finding("incomplete", "database", "The verification", f"was interrupted: {str(error).strip()}")]
        )
    verification.seconds = monotonic() - begun
    _record(verification)
    return verification


@contextmanager
def _alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK)
        if cursor.fetchone() != (True,):
            raise AlreadyVerifying("A verification is at work already. Wait for its result.")
    try:
        yield
    finally:
        if connection.is_usable():  # where it went away the lock went with it
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", _LOCK)


def _run(
    name: str,
    pieces: Iterator[Piece],
    snapshot: Snapshot,
    pool: ThreadPoolExecutor,
    connections: int,
    into: Verification,
    progress: Progress,
) -> None:
    """Look at a check's pieces, as many at a time as there are connections and a few waiting, whatever their number."""
    into.rows[name] = 0
    under_way: set[Future[tuple[int, list[Finding]]]] = set()

    def look(piece: Piece) -> tuple[int, list[Finding]]:
        with snapshot.lent() as connection:
            return piece.rows, list(piece.look(connection))

    def take(done: Iterable[Future[tuple[int, list[Finding]]]]) -> None:
        for each in done:
            rows, found = each.result()
            into.add(found)
            into.rows[name] += rows
            progress(name, rows)

    progress(name, 0)
    try:
        for piece in pieces:
            under_way.add(pool.submit(look, piece))
            if len(under_way) >= 2 * connections:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                take(done)
        take(wait(under_way).done)
    finally:
        for each in under_way:
            each.cancel()


def _newest_sequence(connection: Connection) -> int:
    (newest,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM audit_auditseal").fetchone() or (
        0,
    )
    return int(newest)


def _record(verification: Verification) -> None:
    with transaction.atomic():
        record(
            VERIFIED,
            Trail.objects.get(),
            AuditVerified(
                result=verification.result,
                since=verification.since,
                sequence=verification.sequence,
                rows=verification.rows,
                tampered=verification.tampered,
                incomplete=verification.incomplete,
                findings=[
                    {
                        "kind": each.kind,
                        "check": each.check,
                        "subject": each.subject,
                        "problem": each.problem,
                    }
                    for each in verification.findings[:IN_THE_ENTRY]
                ],
                checkpoints=verification.checkpoints,
                seconds=round(verification.seconds),
            ),
            actor=None,
        )
