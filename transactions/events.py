"""What can happen to transactions, as the trail records it."""

from audit.events import EventData, register_event


class TransactionsImported(EventData, frozen=True):
    """Counts are of transactions; `contradicting` ones were rejected because other facts or amounts are known."""

    source: str
    origin: str
    imported: int
    unchanged: int
    recalculated: int
    superseding_corrections: int
    contradicting: int


IMPORTED = register_event("transactions.imported", "imported", TransactionsImported)
