"""When Python looks for cycles: not while tens of thousands of rows are held, which it would go through over and over."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rows_not_searched_for_garbage() -> Iterator[None]:
    """The collector of cycles rests while many rows are held, which all stay: searching them was a third of a scan's time.

    Whoever runs other people's code in it frees what that left behind, a slice at a time (`free_cycles_of_slice`).
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def free_cycles_of_slice() -> None:
    """Free what was left behind in cycles since the last call, and look at nothing that is older."""
    gc.collect(1)
