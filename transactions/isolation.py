"""Asking a calculator that hangs, or eats memory, without losing the worker to it.

Usually a calculator runs in the worker's own process, with a watchdog over every slice of rows and a limit on the process's memory: what
exceeds either costs the process, and its chunk goes to another worker. After several of those the chunk's calculator is locked away: it
runs in a child process that tells each row's answer as it goes, so that the row that it hangs at is known, fails, and the rest goes on in
a new child. Pages lock it away always.
"""

import faulthandler
import os
import pickle
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import inf
from typing import Any

from django.conf import settings

from transactions.calculators import (
    CalculationFailure,
    CalculatorUnavailable,
    RegisteredCalculator,
    answers_again,
    run,
)
from transactions.calculators.protocol import Batch, Inputs, Result
from transactions.calculators.remote import RemoteCalculator

_SIZE = struct.Struct(">I")
_LONGEST_WAIT_SECONDS = 1.0
"""Between two looks at the lease, while a row is waited for."""
_UNAVAILABLE = 75  # EX_TEMPFAIL of sysexits.h


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End this process where the block takes longer, and say where it was: somebody else's code that never returns cannot be talked to.

    The watchdog is a thread of the interpreter's own, which needs nothing that a hanging calculator could hold.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def limit_memory(megabytes: int) -> None:
    """Let this process have so much more memory than it has now (10^6 octets), and raise `MemoryError` beyond."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (a file of the kernel's, read in one go)
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 1_000_000
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def _is_elsewhere(calculator: RegisteredCalculator) -> bool:
    """Whether it is asked over HTTP: it can take no process with it, keeps its own time, and tells an outage from a row that fails."""
    return isinstance(getattr(calculator.calculate, "__self__", None), RemoteCalculator)


def _watched(calculator: RegisteredCalculator) -> AbstractContextManager[None]:
    return nullcontext() if _is_elsewhere(calculator) else ended_after(settings.AMENDS_SLICE_SECONDS)


class InProcess:
    """Asks the calculator here, a slice of rows at a time; `renew` keeps the chunk's lease in between."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew

    def first(self, calculator: RegisteredCalculator, batch: Batch) -> list[Result]:
        """The calculator's checked answers, one a row."""
        with _watched(calculator):
            return run(calculator, batch)

    def again(self, calculator: RegisteredCalculator, batch: Batch, before: Sequence[Result]) -> list[bool]:
        """Whether it answers each row as it did `before`."""
        self._renew()
        with _watched(calculator):
            return answers_again(calculator, batch, before)


class LockedAway:
    """Asks the calculator in child processes, a row at a time; `renew` keeps the chunk's lease meanwhile.

    What it has not answered `seconds_in_all` after this was made has failed.
    """

    def __init__(self, renew: Callable[[], None], *, seconds_in_all: float = inf) -> None:
        self._renew = renew
        self._until = time.monotonic() + seconds_in_all

    def first(self, calculator: RegisteredCalculator, batch: Batch) -> list[Result]:
        """The calculator's checked answers; a row that costs its child is a `CalculationFailure` that says how."""
        if _is_elsewhere(calculator):
            return [self._ask_elsewhere(calculator, row) for row in batch]
        try:
            return ask_in_children(
                partial(_run_row, calculator),
                batch,
                renew=self._renew,
                seconds_in_all=self._until - time.monotonic(),
            )
        except CalculatorUnavailable:
            raise CalculatorUnavailable(f"{calculator} cannot answer just now.") from None

    def again(self, calculator: RegisteredCalculator, batch: Batch, before: Sequence[Result]) -> list[bool]:
        """Whether it answers each row as it did `before`, asked in reverse."""
        answers = self.first(calculator, batch[::-1])
        answers.reverse()
        return [answer == first for answer, first in zip(answers, before, strict=True)]

    def _ask_elsewhere(self, calculator: RegisteredCalculator, row: tuple[Inputs, int]) -> Result:
        self._renew()
        (answer,) = run(calculator.without_batches(), [row])
        return answer


def _run_row(calculator: RegisteredCalculator, inputs: Inputs, scale: int) -> Result:
    (answer,) = run(calculator.without_batches(), [(inputs, scale)])
    return answer


