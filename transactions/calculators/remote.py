"""A calculator that lives in another language or another service, asked over HTTP, a batch at a time.

    @register("tax", "4.2.0")
    class Tax(RemoteCalculator):
        url = "https://tax.internal/calculate"
        calculator = "tax"
        version = "4.2.0"

The wire, format 1. Amends posts JSON:

    {"format": 1, "calculator": "tax", "version": "4.2.0",
     "rows": [{"inputs": {…}, "scale": 2}, …]}

and the service answers 200 with one result a row, in the same order; amounts are whole numbers of the
smallest unit:

    {"format": 1, "calculator": "tax", "version": "4.2.0",
     "results": [{"amounts": {"tax": 907, "total": 11905}}, {"error": "No rate for this country."}, …]}

The answer names the calculator and version that made it, so that a service which runs another one than was
approved is found out. An `error`, a fraction or a missing total fails its own row. Anything else (no
connection, a timeout, another status than 200, an answer of another shape) says nothing about any row: it
raises `RemoteCalculatorUnavailable`.
"""

import json
import os
import time
from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar

import httpx

from transactions.calculators.protocol import (
    Amounts,
    Batch,
    CalculationFailure,
    CalculatorUnavailable,
    Inputs,
    Result,
)

FORMAT = 1
_QUOTED = 200
"""Characters of an unexpected answer that the message repeats."""


class RemoteCalculatorUnavailable(CalculatorUnavailable):
    """The service did not answer the batch in a usable way. The message says how; no row of the batch has
    failed by it.
    """


class RemoteCalculator:
    """Base of a calculator that is asked over HTTP. Subclasses name `url`, `calculator` and `version`.

    Connections are pooled, one pool a process. Redirects are not followed, and proxies and passwords from the
    environment are not used: what goes to `url` goes nowhere else.
    """

    url: ClassVar[str]
    calculator: ClassVar[str]
    version: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}
    """Sent with every request; for a token, read it from the environment in the subclass's module."""
    rows_per_request: ClassVar[int] = 1000
    seconds_to_connect: ClassVar[float] = 5.0
    seconds_to_answer: ClassVar[float] = 30.0
    """For a whole request, from its start to the last octet of the answer."""
    largest_answer: ClassVar[int] = 64 * 1024 * 1024
    """Octets of an answer beyond which it is not read on."""

    def __init__(self) -> None:
        self._client: httpx.Client | None = None
        self._client_of_process = 0

    def calculate(self, inputs: Inputs, scale: int) -> Amounts:
        """One row's amounts. Raises `ValueError` with the reason, or `RemoteCalculatorUnavailable`."""
        (result,) = self.calculate_many([(inputs, scale)])
        if isinstance(result, CalculationFailure):
            raise ValueError(result.reason)
        return result

    def calculate_many(self, batch: Batch) -> list[Result]:
        """The service's answers, `rows_per_request` at a time. Raises `RemoteCalculatorUnavailable`."""
        rows = iter(batch)
        results: list[Result] = []
        while request := list(islice(rows, self.rows_per_request)):
            results.extend(self._ask(request))
        return results

    def _ask(self, batch: Batch) -> list[Result]:
        question = json.dumps(
            {
                "format": FORMAT,
                "calculator": self.calculator,
                "version": self.version,
                "rows": [{"inputs": inputs, "scale": scale} for inputs, scale in batch],
            },
            ensure_ascii=False,
        ).encode()
        results = self._understood(self._posted(question))
        if len(results) != len(batch):
            raise self._unavailable(f"answered {len(results)} results for {len(batch)} rows")
        return [self._result(result) for result in results]

    def _posted(self, question: bytes) -> bytes:
        # A pooled connection may be closed from the other side at this very moment; asking again changes
        # nothing there.
        for may_ask_again in (True, False):
            try:
                return self._exchange(question)
            except httpx.HTTPError as error:
                if not (may_ask_again and isinstance(error, httpx.RemoteProtocolError | httpx.NetworkError)):
                    raise self._unavailable(f"did not answer: {type(error).__name__}: {error}") from error
        raise AssertionError("the second time returns or raises")

    def _exchange(self, question: bytes) -> bytes:
        deadline = time.monotonic() + self.seconds_to_answer
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.headers}
        answer = bytearray()
        with self._pooled_client().stream("POST", self.url, content=question, headers=headers) as response:
            for part in response.iter_bytes():
                answer += part
                if len(answer) > self.largest_answer:
                    raise self._unavailable(f"answered more than {self.largest_answer} octets")
                if time.monotonic() > deadline:
                    raise self._unavailable(f"took longer than {self.seconds_to_answer:g} s")
        if response.status_code != httpx.codes.OK:
            said = answer[:_QUOTED].decode(errors="replace")
            raise self._unavailable(f"answered with status {response.status_code}: {said}")
        return bytes(answer)

    def _pooled_client(self) -> httpx.Client:
        # A worker is forked: a connection that was made before must not be shared by two processes.
        if self._client is None or self._client_of_process != os.getpid():
            self._client = httpx.Client(
                timeout=httpx.Timeout(self.seconds_to_answer, connect=self.seconds_to_connect),
                trust_env=False,
            )
            self._client_of_process = os.getpid()
        return self._client

    def _understood(self, answer: bytes) -> list[Any]:
        """The results in an answer of the right format, calculator and version."""
        try:
            # Fractions and NaN stay what they were written as: the row that holds one is refused, and no
            # other.
            body = json.loads(
                answer.decode(),
                parse_float=Decimal,
                parse_constant=Decimal,
                object_pairs_hook=_without_repetition,
            )
        except (ValueError, RecursionError) as error:
            raise self._unavailable(f"answered something that is not proper JSON: {error}") from error
        if not isinstance(body, dict) or not isinstance(body.get("results"), list):
            raise self._unavailable("answered without a list of results")
        ours = (FORMAT, self.calculator, self.version)
        if (body.get("format"), body.get("calculator"), body.get("version")) != ours:
            theirs = f"format {body.get('format')}, {body.get('calculator')} {body.get('version')}"
            raise self._unavailable(
                f"answered as {theirs}, not as format {FORMAT}, {self.calculator} {self.version}"
            )
        results: list[Any] = body["results"]
        return results

    def _result(self, result: Any) -> Result:
        match result:
            case {"amounts": dict() as amounts, **others} if not others:
                return amounts  # Checked by whoever asked, as every calculator's answer is.
            case {"error": str() as reason, **others} if not others:
                return CalculationFailure(reason or "The service gave no reason.")
        raise self._unavailable("answered a result that is neither amounts nor an error")

    def _unavailable(self, what_happened: str) -> RemoteCalculatorUnavailable:
        return RemoteCalculatorUnavailable(f"{self.calculator} {self.version} at {self.url} {what_happened}.")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found
