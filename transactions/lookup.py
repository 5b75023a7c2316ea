"""Looking something up by what it is called: a reference or how it begins, or a word and a number, as in “case 3”.

Each floor registers the kinds of things it knows. Nothing is looked for that no index finds.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.models import AuditEntry
from audit.sentence import sentence
from transactions.models import Store, Transaction
from transactions.prefix import begins_with

MOST_HITS = 10
"""Shown of each kind; the list of that kind shows all."""
LONGEST = 200
_LARGEST_NUMBER = 2**63 - 1
_NAMED = re.compile(r"(?P<word>[^\W\d_]+)(?:\s*[#:]\s*|\s+)?(?P<rest>\S.*)", re.DOTALL)

Text = str | Promise


@dataclass(frozen=True)
class Hit:
    """Something that was found. It is `exact` where what was asked for is its whole name, and not only how that begins."""

    subject: Model
    title: str
    detail: str = ""
    at: datetime | None = None
    exact: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of thing that can be looked up by who has `permission`.

    `words` may stand ahead of its name, in lower case, and must where it is found `only_by_word`; `find` takes the name without them, and
    gives up to `MOST_HITS` + 1 hits. `lists` is the URL name of the list of all that begin so, "" where there is none.
    """

    name: Text
    asked_by: Text
    examples: tuple[str, ...]
    words: tuple[str, ...]
    permission: str
    find: Callable[[str], Iterable[Hit]]
    lists: str = ""
    only_by_word: bool = False


@dataclass(frozen=True)
class Found:
    """What was found of a kind; there is `more` of it than `hits`."""

    kind: Kind
    hits: list[Hit]
    more: bool


@dataclass(frozen=True)
class Answer:
    """What a text finds: each kind of which anything was found."""

    text: str
    found: list[Found]

    @property
    def only(self) -> Hit | None:
        """The one thing that is meant; None where that is nothing, several things, or only how something begins."""
        exact = [hit for found in self.found for hit in found.hits if hit.exact]
        return exact[0] if len(exact) == 1 else None


_kinds: list[Kind] = []


def can_be_looked_up(kind: Kind) -> Kind:
    """Register a kind of thing."""
    if kind not in _kinds:
        _kinds.append(kind)
    return kind


def kinds_for(reader: AbstractBaseUser | AnonymousUser) -> list[Kind]:
    """What `reader` may look up."""
    return [
        kind for kind in _kinds if isinstance(reader, PermissionsMixin) and reader.has_perm(kind.permission)
    ]


def look_up(text: str, *, acting_user: AbstractBaseUser | AnonymousUser) -> Answer:
    """What `text` names, among the kinds that `acting_user` may look at. Some queries for each kind, along indexes."""
    asked = " ".join(text.split())
    if not asked or len(asked) > LONGEST or "\0" in text:
        return Answer(asked, [])
    found = []
    for kind in kinds_for(acting_user):
        hits = {hit.subject.pk: hit for hit in _hits(kind, asked)}
        if hits:
            found.append(Found(kind, list(hits.values())[:MOST_HITS], len(hits) > MOST_HITS))
    return Answer(asked, found)


def _hits(kind: Kind, asked: str) -> Iterable[Hit]:
    """By the whole text, and by what stands behind a word for the kind: a reference may begin with such a word."""
    if not kind.only_by_word:
        yield from kind.find(asked.lstrip("#") or asked)
    named = _NAMED.fullmatch(asked)
    if named and named["word"].casefold() in kind.words:
        yield from kind.find(named["rest"])


def number_of(text: str) -> int | None:
    """`text` as a number that a row may have; None where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    number = int(text)
    return number if number <= _LARGEST_NUMBER else None


def _transactions(text: str) -> Iterable[Hit]:
    found = Transaction.objects.filter(begins_with("reference", text)).select_related("store")
    for each in found.order_by("reference", "id")[: MOST_HITS + 1]:
        yield Hit(each, each.reference, str(each.store), each.occurred_at, each.reference == text)


def _stores(text: str) -> Iterable[Hit]:
    for each in Store.objects.filter(begins_with("reference", text)).order_by("reference", "id")[
        : MOST_HITS + 1
    ]:
        detail = ", ".join(part for part in (each.name, each.country) if part)
        yield Hit(each, each.reference, detail, exact=each.reference == text)


def _entries(text: str) -> Iterable[Hit]:
    number = number_of(text)
    for each in AuditEntry.objects.filter(pk=number) if number is not None else ():
        title = gettext("Entry %(number)s") % {"number": each.pk}
        yield Hit(each, title, sentence(each), each.occurred_at, exact=True)


can_be_looked_up(
    Kind(
        name=_("Transactions"),
        asked_by=_("an order's reference, or how it begins"),
        examples=("o-10293",),
        words=("transaction", "order"),
        permission="transactions.view_transaction",
        find=_transactions,
        lists="admin:transactions_transaction_changelist",
    )
)
can_be_looked_up(
    Kind(
        name=_("Stores"),
        asked_by=_("a store's reference, or how it begins"),
        examples=("tokyo-7",),
        words=("store", "shop"),
        permission="transactions.view_store",
        find=_stores,
        lists="admin:transactions_store_changelist",
    )
)
can_be_looked_up(
    Kind(
        name=_("Entries of the trail"),
        asked_by=_("an entry of the trail, by its number"),
        examples=("entry 812",),
        words=("entry",),
        permission="audit.view_auditentry",
        find=_entries,
        only_by_word=True,  # there is an entry of nearly every number
    )
)
