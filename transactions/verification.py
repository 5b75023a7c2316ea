"""What a verification asks of this floor's tables: is everything that came in still what it was, and is nothing missing or put in?"""

from collections.abc import Callable, Iterator
from functools import partial

from audit.leaves import Difference, differences
from audit.merkle import merkle_root, split_leaves
from audit.verification import Connection, Finding, Piece, Scope, ranges, register_check, tampered
from transactions.leaves import batch_root
from transactions.verification_sql import (
    BATCHES,
    INGEST_PIECE,
    INGEST_PIECE_ROWS,
    INGEST_PIECES,
    OUTSIDE_OF_PIECES,
    PIECE_SPAN,
    REPORTED_COUNTS,
    SUPERSESSIONS,
    UNKNOWN_RELEASES,
)

BATCHES_AT_A_TIME = 500
ROWS_AT_A_TIME = 20_000
MOST_NAMED = 200
"""Rows of one batch that are named one by one."""

CALCULATIONS = "calculations that came in"
BATCH_ROOTS = "ingest batches"
MOVES_BY_SERVICES = "supersessions"


Look = Callable[[int, int, int, Connection], Iterator[Finding]]
"""What looks at the rows with an id above the second and up to the third argument; the first is the scope's `since`."""


def check_calculations(scope: Scope) -> Iterator[Piece]:
    """Every piece of every batch: facts and calculations hashed anew, against the leaves that were kept."""
    with scope.connection.cursor("ingest_pieces") as cursor:
        for number, rows in cursor.execute(INGEST_PIECES, {"since": scope.since}):
            yield Piece(rows, partial(_look_at_piece, number))
    if not scope.since:
        yield Piece(0, _look_for_inserted)


def _look_at_piece(number: int, connection: Connection) -> Iterator[Finding]:
    with connection.cursor(binary=True) as cursor:
        lowest, highest = cursor.execute(PIECE_SPAN, {"piece": number}).fetchone() or (None, None)
        parameters = {"piece": number, "lowest": lowest, "highest": highest}
        row = cursor.execute(INGEST_PIECE, parameters).fetchone()
        assert row is not None
        batch, position, kept, root, rows_hold = row
        where = f"Ingest batch {batch}, piece {position}"
        if merkle_root(split_leaves(kept)) != root:
            yield tampered(CALCULATIONS, where, "its leaves do not hash to its root: they were changed.")
        if not rows_hold:
            rows = cursor.execute(INGEST_PIECE_ROWS, parameters).fetchall()
            yield from _name_rows(where, rows, split_leaves(kept))


Row = tuple[int, str | None, bytes, bytes, bool, int]
"""Calculation, its transaction's reference, its leaf by the facts and by their stored hash, whether these agree, its transaction."""


def _name_rows(where: str, rows: list[Row], kept: list[bytes]) -> Iterator[Finding]:
    as_kept = set(kept)
    for calculation, reference, leaf, by_kept_facts, facts_hold, _ in rows:
        if leaf in as_kept and not facts_hold:
            yield tampered(
                CALCULATIONS,
                f"Transaction {reference} (calculation {calculation})",
                "its stored hash of the facts was changed; the facts themselves are as they came in.",
            )
        elif leaf not in as_kept and by_kept_facts in as_kept:
            yield tampered(
                CALCULATIONS,
                f"Transaction {reference} (calculation {calculation})",
                "its facts (source, reference, store, currency, scale, time or inputs) are not those that came in.",
            )
    # Where the leaf with the stored hash of the facts was kept, the calculation is as it came in, and what was said above is all.
    hashed = [by_kept if by_kept in as_kept else leaf for _, _, leaf, by_kept, _, _ in rows]
    for difference in differences(hashed, kept):
        yield _calculation_differs(difference, where, rows)


def _calculation_differs(difference: Difference, where: str, rows: list[Row]) -> Finding:
    if difference.row is None:
        after = (
            f"after calculation {rows[difference.after][0]}" if difference.after >= 0 else "at its beginning"
        )
        return tampered(
            CALCULATIONS, where, f"a calculation {after} is gone: leaf {difference.kept} has no row any more."
        )
    calculation, reference, _, _, _, transaction = rows[difference.row]
    if reference is None:
        return tampered(
            CALCULATIONS,
            f"Calculation {calculation} of transaction {transaction}",
            "its transaction, or that one's store, is gone.",
        )
    subject = f"Calculation {calculation} of transaction {reference}"
    if difference.kept is None:
        return tampered(
            CALCULATIONS, subject, f"was put in: no leaf of batch {where.split()[2][:-1]} covers it."
        )
    return tampered(
        CALCULATIONS,
        subject,
        "its amounts, release, time or transaction (or its transaction's facts together with their hash) are not those that came in.",
    )


