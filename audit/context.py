"""Which request the work at hand belongs to.

A view, a command or a task says once which request it is; every audit entry written meanwhile carries it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

_request_id: ContextVar[str] = ContextVar("amends_request_id", default="")


def current_request_id() -> str:
    """The id of the request being served, or "" outside of any."""
    return _request_id.get()


@contextmanager
def request(request_id: str = "") -> Iterator[str]:
    """Let the entries written inside carry `request_id` (at most 64 characters; a new one where none is given)."""
    token = _request_id.set(request_id[:64] or uuid4().hex)
    try:
        yield _request_id.get()
    finally:
        _request_id.reset(token)
