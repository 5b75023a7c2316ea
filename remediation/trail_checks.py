"""What a verification of the trail asks of this floor's tables: plans, what was applied of them, and every pointer.

Not to be mistaken for `remediation.verification`, which recomputes a case's transactions: here nothing is calculated, and everything that
is on record is held against the hashes that were kept of it and against the trail.
"""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import Any

from audit.leaves import Difference, differences
from audit.merkle import merkle_root, split_leaves
from audit.verification import Connection, Finding, Piece, Scope, ranges, register_check, tampered
from remediation.job_checks import ENDINGS, check_endings
from remediation.plan_checks import PLANS, check_plans
from remediation.sample_checks import SAMPLES, check_samples
from remediation.trail_checks_sql import (
    ALL_TRANSACTIONS,
    CHUNKS_GONE,
    JOB_CHUNKS,
    PLAN_CHUNK,
    PLAN_CHUNK_ROWS,
    PLAN_CHUNKS,
    POINTERS,
    SCANS_GONE,
    STRAY_CONFLICTS,
    STRAY_PROPOSALS,
    TOUCHED,
    UNMOVABLE,
)

ROWS_AT_A_TIME = 20_000
CHUNKS_AT_A_TIME = 1_000
MOST_NAMED = 200
"""Rows of one chunk, or of one kind, that are named one by one."""

CORRECTIONS = "corrections"
APPLIED = "applied chunks"
POINTER_HISTORY = "pointers"


def check_corrections(scope: Scope) -> Iterator[Piece]:
    """Every chunk of every plan: its rows hashed anew, against its leaves; those against its root, and that against the trail."""
    with scope.connection.cursor("plan_chunks") as cursor:
        for number, rows in cursor.execute(PLAN_CHUNKS, {"since": scope.since}):
            yield Piece(rows, partial(_look_at_plan_chunk, number))
    yield Piece(0, _look_for_strays)


def _look_at_plan_chunk(number: int, connection: Connection) -> Iterator[Finding]:
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(PLAN_CHUNK, {"chunk": number}).fetchone()
    assert row is not None
    plan, position, proposed, root, digest, octets, rows_hold, ranges, entries = row
    where = f"Plan {plan}, chunk {position}"
    if octets is None:
        yield tampered(CORRECTIONS, where, "its leaves are gone.")
        return
    kept = split_leaves(octets)
    if sha256(octets).digest() != digest or merkle_root(kept) != root or len(kept) != proposed:
        yield tampered(CORRECTIONS, where, "its leaves are not those of its root, its digest and its count.")
    if len(entries) != 1:
        told = ", ".join(str(entry["id"]) for entry in entries) or "none"
        yield tampered(
            CORRECTIONS, where, f"one entry of the trail should tell of its scan: there is {told}."
        )
    for entry in entries[:1]:
        if (entry["data"]["root"], entry["data"]["proposed"]) != (root.hex(), proposed):
            yield tampered(
                CORRECTIONS,
                where,
                f"its root or its count is not the one in entry {entry['id']} of the trail.",
            )
    if not rows_hold:
        yield from _name_rows(number, where, kept, connection)
    yield from _ranges_hold(ranges, connection)


def _name_rows(chunk: int, where: str, kept: list[bytes], connection: Connection) -> Iterator[Finding]:
    named = connection.execute(UNMOVABLE, {"chunk": chunk, "most": MOST_NAMED}).fetchall()
    for reference, calculation, what in named:
        yield tampered(
            CORRECTIONS, f"Calculation {calculation} of transaction {reference}", f"{what} is not there."
        )
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(PLAN_CHUNK_ROWS, {"chunk": chunk}).fetchall()
    for difference in differences([row[4] for row in rows], kept):
        if difference.row is None and named:
            continue  # those that cannot be read any more were named above
        yield _row_differs(difference, where, rows)


