"""What can happen to transactions, as the trail records it."""

from django.utils.translation import gettext_noop as _

from audit.events import EventData, register_event


class TransactionsImported(EventData, frozen=True):
    """Counts are of transactions; `contradicting` ones were rejected because other facts or amounts are known.

    `calculations` came in, and `root` (hexadecimal) is the Merkle root over their leaves: `transactions.models.IngestLeaves`. Both are null
    in entries of before leaves were kept; a later entry transactions.covered then has them.
    """

    source: str
    origin: str
    imported: int
    unchanged: int
    recalculated: int
    superseding_corrections: int
    contradicting: int
    calculations: int | None = None
    root: str | None = None


class BatchCovered(EventData, frozen=True):
    """Leaves of a batch that came in before leaves were kept: from here on it cannot be changed unseen."""

    calculations: int
    root: str


class PersonalDataRevealed(EventData, frozen=True):
    """Which fields somebody saw unmasked; what stood in them is not written down, so that it stays erasable."""

    fields: list[str]


class SearchSaved(EventData, frozen=True):
    """`query` is the query string of Find's address; `shared` with all, or for its owner alone."""

    query: str
    shared: bool


class SearchForgotten(EventData, frozen=True):
    """What was kept, so that the trail still has it."""

    query: str


IMPORTED = register_event("transactions.imported", _("{actor} imported {subject}"), TransactionsImported)
BATCH_COVERED = register_event(
    "transactions.covered", _("{actor} took hashes of all that came with {subject}"), BatchCovered
)
PERSONAL_DATA_REVEALED = register_event(
    "transaction.personal_data_revealed",
    _("{actor} looked at the personal data of {subject}"),
    PersonalDataRevealed,
)
SEARCH_SAVED = register_event("search.saved", _("{actor} saved {subject}"), SearchSaved)
SEARCH_FORGOTTEN = register_event("search.forgotten", _("{actor} forgot {subject}"), SearchForgotten)
