"""Searches that people keep: for themselves, or for everybody."""

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from transactions.events import SEARCH_FORGOTTEN, SEARCH_SAVED, SearchForgotten, SearchSaved
from transactions.models import SavedSearch

LONGEST_NAME = 100
LONGEST_QUERY = 8000
_PERMISSION = "transactions.view_transaction"


class SearchUnnamed(Refused):
    """A search was to be kept without a name, or with one that is too long."""


class SearchTooLong(Refused):
    """A search's address is longer than is kept."""


class SearchNameTaken(Refused):
    """Its owner keeps another search of that name."""


class SearchOfAnother(Refused):
    """Only who keeps a search can forget it."""


def saved_searches(reader: User) -> QuerySet[SavedSearch]:
    """The reader's own and those shared with all, by name."""
    return SavedSearch.objects.filter(Q(owner=reader) | Q(shared=True)).select_related("owner")


def save_search(name: str, query: str, *, shared: bool, acting_user: User) -> SavedSearch:
    """Keep `query`, the query string of Find's address, under `name`; asked twice, it is kept once.

    Raises `NotPermitted`, `SearchUnnamed`, `SearchTooLong`, `SearchNameTaken`.
    """
    demand(acting_user, _PERMISSION)
    name = " ".join(name.replace("\0", "").split())
    if not 1 <= len(name) <= LONGEST_NAME:
        raise SearchUnnamed(_("Give the search a name of at most %(most)d letters.") % {"most": LONGEST_NAME})
    if len(query) > LONGEST_QUERY:
        raise SearchTooLong(_("The search is too long to be kept: name fewer references or stores."))
    try:
        with transaction.atomic():
            saved = SavedSearch.objects.create(owner=acting_user, name=name, query=query, shared=shared)
            record(SEARCH_SAVED, saved, SearchSaved(query=query, shared=shared), actor=acting_user)
    except IntegrityError:
        saved = SavedSearch.objects.get(owner=acting_user, name=name)
        if (saved.query, saved.shared) != (query, shared):
            raise SearchNameTaken(
                _("You keep another search named “%(name)s”: forget it first, or choose another name.")
                % {"name": name}
            ) from None
    return saved


def forget_search(saved: SavedSearch, *, acting_user: User) -> None:
    """Keep it no longer. Raises `NotPermitted`, `SearchOfAnother`."""
    demand(acting_user, _PERMISSION)
    if saved.owner_id != acting_user.pk:
        raise SearchOfAnother(
            _("“%(name)s” is somebody else's search: only they can forget it.") % {"name": saved.name}
        )
    with transaction.atomic():
        record(SEARCH_FORGOTTEN, saved, SearchForgotten(query=saved.query), actor=acting_user)
        saved.delete()