def _look_for_inserted(connection: Connection) -> Iterator[Finding]:
    """Calculations outside of every piece of their batch. Inside of one they make its leaves differ."""
    for batch, there, covered in connection.execute(REPORTED_COUNTS).fetchall():
        if covered is None:
            yield tampered(
                CALCULATIONS,
                f"Ingest batch {batch}",
                f"has {there} calculations and no leaves that cover them.",
            )
        outside = connection.execute(OUTSIDE_OF_PIECES, {"batch": batch, "most": MOST_NAMED}).fetchall()
        for calculation, reference in outside:
            yield tampered(
                CALCULATIONS,
                f"Calculation {calculation} of transaction {reference or '(gone)'}",
                f"was put in: no leaf of batch {batch} covers it.",
            )
    for calculation, release in connection.execute(UNKNOWN_RELEASES, {"most": MOST_NAMED}).fetchall():
        yield tampered(CALCULATIONS, f"Calculation {calculation}", f"its release {release} is gone.")


def check_batches(scope: Scope) -> Iterator[Piece]:
    """Every batch's pieces against the root that the trail carries."""
    yield from _by_id(scope, "transactions_ingestbatch", BATCHES_AT_A_TIME, _look_at_batches)


def _look_at_batches(since: int, after: int, through: int, connection: Connection) -> Iterator[Finding]:
    rows = connection.execute(BATCHES, {"after": after, "through": through, "since": since}).fetchall()
    for batch, exists, roots, positions, leaves, entries, superseding in rows:
        subject = f"Ingest batch {batch}"
        if not exists:
            yield tampered(BATCH_ROOTS, subject, "is gone, though leaves or the trail tell of it.")
        covering = [entry for entry in entries if entry["root"] is not None]
        if not covering:
            yield tampered(
                BATCH_ROOTS, subject, f"has {leaves} leaves, and no entry of the trail carries their root."
            )
            continue
        if len(covering) > 1:
            told = ", ".join(str(entry["id"]) for entry in covering)
            yield tampered(BATCH_ROOTS, subject, f"several entries ({told}) carry a root for it.")
        if positions != list(range(len(positions))):
            yield tampered(BATCH_ROOTS, subject, "pieces of its leaves are missing.")
        told, root = covering[0]["calculations"], covering[0]["root"]
        if (leaves, batch_root(bytes(each) for each in roots).hex()) != (told, root):
            yield tampered(
                BATCH_ROOTS,
                subject,
                f"its {leaves} leaves are not those that entry {covering[0]['id']} of the trail covers ({told}).",
            )
        said = [entry["superseding"] for entry in entries if entry["superseding"] is not None]
        if said and said != [superseding]:
            yield tampered(
                BATCH_ROOTS,
                subject,
                f"superseded {superseding} corrections by the records, and {said[0]} by entry {entries[0]['id']}.",
            )


def check_supersessions(scope: Scope) -> Iterator[Piece]:
    """Every supersession is one that ingest makes: a newer reported calculation, of the same transaction."""
    if not scope.since:
        yield from _by_id(scope, "transactions_supersession", ROWS_AT_A_TIME, _look_at_supersessions)


def _look_at_supersessions(
    _since: int, after: int, through: int, connection: Connection
) -> Iterator[Finding]:
    rows = connection.execute(SUPERSESSIONS, {"after": after, "through": through}).fetchall()
    for number, transaction in rows:
        yield tampered(
            MOVES_BY_SERVICES,
            f"Supersession {number} of transaction {transaction}",
            "is none that an import makes: it must lead from one calculation of the transaction to a newer, reported one.",
        )


def _by_id(scope: Scope, table: str, step: int, look: Look) -> Iterator[Piece]:
    """Pieces of `step` ids each, from the lowest to the highest that the table has."""
    for after, through in ranges(scope.connection, f"SELECT min(id), max(id) FROM {table}", step):
        yield Piece(through - after, partial(look, scope.since, after, through))


def register_checks() -> None:
    """Make these part of every verification."""
    register_check(CALCULATIONS, check_calculations)
    register_check(BATCH_ROOTS, check_batches)
    register_check(MOVES_BY_SERVICES, check_supersessions)
