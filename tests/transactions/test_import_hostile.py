"""Rows that cannot be imported are set aside with their file, line, column and reason; all others land, exactly."""

import gzip
import json
import random
import stat
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from audit.errors import Refused
from audit.models import AuditEntry
from tests.conftest import PASSWORD, UserFactory
from tests.transactions.parking import HEADER, MAPPING, Desk, as_csv, counts, ndjson, ticket, totals
from transactions.importing import UnreadableFile
from transactions.models import IngestBatch, PersonalData, Release, Store, Transaction

GROUPED = MAPPING.replace('name = "tickets"', 'name = "tickets"\ngroup_by = "id"')


@pytest.fixture(autouse=True)
def ada(db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> User:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return users("engineer", name="ada")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def nothing_changed() -> bool:
    tables = (Transaction, Store, Release, IngestBatch, PersonalData)
    return not any(table.objects.exists() for table in tables) and not (
        AuditEntry.objects.filter(event="transactions.imported").exists()
    )


BAD_CELLS = {
    "an amount that is no number": ({"fee": "four"}, "fee", "not a plain decimal"),
    "an amount with an exponent": ({"total": "4.5e0"}, "total", "exponent"),
    "an amount with a thousands separator": ({"total": '"1,004.50"'}, "total", "not a plain decimal"),
    "an empty amount": ({"total": ""}, "total", "empty"),
    "not a number": ({"total": "NaN"}, "total", "not a plain decimal"),
    "an amount finer than the scale": ({"fee": "4.505"}, "fee", "3 digits after the point"),
    "an amount beyond 64 bits": ({"total": "92233720368547758.08"}, "total", "64-bit"),
    "half a yen": ({"currency": "JPY"}, "fee", "digits after the point"),
    "an unknown currency": ({"currency": "XXZ"}, "currency", "ISO 4217"),
    "a currency in small letters": ({"currency": "usd"}, "currency", "capitals"),
    "a time that is none": ({"entered": "yesterday"}, "entered", "ISO 8601"),
    "a day that is not in the calendar": ({"entered": "2023-02-29 10:00:00"}, "entered", "ISO 8601"),
    "an empty time": ({"left": ""}, "left", "empty"),
    "a local time that does not exist": ({"entered": "2024-03-10 02:30:00"}, "entered", "did not exist"),
    "a time finer than a microsecond": ({"entered": "2024-03-01T10:00:00.1234567"}, "entered", "microsecond"),
    "a calculation in the future": ({"left": "2124-03-01 11:00:00"}, "left", "future"),
    "an empty reference": ({"id": ""}, "id", "empty"),
    "a blank store": ({"garage": "  "}, "garage", "empty"),
    "a reference that is too long": ({"id": "x" * 201}, "id", "200"),
    "a store that is too long": ({"garage": "x" * 129}, "garage", "128"),
    "a NUL": ({"hours": "1\0"}, "hours", "NUL"),
    "a NUL in personal data": ({"plate": "\0"}, "plate", "NUL"),
    "a cell of 10 MB": ({"hours": "9" * 10_000_000}, "hours", "10,000,000"),
}


@pytest.mark.parametrize(("cells", "column", "reason"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_bad_cell_is_set_aside_and_the_rest_lands(
    desk: Desk, cells: dict[str, str], column: str, reason: str
) -> None:
    answer = desk.imports_text(ticket("a"), ticket("bad", **cells), ticket("b", fee="1", total="1.00"))
    assert counts(answer) == (2, 0, 1)
    assert answer["rows"] == 3
    assert totals() == {"a": 450, "b": 100}
    (told,) = answer["rejections"]
    assert (told["file"], told["line"], told["row"], told["column"]) == ("tickets.csv", 3, 2, column)
    assert reason in told["reason"]
    assert len(told["reason"]) < 300
    (row,) = desk.set_aside() if len(cells.get("hours", "")) < 100 else [None]
    if row is not None:
        assert (row["_file"], row["_row"], row["_column"]) == ("tickets.csv", "2", column)
        assert row["_reason"] == told["reason"]
        assert all(row[name] == text.strip('"') for name, text in cells.items())
    assert AuditEntry.objects.get(event="transactions.imported").data["imported"] == 2


def test_bytes_that_are_not_utf8_are_set_aside_as_they_are(desk: Desk) -> None:
    content = as_csv(ticket("a"), ticket("b"), ticket("c")).replace(b"ZH b", b"Z\xfcrich")
    answer = desk.imports(desk.file("tickets.csv", content))
    assert counts(answer) == (2, 0, 1)
    (told,) = answer["rejections"]
    assert (told["line"], told["column"]) == (3, "plate")
    assert "UTF-8" in told["reason"]
    assert b"Z\xfcrich" in desk.rejects.read_bytes()


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (ticket("bad").rpartition(",")[0], "plate", "ends before"),
        ("bad", "garage", "ends before"),
        (ticket("bad") + ",more", "", "10 cells for 9 columns"),
        (ticket("bad", plate='"ZH" 1'), "", "not CSV"),
    ],
)
def test_a_line_of_another_shape_is_set_aside(desk: Desk, line: str, column: str, reason: str) -> None:
    answer = desk.imports_text(ticket("a"), line, ticket("b"))
    assert counts(answer) == (2, 0, 1)
    (told,) = answer["rejections"]
    assert (told["file"], told["line"], told["row"], told["column"]) == ("tickets.csv", 3, 2, column)
    assert reason in told["reason"]
    assert set(totals()) == {"a", "b"}
    again = desk.imports(desk.file("unmended.csv", desk.rejects.read_bytes()))
    assert counts(again) == (0, 0, 1)


def test_a_cell_may_hold_commas_quotes_and_line_breaks(desk: Desk) -> None:
    answer = desk.imports_text(ticket("a", plate='"Z, ""H""\n1"'), ticket("b", total="x"), "", ticket("c"))
    assert counts(answer) == (2, 0, 1)
    assert PersonalData.objects.get(transaction__reference="a").data == {"plate": 'Z, "H"\n1'}
    assert (answer["rejections"][0]["line"], answer["rejections"][0]["row"]) == (4, 2)


def test_set_aside_rows_are_mended_and_imported_under_their_own_names(desk: Desk) -> None:
    by_row = MAPPING.replace('"{id}"', '"{file}:{row}"')
    lines = [ticket("a"), ticket("b", total="four"), ticket("c"), ticket("d", left="soon")]
    first = desk.imports_text(*lines, mapping=by_row)
    assert counts(first) == (2, 0, 2)
    assert stat.S_IMODE(desk.rejects.stat().st_mode) == 0o600
    mended = desk.file("mended.csv", desk.rejects.read_bytes().replace(b"four", b"4.50"))
    second = desk.imports(mended, mapping=by_row)
    assert counts(second) == (1, 0, 1)
    (told,) = second["rejections"]
    assert (told["file"], told["row"], told["column"]) == ("tickets.csv", 4, "left")
    assert set(totals()) == {"tickets.csv:1", "tickets.csv:2", "tickets.csv:3"}
    assert counts(desk.imports_text(*lines, mapping=by_row)) == (0, 2, 2)
    assert set(totals()) == {"tickets.csv:1", "tickets.csv:2", "tickets.csv:3"}


@pytest.mark.parametrize(
    "place", ["tickets.csv,²", "tickets.csv,", ",2", "tickets.csv," + "9" * 5000, "\0,2"]
)
def test_a_place_that_was_broken_by_mending_is_told(desk: Desk, place: str) -> None:
    content = f"{HEADER},_file,_row,_column,_reason\n{ticket('a')},{place},total,wrong\n".encode()
    by_row = MAPPING.replace('"{id}"', '"{file}:{row}"')
    answer = desk.imports(desk.file("mended.csv", content), mapping=by_row)
    assert counts(answer) == (0, 0, 1)
    assert answer["rejections"][0]["reason"]


def test_what_contradicts_the_known_is_set_aside_with_its_place(desk: Desk) -> None:
    desk.imports_text(*(ticket(i) for i in range(5)))
    answer = desk.imports(
        desk.file(
            "later.csv",
            as_csv(
                ticket(0), ticket(1, hours="9"), ticket(2, total="4.51"), ticket(7), ticket(3, garage="g-9")
            ),
        )
    )
    assert counts(answer) == (1, 1, 3)
    told = [(each["file"], each["line"], each["row"]) for each in answer["rejections"]]
    assert told == [("later.csv", 3, 2), ("later.csv", 4, 3), ("later.csv", 6, 5)]
    assert [(row["id"], row["_row"]) for row in desk.set_aside()] == [("1", "2"), ("2", "3"), ("3", "5")]
    assert totals() == dict.fromkeys(["0", "1", "2", "3", "4", "7"], 450)


def test_a_bad_line_sets_its_whole_group_aside_wherever_its_lines_stand(desk: Desk) -> None:
    lines = [
        ticket("a"),
        ticket("b"),
        ticket("a", total="x", fee="y"),
        ticket("b", plate='"ZH" 1'),
        ticket("c"),
    ]
    answer = desk.imports_text(*lines, mapping=GROUPED.replace('total = "{total}"', 'total = "{fee}"'))
    assert counts(answer) == (1, 0, 2)
    assert set(totals()) == {"c"}
    assert sorted(row["_row"] for row in desk.set_aside()) == ["1", "2", "3", "4"]


def test_a_row_without_its_group_is_set_aside_alone(desk: Desk) -> None:
    answer = desk.imports_text(ticket("a"), ticket(""), ticket(""), mapping=GROUPED)
    assert counts(answer) == (1, 0, 2)
    assert [each["column"] for each in answer["rejections"]] == ["id", "id"]


@pytest.mark.parametrize("length", [201, 9_000, 900_000])
def test_a_group_of_a_huge_name_is_set_aside(desk: Desk, length: int) -> None:
    name = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))
    answer = desk.imports_text(ticket("a"), ticket(name), ticket(name), mapping=GROUPED)
    assert counts(answer) == (1, 0, 1)
    assert answer["rejections"][0]["column"] == "id"


