"""Asks Linux to end a process with the process that started it, so that a kill -9 of the parent leaves nothing behind."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(with_signal: signal.Signals) -> None:
    """Have the kernel send `with_signal` to this process when its parent dies. Does nothing on systems other than Linux.

    Called in the child. A parent that died in between is noticed too: the child was then given to init, or a subreaper.
    Raises `OSError` where the kernel refuses.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), with_signal)