def ask_in_children(
    ask: Callable[[Inputs, int], Any],
    batch: Batch,
    *,
    renew: Callable[[], None],
    seconds_in_all: float = inf,
) -> list[Any]:
    """What `ask(inputs, scale)` answers for each row of `batch`, asked in child processes and pickled back, in its order.

    A row that costs its child, or that takes longer than the setting AMENDS_ROW_SECONDS, is a `CalculationFailure` that says how; so is
    every row that nothing is known of after `seconds_in_all`. `renew` is called at least every second. Raises `CalculatorUnavailable`
    where `ask` did.
    """
    until = time.monotonic() + seconds_in_all
    answers: list[Any] = []
    while len(answers) < len(batch):
        if time.monotonic() >= until:
            late = CalculationFailure(
                f"The calculator was not asked: {max(seconds_in_all, 0):.2g} s were over."
            )
            return answers + [late] * (len(batch) - len(answers))
        told, failure = _ask_child(ask, batch[len(answers) :], renew, until)
        answers += told
        if failure is not None:
            answers.append(failure)
    return answers


def _ask_child(
    ask: Callable[[Inputs, int], Any], batch: Batch, renew: Callable[[], None], until: float
) -> tuple[list[Any], CalculationFailure | None]:
    """The answers that one child told, and what the row after them did to it, if it did not get to the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer_and_exit(ask, batch, writing)
    os.close(writing)
    answers: list[Any] = []
    try:
        while len(answers) < len(batch):
            asked_at = time.monotonic()
            answer = _receive(reading, min(asked_at + settings.AMENDS_ROW_SECONDS, until), renew)
            if answer is None:
                break
            answers.append(answer)
    except TimeoutError:
        seconds = min(settings.AMENDS_ROW_SECONDS, max(until - asked_at, 0))
        return answers, CalculationFailure(f"The calculator did not answer within {round(seconds, 1):g} s.")
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _UNAVAILABLE:
        raise CalculatorUnavailable("The calculator cannot answer just now.")
    if len(answers) == len(batch):
        return answers, None
    return answers, CalculationFailure(_how_it_died(status))


def _answer_and_exit(ask: Callable[[Inputs, int], Any], batch: Batch, writing: int) -> None:
    """The child's whole life. It leaves by `os._exit`: nothing of the parent's is closed, flushed or committed by it."""
    try:
        limit_memory(settings.AMENDS_WORKER_MEMORY_MEGABYTES)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for inputs, scale in batch:
            # The parent is earlier. A parent that was killed is not: nobody else would end a calculator that hangs.
            signal.setitimer(signal.ITIMER_REAL, 2 * settings.AMENDS_ROW_SECONDS + 1)
            try:
                answer = ask(inputs, scale)
            except MemoryError:
                answer = CalculationFailure(
                    f"The calculator needs more than {settings.AMENDS_WORKER_MEMORY_MEGABYTES} MB of memory."
                )
            data = pickle.dumps(answer)
            os.write(writing, _SIZE.pack(len(data)) + data)
    except CalculatorUnavailable:
        os._exit(_UNAVAILABLE)
    finally:
        os._exit(0)


def _receive(reading: int, deadline: float, renew: Callable[[], None]) -> Any:
    """The next answer; None where the child has ended. Raises `TimeoutError` at the deadline (monotonic seconds)."""
    head = _read(reading, _SIZE.size, deadline, renew)
    if head is None:
        return None
    data = _read(reading, _SIZE.unpack(head)[0], deadline, renew)
    # From our own child, over a pipe that nobody else has.
    return None if data is None else pickle.loads(data)  # noqa: S301


def _read(reading: int, size: int, deadline: float, renew: Callable[[], None]) -> bytes | None:
    data = b""
    while len(data) < size:
        left = max(deadline - time.monotonic(), 0)
        ready, _, _ = select.select([reading], [], [], min(left, _LONGEST_WAIT_SECONDS))
        renew()
        if not ready:
            if left <= _LONGEST_WAIT_SECONDS:
                raise TimeoutError
            continue
        piece = os.read(reading, size - len(data))
        if not piece:
            return None
        data += piece
    return data


def _how_it_died(status: int) -> str:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        return f"The calculator ended its process by {signal.Signals(os.WTERMSIG(status)).name}."
    return "The calculator ended its process."