def _row_differs(difference: Difference, where: str, rows: list[tuple[Any, ...]]) -> Finding:
    if difference.row is None:
        after = (
            f"after transaction {rows[difference.after][1]}" if difference.after >= 0 else "at its beginning"
        )
        return tampered(
            CORRECTIONS, where, f"a row {after} is gone: leaf {difference.kept} has no row any more."
        )
    _, reference, calculation, replaces, _ = rows[difference.row]
    subject = f"Calculation {calculation} of transaction {reference}"
    if difference.kept is None:
        return tampered(
            CORRECTIONS, subject, f"was put into {where[0].lower()}{where[1:]}: no leaf covers it."
        )
    return tampered(
        CORRECTIONS,
        subject,
        f"its amounts, release, time or transaction, those of calculation {replaces}, which it replaces, or the facts of the"
        f" transaction are not those that were approved ({where}, leaf {difference.kept}).",
    )


def _ranges_hold(ranges: list[dict[str, Any]], connection: Connection) -> Iterator[Finding]:
    """What the rows say was applied in each finished range, against what its job's chunk says."""
    by_chunk: dict[int, list[dict[str, Any]]] = {}
    for part in ranges:
        by_chunk.setdefault(part["id"], []).append(part)
    if not by_chunk:
        return
    stored = connection.execute(
        "SELECT id, job_id, position, leaf_count, first_transaction, last_transaction, result FROM remediation_jobchunk"
        " WHERE id = ANY(%s) ORDER BY id",
        [list(by_chunk)],
    ).fetchall()
    for number, job, position, leaf_count, lowest, highest, result in stored:
        parts = by_chunk[number]
        rows, conflicts = (sum(part[name] for part in parts) for name in ("rows", "conflicts"))
        money = {part["money_key"]: int(part["delta"]) for part in parts if part["delta"] is not None}
        span = (min(part["lowest"] for part in parts), max(part["highest"] for part in parts))
        expected = {"applied": rows - conflicts, "conflicts": conflicts, "money": money}
        if (rows, span, expected) != (leaf_count, (lowest, highest), result):
            yield tampered(
                APPLIED,
                f"Job {job}, chunk {position}",
                f"its rows, conflicts or money are {rows}, {conflicts} and {money} by the rows; on record are {leaf_count},"
                f" {(result or {}).get('conflicts')} and {(result or {}).get('money')}.",
            )


def _look_for_strays(connection: Connection) -> Iterator[Finding]:
    most = {"most": MOST_NAMED}
    for chunk, rows in connection.execute(STRAY_PROPOSALS, most).fetchall():
        yield tampered(
            CORRECTIONS,
            f"Plan chunk {chunk}",
            f"is gone or was never scanned, though {rows} proposed rows name it.",
        )
    for entry, chunk in connection.execute(SCANS_GONE, most).fetchall():
        yield tampered(
            CORRECTIONS, f"Plan chunk {chunk}", f"is gone or empty; entry {entry} tells of its scan."
        )


def check_applied(scope: Scope) -> Iterator[Piece]:
    """Every chunk of an apply against the entry that it wrote, and its conflicts against both."""
    span = "SELECT min(id), max(id) FROM remediation_jobchunk"
    for after, through in ranges(scope.connection, span, CHUNKS_AT_A_TIME):
        yield Piece(through - after, partial(_look_at_job_chunks, scope.since, after, through))
    yield Piece(0, _look_for_chunks_gone)


def _look_at_job_chunks(since: int, after: int, through: int, connection: Connection) -> Iterator[Finding]:
    rows = connection.execute(JOB_CHUNKS, {"since": since, "after": after, "through": through}).fetchall()
    for row in rows:
        _, position, job, status = row[:4]
        subject = f"Job {job}, chunk {position}"
        applied = [entry for entry in row[14] if entry["event"] == "chunk.applied"]
        if status == "done":
            if len(applied) != 1:
                yield tampered(
                    APPLIED, subject, f"one entry of the trail should tell of it: there are {len(applied)}."
                )
                continue
            if wrong := _differs_from_entry(row, applied[0]["data"]):
                yield tampered(
                    APPLIED, subject, f"{wrong} not what entry {applied[0]['id']} of the trail says."
                )
            continue
        if applied:
            yield tampered(
                APPLIED,
                subject,
                f"is {status}, and entry {applied[0]['id']} of the trail says it was applied.",
            )
        quarantined = any(entry["event"] == "chunk.quarantined" for entry in row[14])
        if quarantined != (status == "quarantined"):
            yield tampered(
                APPLIED,
                subject,
                f"is {status}, and the trail {'says' if quarantined else 'does not say'} quarantined.",
            )