HOSTILE_JSON = {
    "no JSON": b"{not json}",
    "no object": b"[1, 2]",
    "no number": b'{"id": NaN}',
    "a key twice": b'{"id": "x", "id": "y"}',
    "levels without end": b'{"a":' * 900 + b"1" + b"}" * 900,
    "more levels without end": b"[" * 100_000,
    "half a surrogate pair": b'{"id": "\\ud800"}',
    "a NUL": b'{"id": "\\u0000"}',
    "a column missing": b'{"id": "x"}',
    "an empty object": b"{}",
}


@pytest.mark.parametrize("line", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_a_hostile_line_of_ndjson_is_set_aside(desk: Desk, line: bytes) -> None:
    good = dict(zip(HEADER.split(","), ticket("a").split(","), strict=True))
    content = ndjson(good) + line + b"\n" + ndjson(good | {"id": "b"})
    answer = desk.imports(desk.file("tickets.ndjson", content), mapping=AS_NDJSON)
    assert counts(answer) == (2, 0, 1)
    (told,) = answer["rejections"]
    assert (told["file"], told["line"], told["row"]) == ("tickets.ndjson", 2, 2)
    assert set(totals()) == {"a", "b"}
    (aside,) = [json.loads(text) for text in desk.rejects.read_text().splitlines()]
    assert (aside["_file"], str(aside["_row"]), aside["_reason"]) == ("tickets.ndjson", "2", told["reason"])


AS_NDJSON = MAPPING.replace('name = "tickets"', 'name = "tickets"\nformat = "ndjson"')


@pytest.mark.parametrize("value", [None, "", True, ["a"], [], {"a": "b"}], ids=str)
def test_a_reference_that_is_no_text_or_number_is_set_aside(desk: Desk, value: object) -> None:
    good = dict(zip(HEADER.split(","), ticket("a").split(","), strict=True))
    content = ndjson(good, good | {"id": value})
    answer = desk.imports(desk.file("tickets.ndjson", content), mapping=AS_NDJSON)
    assert counts(answer) == (1, 0, 1)
    assert answer["rejections"][0]["column"] == "id"


@pytest.mark.parametrize("cell", ["", None], ids=["empty", "null"])
def test_a_value_made_of_an_empty_column_is_set_aside(desk: Desk, cell: str | None) -> None:
    good = dict(zip(HEADER.split(","), ticket("a").split(","), strict=True))
    mapping = AS_NDJSON.replace('store = "{garage}"', 'store = "garage-{garage}"')
    content = ndjson(good | {"garage": cell}, good | {"id": "b"})
    answer = desk.imports(desk.file("tickets.ndjson", content), mapping=mapping)
    assert counts(answer) == (1, 0, 1)
    assert answer["rejections"][0]["column"] == "garage"
    assert Store.objects.get().reference == "garage-g-1"


UNREADABLE = {
    "a truncated gzip": gzip.compress(as_csv(*(ticket(i) for i in range(2_000))))[:-200],
    "a damaged gzip": gzip.compress(as_csv(*(ticket(i) for i in range(2_000))), mtime=0)[:3_000]
    + b"\0" * 500,
    "a quote never closed": as_csv(
        *(ticket(i) for i in range(50)), ticket(51, plate='"ZH'), *map(ticket, range(60))
    ),
    "an empty file": b"",
    "a column twice": as_csv().replace(b"plate", b"fee"),
    "UTF-16": as_csv(ticket("a")).decode().encode("utf-16"),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_file_changes_nothing_not_even_what_was_read_before_it(
    desk: Desk, content: bytes
) -> None:
    good = desk.file("good.csv", as_csv(ticket("good"), ticket("bad", total="x")))
    desk.rejects.write_text("kept from before")
    with pytest.raises(UnreadableFile, match=r"tickets\.csv"):
        desk.imports(good, desk.file("tickets.csv", content))
    assert nothing_changed()
    assert desk.rejects.read_text() == "kept from before"
    assert sorted(path.name for path in desk.folder.iterdir()) == [
        "good.csv",
        "mapping.toml",
        "set-aside.csv",
        "tickets.csv",
    ]


def test_a_file_that_is_not_there_changes_nothing(desk: Desk) -> None:
    with pytest.raises(UnreadableFile, match=r"absent\.csv"):
        desk.imports(desk.file("good.csv", as_csv(ticket("a"))), desk.folder / "absent.csv")
    with pytest.raises(UnreadableFile):
        desk.imports(desk.folder)
    assert nothing_changed()


def test_rejects_that_cannot_be_written_are_refused_before_anything_is_read(desk: Desk) -> None:
    desk.rejects = desk.folder / "no such folder" / "set-aside.csv"
    with pytest.raises(Refused, match="no such folder"):
        desk.imports_text(ticket("a"))
    assert nothing_changed()


def test_rejects_do_not_overwrite_what_is_imported(desk: Desk) -> None:
    file = desk.file("set-aside.csv", as_csv(ticket("a", total="x")))
    with pytest.raises(Refused, match="overwrite"):
        desk.imports(file)
    assert nothing_changed()


def test_an_older_rejects_file_of_everybody_becomes_private(desk: Desk) -> None:
    desk.rejects.write_text("older")
    desk.rejects.chmod(0o644)
    assert counts(desk.imports_text(ticket("a", total="x"))) == (0, 0, 1)
    assert stat.S_IMODE(desk.rejects.stat().st_mode) == 0o600
    assert "older" not in desk.rejects.read_text()
