"""Attempts at what somebody may not do stand in the trail, though nothing came of them.

The refusal may be deep in a transaction that is rolled back with it. So it is only noted there, and written when the request or the
command ends, in a transaction of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Q

from audit.flood import Limit, record_within
from audit.trail_events import DENIED, Denied

NOBODY = "nobody signed in"
LIMIT = Limit(a_subject=30, in_all=300)
_MOST_OF_ONE_REQUEST = 5
_noted: ContextVar[list[tuple[User, str]] | None] = ContextVar("amends_denied", default=None)

logger = structlog.get_logger(__name__)


def note_denied(acting_user: AbstractBaseUser | AnonymousUser, tried: str) -> None:
    """Let the trail tell that `acting_user` tried something that they may not do, such as "approve plans"."""
    somebody = acting_user if isinstance(acting_user, User) else User(pk=0, username=NOBODY)
    noted = _noted.get()
    if noted is None:
        logger.warning("denied outside of a request", subject=somebody.get_username(), tried=tried)
    elif (somebody, tried) not in noted and len(noted) < _MOST_OF_ONE_REQUEST:
        noted.append((somebody, tried))


def any_noted() -> bool:
    """Whether the request at hand was denied something already."""
    return bool(_noted.get())


@contextmanager
def denials_recorded(where: str) -> Iterator[None]:
    """Write what was denied inside when it ends. `where` is the address or the command at hand."""
    noted: list[tuple[User, str]] = []
    token = _noted.set(noted)
    try:
        yield
    finally:
        _noted.reset(token)
        for somebody, tried in noted:
            record_within(
                LIMIT,
                DENIED,
                somebody,
                Denied(tried=tried, where=where[:200]),
                actor=somebody if somebody.pk else None,
                key=Q(subject_id=somebody.pk),
                what=somebody.get_username(),
            )