def _differs_from_entry(row: tuple[Any, ...], data: dict[str, Any]) -> str:
    """What of a finished chunk is not as its entry says, for people; "" where all is."""
    _, _, job, _, plan, plan_chunk, first_leaf, leaf_count, result, _, _, root, conflicts, digest, _ = row
    wrong = [
        name
        for name, there, told in (
            ("its job", job, data["job"]),
            ("its plan", plan, data["plan"]),
            ("its plan's chunk", plan_chunk, data["plan_chunk"]),
            ("its first leaf", first_leaf, data["first_leaf"]),
            ("its number of leaves", leaf_count, data.get("leaf_count", leaf_count)),
            ("its root", root, data["root"]),
            ("its result", result, {name: data[name] for name in ("applied", "conflicts", "money")}),
            ("the number of its conflicts", conflicts, data["conflicts"]),
            ("which transactions were its conflicts", digest, data.get("conflicts_digest", digest)),
        )
        if there != told
    ]
    return "" if not wrong else f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'}"


def _look_for_chunks_gone(connection: Connection) -> Iterator[Finding]:
    most = {"most": MOST_NAMED}
    for entry, chunk in connection.execute(CHUNKS_GONE, most).fetchall():
        yield tampered(APPLIED, f"Job chunk {chunk}", f"is gone; entry {entry} of the trail tells of it.")
    for outcome, reference, job in connection.execute(STRAY_CONFLICTS, most).fetchall():
        yield tampered(
            APPLIED,
            f"Outcome {outcome} of transaction {reference}",
            f"was put in: no finished chunk of job {job} covers that transaction.",
        )


def check_pointers(scope: Scope) -> Iterator[Piece]:
    """Every pointer against ingest, finished chunks and supersessions: each stands where these led it."""
    spans = [f"SELECT {low}, {high}" for low, high in _touched(scope)] if scope.since else [ALL_TRANSACTIONS]
    for span in spans:
        for after, through in ranges(scope.connection, span, ROWS_AT_A_TIME):
            yield Piece(through - after, partial(_look_at_pointers, after, through))


def _touched(scope: Scope) -> list[tuple[int, int]]:
    """Spans of ids, (lowest, highest), of the transactions whose pointers can have moved since; apart from each other."""
    joined: list[tuple[int, int]] = []
    for low, high in scope.connection.execute(TOUCHED, {"since": scope.since}).fetchall():
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return joined


_WRONG_POINTER = {
    "gone": "is gone, though a pointer, a move or a calculation of it is there.",
    "unpointed": "stands on no calculation: its pointer is gone.",
    "moved": "stands on calculation {0}, and no import, finished chunk or supersession put it there.",
    "held back": "stands on calculation {0}, though its service has reported a newer one.",
}


def _look_at_pointers(after: int, through: int, connection: Connection) -> Iterator[Finding]:
    rows = connection.execute(POINTERS, {"after": after, "through": through}).fetchall()
    for transaction, reference, calculation, what in rows:
        yield tampered(
            POINTER_HISTORY,
            f"Transaction {reference or transaction}",
            _WRONG_POINTER[what].format(calculation),
        )


def register_checks() -> None:
    """Make these, and those of plans, of how jobs ended and of audit samples, part of every verification."""
    register_check(PLANS, check_plans)
    register_check(CORRECTIONS, check_corrections)
    register_check(APPLIED, check_applied)
    register_check(POINTER_HISTORY, check_pointers)
    register_check(ENDINGS, check_endings)
    register_check(SAMPLES, check_samples)
