"""What happened to one transaction, told by every floor that knows something of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from transactions.models import Calculation, Transaction


@dataclass(frozen=True)
class Happening:
    """Something that happened to a transaction.

    `text` is a sentence; `status` says in a few words what it means for the calculation `calculation_id`; `link` is the address of the
    page that tells more, "" where there is none.
    """

    at: datetime
    text: str
    calculation_id: int | None = None
    status: str = ""
    link: str = ""


HistorySource = Callable[[Transaction, Sequence[Calculation]], Iterable[Happening]]

_sources: list[HistorySource] = []


def tells_history(source: HistorySource) -> HistorySource:
    """Register a function that tells what it knows of a transaction and its calculations; a decorator."""
    if source not in _sources:
        _sources.append(source)
    return source


def history_of(transaction: Transaction, calculations: Sequence[Calculation]) -> list[Happening]:
    """Everything that is known to have happened to `transaction`, the earliest first."""
    told = (happening for source in _sources for happening in source(transaction, calculations))
    return sorted(told, key=lambda happening: happening.at)
