"""A calculator over HTTP, asked over a real socket of this machine."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from transactions.calculators import CalculationFailure, RegisteredCalculator, ask_twice, run
from transactions.calculators.remote import RemoteCalculator, RemoteCalculatorUnavailable

Respond = Callable[[dict[str, Any]], tuple[int, bytes]]


class Service:
    """A calculation service of its own, whose answers a test decides."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.respond: Respond = self.doubled
        self.close_before_answering = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append(question)
                service.headers.append(dict(self.headers))
                if service.close_before_answering:
                    service.close_before_answering -= 1
                    self.close_connection = True
                    return
                status, body = service.respond(question)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/calculate"

    @staticmethod
    def doubled(question: dict[str, Any]) -> tuple[int, bytes]:
        return Service.answer(
            question, [{"amounts": {"total": 2 * int(row["inputs"]["fee"])}} for row in question["rows"]]
        )

    @staticmethod
    def answer(question: dict[str, Any], results: list[Any], **other: Any) -> tuple[int, bytes]:
        head = {key: question[key] for key in ("format", "calculator", "version")}
        return 200, json.dumps({**head, "results": results, **other}).encode()

    def says(self, body: str, status: int = 200) -> None:
        self.respond = lambda question: (status, body.encode())

    def results(self, results: str) -> None:
        self.says('{"format": 1, "calculator": "tax", "version": "4.2.0", "results": ' + results + "}")


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield service
    service.server.shutdown()
    service.server.server_close()
    thread.join()


@pytest.fixture
def tax(service: Service) -> RegisteredCalculator:
    class Tax(RemoteCalculator):
        url: ClassVar = service.url
        calculator: ClassVar = "tax"
        version: ClassVar = "4.2.0"
        headers: ClassVar = {"Authorization": "Bearer token"}
        rows_per_request: ClassVar = 3
        seconds_to_answer: ClassVar = 1.0
        largest_answer: ClassVar = 10_000

    remote = Tax()
    return RegisteredCalculator("tax", "4.2.0", __name__, remote.calculate, remote.calculate_many)


def rows(*fees: int) -> list[tuple[dict[str, Any], int]]:
    return [({"fee": str(fee)}, 2) for fee in fees]


def test_a_batch_is_asked_in_requests_of_bounded_size(service: Service, tax: RegisteredCalculator) -> None:
    assert run(tax, rows(*range(7))) == [{"total": 2 * fee} for fee in range(7)]
    assert [len(question["rows"]) for question in service.asked] == [3, 3, 1]
    assert service.asked[0] == {
        "format": 1,
        "calculator": "tax",
        "version": "4.2.0",
        "rows": [{"inputs": {"fee": str(fee)}, "scale": 2} for fee in range(3)],
    }
    assert service.headers[0]["Authorization"] == "Bearer token"


def test_one_row_alone_is_asked_the_same_way(tax: RegisteredCalculator) -> None:
    assert tax.calculate({"fee": "4"}, 2) == {"total": 8}
    assert ask_twice(tax, rows(4, 5)) == [{"total": 8}, {"total": 10}]


def test_an_error_fails_its_own_row(service: Service, tax: RegisteredCalculator) -> None:
    service.results('[{"amounts": {"total": 1}}, {"error": "No rate for XX."}, {"error": ""}]')
    assert run(tax, rows(1, 2, 3)) == [
        {"total": 1},
        CalculationFailure("No rate for XX."),
        CalculationFailure("The service gave no reason."),
    ]
    service.results('[{"error": "No rate for XX."}]')
    with pytest.raises(ValueError, match=r"^No rate for XX\.$"):
        tax.calculate({}, 2)


@pytest.mark.parametrize(
    ("amounts", "reason"),
    [
        ('{"total": 1.5}', "total is 1.5 (Decimal)"),
        ('{"total": 12.0}', "total is 12.0 (Decimal)"),
        ('{"total": 1e3}', "total is 1E+3 (Decimal)"),
        ('{"total": NaN}', "total is NaN (Decimal)"),
        ('{"total": "12"}', "total is 12 (str)"),
        ('{"total": true}', "total is True (bool)"),
        ('{"total": 9223372036854775808}', "does not fit"),
        ('{"tax": 5}', "no total"),
    ],
)
def test_amounts_that_are_not_whole_fail_their_own_row(
    service: Service, tax: RegisteredCalculator, amounts: str, reason: str
) -> None:
    service.results('[{"amounts": {"total": 1}}, {"amounts": ' + amounts + "}]")
    first, second = run(tax, rows(1, 2))
    assert first == {"total": 1}
    assert isinstance(second, CalculationFailure)
    assert reason in second.reason


HEAD = '{"format": 1, "calculator": "tax", "version": "4.2.0", "results": '


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>", "not proper JSON"),
        ('{"total": 1, "total": 2}', "same key twice"),
        ("[" * 10_000, "not proper JSON"),
        ("\udcff", "not proper JSON"),
        ("[]", "without a list of results"),
        ("{}", "without a list of results"),
        ('{"results": []}', "answered as format None, None None"),
        (HEAD.replace("4.2.0", "4.1.9") + '[{"amounts": {"total": 1}}]}', "as format 1, tax 4.1.9, not as"),
        (HEAD + "[]}", "0 results for 1 rows"),
        (HEAD + "[5]}", "neither amounts nor an error"),
        (HEAD + '[{"amounts": {}, "error": ""}]}', "neither amounts nor an error"),
        (" " * 10_001, "more than 10000 octets"),
    ],
)
def test_an_answer_of_another_shape_fails_no_row_and_says_what_came(
    service: Service, tax: RegisteredCalculator, body: str, said: str
) -> None:
    service.respond = lambda question: (200, body.encode("utf-8", "surrogateescape"))
    with pytest.raises(RemoteCalculatorUnavailable, match=said) as unavailable:
        run(tax, rows(1))
    assert service.url in str(unavailable.value)


@pytest.mark.parametrize("status", [302, 400, 429, 500, 503])
def test_another_status_fails_no_row_and_is_not_followed(
    service: Service, tax: RegisteredCalculator, status: int
) -> None:
    service.says("try later", status)
    with pytest.raises(RemoteCalculatorUnavailable, match=f"status {status}: try later"):
        run(tax, rows(1))
    assert len(service.asked) == 1


def test_a_service_that_takes_too_long_is_not_waited_for(service: Service, tax: RegisteredCalculator) -> None:
    def slow(question: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(1.5)
        return Service.doubled(question)

    service.respond = slow
    with pytest.raises(RemoteCalculatorUnavailable, match="ReadTimeout"):
        run(tax, rows(1))
    assert len(service.asked) == 1


def test_a_connection_that_was_closed_is_opened_again_once(
    service: Service, tax: RegisteredCalculator
) -> None:
    service.close_before_answering = 1
    assert run(tax, rows(1)) == [{"total": 2}]
    service.close_before_answering = 2
    with pytest.raises(RemoteCalculatorUnavailable, match="did not answer"):
        run(tax, rows(1))


def test_nobody_listening_fails_no_row() -> None:
    class Gone(RemoteCalculator):
        url: ClassVar = "http://127.0.0.1:9/"
        calculator: ClassVar = "tax"
        version: ClassVar = "4.2.0"

    gone = Gone()
    with pytest.raises(RemoteCalculatorUnavailable, match="ConnectError"):
        run(RegisteredCalculator("tax", "4.2.0", __name__, gone.calculate, gone.calculate_many), rows(1))
