"""CSV for spreadsheets: no text in it is ever taken for a formula, and numbers stay numbers."""

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from io import StringIO

Cell = str | int | Decimal | None

BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Stands first in a file: without it spreadsheets read UTF-8 as something else."""
# What spreadsheets begin a formula with, in the widths that East Asian keyboards have too; a tab or a line's end may hide one.
_BEGINS_FORMULA = tuple("=+-@\t\r\n＝＋－＠|%")


def harmless(cell: Cell) -> Cell:
    """`cell`, with an apostrophe ahead of a text that a spreadsheet could take for a formula. Numbers are handed on as they are."""
    if isinstance(cell, str) and (
        cell.startswith(_BEGINS_FORMULA) or cell.lstrip().startswith(_BEGINS_FORMULA)
    ):
        return f"'{cell}"
    return cell


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """`rows` as lines of CSV (RFC 4180): every text quoted, numbers not."""
    written = StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([["" if cell is None else harmless(cell) for cell in row] for row in rows])
    return written.getvalue()
