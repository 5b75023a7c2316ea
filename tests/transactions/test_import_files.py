"""Files become transactions as their mapping says: formats, groups, defaults, computed amounts, and asking twice."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from audit.errors import Refused
from audit.models import AuditEntry
from audit.permission import NotPermitted
from tests.commands import asked, told
from tests.conftest import PASSWORD, UserFactory
from tests.transactions.parking import HEADER, MAPPING, Desk, as_csv, counts, facts, ndjson, ticket, totals
from transactions.mapping import WrongMapping
from transactions.models import Calculation, IngestBatch, PersonalData, Store, Supersession, Transaction

AS_NDJSON = MAPPING.replace('name = "tickets"', 'name = "tickets"\nformat = "ndjson"')

INVOICES = """
[source]
name = "shop"
timezone = "Europe/London"
group_by = "invoice"

[transaction]
reference = "{invoice}"
store = "web"
currency = "GBP"
occurred_at = "{at}"

[calculation]
service = "web"
calculator = "retail-invoice"
version = "1.0.0"
calculated_at = "{at}"
compute = true

[inputs]
country = "{country}"

[inputs.lines]
quantity = "{quantity}"
unit_price = "{price}"
"""


@pytest.fixture(autouse=True)
def ada(db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> User:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return users("engineer", name="ada")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def record(number: int | str, **values: Any) -> dict[str, Any]:
    return dict(zip(HEADER.split(","), ticket(number).split(","), strict=True)) | values


def test_every_column_goes_where_the_mapping_says(desk: Desk) -> None:
    answer = desk.imports_text(ticket("a", fee="4", total="-4.5"))
    assert counts(answer) == (1, 0, 0)
    assert (answer["source"], answer["rows"], answer["rejects"], answer["ambiguous_times"]) == (
        "tickets",
        1,
        None,
        0,
    )
    assert answer["batch"] == IngestBatch.objects.get().pk
    stored = facts("a")
    assert (stored.source, stored.currency, stored.scale, stored.store.reference) == (
        "tickets",
        "USD",
        2,
        "g-1",
    )
    assert stored.occurred_at == datetime(2024, 3, 1, 15, tzinfo=UTC)
    assert stored.inputs == {"hours": "1.5"}
    calculation = stored.calculations.get()
    assert calculation.amounts == {"fee": 400, "total": -450}
    assert calculation.calculated_at == datetime(2024, 3, 1, 16, 30, tzinfo=UTC)
    release = calculation.release
    assert (release.service, release.calculator, release.version) == ("gate", "parking", "1.0.0")
    assert PersonalData.objects.get().data == {"plate": "ZH a"}
    assert not desk.rejects.exists()


def test_the_same_file_again_changes_nothing_and_says_so(desk: Desk) -> None:
    lines = [ticket(i) for i in range(3)]
    desk.imports_text(*lines)
    entries = AuditEntry.objects.filter(event="transactions.imported").count()
    again = desk.imports_text(*lines)
    assert counts(again) == (0, 3, 0)
    assert again["batch"] is None
    assert AuditEntry.objects.filter(event="transactions.imported").count() == entries == 1
    assert (IngestBatch.objects.count(), Calculation.objects.count()) == (1, 3)
    said = told(
        *("import_transactions", str(desk.folder / "tickets.csv")),
        *("--mapping", str(desk.folder / "mapping.toml"), "--rejects", str(desk.rejects), "--as", "ada"),
    )
    assert "nothing was changed" in said.lower()


def test_the_scale_is_the_currencys_own_unless_the_mapping_says_otherwise(desk: Desk) -> None:
    desk.imports_text(
        ticket("y", currency="JPY", fee="450", total="450.00"),
        ticket("k", currency="KWD", fee="4.505", total="4.505"),
    )
    assert (facts("y").scale, facts("k").scale) == (0, 3)
    assert totals() == {"y": 450, "k": 4505}
    four = MAPPING.replace('currency = "{currency}"', 'currency = "{currency}"\nscale = 4')
    desk.imports_text(ticket("f", fee="0.0001", total="1.2345"), mapping=four.replace("tickets", "others"))
    assert (facts("f").scale, totals()["f"]) == (4, 12345)


def test_packed_and_plain_files_are_the_same(desk: Desk) -> None:
    by_row = MAPPING.replace('"{id}"', '"{file}:{row}"')
    content = as_csv(*(ticket(i) for i in range(3)))
    first = desk.imports(desk.file("march.csv.gz", gzip.compress(content)), mapping=by_row)
    second = desk.imports(
        desk.file("march.csv", b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")), mapping=by_row
    )
    assert (counts(first), counts(second)) == ((3, 0, 0), (0, 3, 0))
    assert set(totals()) == {"march.csv:1", "march.csv:2", "march.csv:3"}


def test_several_files_are_one_import(desk: Desk) -> None:
    files = [desk.file(f"{name}.csv", as_csv(ticket(name), ticket("same"))) for name in ("a", "b")]
    answer = desk.imports(*files)
    assert (counts(answer), answer["rows"]) == ((3, 1, 0), 4)
    assert IngestBatch.objects.get().origin == "a.csv, b.csv"


def test_two_files_of_one_name_are_refused(desk: Desk) -> None:
    (desk.folder / "other").mkdir()
    first, second = desk.file("a.csv", as_csv(ticket(1))), desk.folder / "other" / "a.csv.gz"
    second.write_bytes(gzip.compress(as_csv(ticket(2))))
    with pytest.raises(Refused, match="name"):
        desk.imports(first, second)
    assert not Transaction.objects.exists()


def test_a_default_stands_in_for_an_empty_or_absent_column(desk: Desk) -> None:
    mapping = MAPPING + '\n[defaults]\nfee = "0"\nhours = "none"\n'
    content = as_csv(ticket("a", fee="", hours=""), ticket("b"))
    answer = desk.imports(desk.file("tickets.csv", content), mapping=mapping)
    assert counts(answer) == (2, 0, 0)
    assert facts("a").inputs == {"hours": "none"}
    assert facts("a").calculations.get().amounts == {"fee": 0, "total": 450}
    assert facts("b").inputs == {"hours": "1.5"}


def test_ndjson_keeps_numbers_as_they_were_written(desk: Desk) -> None:
    mapping = AS_NDJSON.replace('hours = "{hours}"', 'hours = "{hours}"\nextra = "{more.list}"')
    content = (
        b'{"id": 12345678901234567890, "garage": "g", "currency": "USD", "entered": "2024-03-01T10:00:00Z",'
        b' "left": "2024-03-01T11:00:00+01:00", "hours": 1.50, "fee": 0.10, "total": 4.50, "plate": "\xc3\xbc",'
        b' "more": {"list": [1.10, "x", true, null]}}\n\n'
    )
    assert counts(desk.imports(desk.file("t.ndjson", content), mapping=mapping)) == (1, 0, 0)
    stored = facts("12345678901234567890")
    assert stored.inputs["hours"] == "1.50"
    assert stored.inputs["extra"][:3] == ["1.10", "x", True]
    assert stored.calculations.get().amounts == {"fee": 10, "total": 450}
    assert stored.calculations.get().calculated_at == datetime(2024, 3, 1, 10, tzinfo=UTC)


def test_mended_ndjson_is_imported_under_its_own_name(desk: Desk) -> None:
    by_row = AS_NDJSON.replace('"{id}"', '"{file}:{row}"')
    first = desk.imports(desk.file("t.ndjson", ndjson(record("a"), record("b", fee="four"))), mapping=by_row)
    assert counts(first) == (1, 0, 1)
    mended = desk.rejects.read_text().replace("four", "4.50")
    second = desk.imports(desk.file("mended.ndjson", mended.encode()), mapping=by_row)
    assert counts(second) == (1, 0, 0)
    assert set(totals()) == {"t.ndjson:1", "t.ndjson:2"}


def test_parquet_is_read_and_its_rejects_are_mended(desk: Desk) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet is an extra: pyarrow is not installed.")
    parquet = pytest.importorskip("pyarrow.parquet")
    mapping = AS_NDJSON.replace("ndjson", "parquet")
    rows = [record("a"), record("b", total="four"), record("c")]
    for row in rows:
        row["fee"] = Decimal("4.50")
        row["entered"] = datetime(2024, 3, 1, 10)  # noqa: DTZ001 — a naive column, read in the source's zone
    path = desk.folder / "t.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    assert counts(desk.imports(path, mapping=mapping)) == (2, 0, 1)
    assert facts("a").occurred_at == datetime(2024, 3, 1, 15, tzinfo=UTC)
    mended = desk.rejects.read_text().replace("four", "4.50")
    assert counts(desk.imports(desk.file("mended.csv", mended.encode()), mapping=mapping)) == (1, 0, 0)
    assert totals() == {"a": 450, "b": 450, "c": 450}


def invoice_lines(*lines: str) -> bytes:
    return "\n".join(["invoice,at,country,quantity,price", *lines, ""]).encode()


def test_rows_of_a_group_need_not_be_neighbours_nor_in_one_file(desk: Desk) -> None:
    first = desk.file(
        "1.csv",
        invoice_lines(
            "i-1,2011-01-03 10:01:00,United Kingdom,1,0.10",
            "i-2,2011-01-03 11:00:00,France,2,1.00",
            "i-1,2011-01-03 10:00:00,United Kingdom,2,0.20",
        ),
    )
    second = desk.file("2.csv", invoice_lines("i-1,2011-01-03 10:02:00,United Kingdom,3,0.30"))
    answer = desk.imports(first, second, mapping=INVOICES)
    assert (counts(answer), answer["rows"]) == ((2, 0, 0), 4)
    stored = facts("i-1")
    assert stored.occurred_at == datetime(2011, 1, 3, 10, tzinfo=UTC)
    assert stored.inputs == {
        "country": "United Kingdom",
        "lines": [
            {"quantity": "1", "unit_price": "0.10"},
            {"quantity": "2", "unit_price": "0.20"},
            {"quantity": "3", "unit_price": "0.30"},
        ],
    }
    # 10 + 40 + 90 pence and, line by line, 2 + 8 + 18 of VAT; none on exports.
    assert stored.calculations.get().amounts == {"goods": 140, "vat": 28, "total": 168}
    assert facts("i-2").calculations.get().amounts == {"goods": 200, "vat": 0, "total": 200}
    assert counts(desk.imports(first, second, mapping=INVOICES)) == (0, 2, 0)


def test_what_the_calculator_cannot_do_is_set_aside_with_its_reason(desk: Desk) -> None:
    content = invoice_lines(
        "i-1,2011-01-03 10:00:00,France,1,1.00",
        "i-2,2011-01-03 10:00:00,France,one,1.00",
        "i-3,2011-01-03 10:00:00,France,2,1.00",
    )
    answer = desk.imports(desk.file("1.csv", content), mapping=INVOICES)
    assert counts(answer) == (2, 0, 1)
    assert totals() == {"i-1": 100, "i-3": 200}
    assert "retail-invoice" in answer["rejections"][0]["reason"]
    assert "one" in answer["rejections"][0]["reason"]


def test_rows_of_a_group_must_agree_on_what_is_said_once(desk: Desk) -> None:
    content = invoice_lines("i-1,2011-01-03 10:00:00,France,1,1.00", "i-1,2011-01-03 10:00:00,Spain,1,1.00")
    answer = desk.imports(desk.file("1.csv", content), mapping=INVOICES)
    assert counts(answer) == (0, 0, 1)
    assert answer["rejections"][0]["column"] == "country"


def test_what_is_said_once_may_stand_on_a_groups_first_row_only(desk: Desk) -> None:
    content = invoice_lines("i-1,2011-01-03 10:00:00,France,1,1.00", "i-1,2011-01-03 10:00:00,,1,1.00")
    assert counts(desk.imports(desk.file("1.csv", content), mapping=INVOICES)) == (1, 0, 0)
    assert facts("i-1").inputs["country"] == "France"


def test_a_later_calculation_of_a_known_transaction_counts_as_imported(desk: Desk) -> None:
    desk.imports_text(ticket("a"), ticket("b"))
    answer = desk.imports_text(
        ticket("a", left="2024-03-02 10:00:00", total="5.00"),
        ticket("b", left="2024-03-01 10:00:01", total="1.00"),
    )
    assert counts(answer) == (2, 0, 0)
    assert (answer["recalculated"], answer["superseding_corrections"]) == (2, 0)
    assert totals() == {"a": 500, "b": 450}
    assert Supersession.objects.get().transaction.reference == "a"


WRONG_FOR_THE_FILE = {
    "a column that the file has not": (MAPPING.replace("{hours}", "{minutes}"), "minutes"),
    "a group by a column that the file has not": (
        MAPPING.replace('name = "tickets"', 'name = "tickets"\ngroup_by = "visit"'),
        "visit",
    ),
    "a calculator without code": (
        INVOICES.replace('version = "1.0.0"', 'version = "9.9.9"'),
        "9.9.9",
    ),
}


@pytest.mark.parametrize(("mapping", "named"), WRONG_FOR_THE_FILE.values(), ids=WRONG_FOR_THE_FILE)
def test_a_mapping_that_does_not_fit_changes_nothing(desk: Desk, mapping: str, named: str) -> None:
    content = (
        as_csv(ticket("a"))
        if "shop" not in mapping
        else invoice_lines("i-1,2011-01-03 10:00:00,France,1,1.00")
    )
    with pytest.raises(Refused, match=named):
        desk.imports(desk.file("tickets.csv", content), mapping=mapping)
    assert not any(table.objects.exists() for table in (Transaction, Store, IngestBatch))
    assert not desk.rejects.exists()


def test_a_column_that_one_of_two_files_has_not_changes_nothing(desk: Desk) -> None:
    good = desk.file("good.csv", as_csv(ticket("a")))
    other = desk.file("other.csv", as_csv(ticket("b")).replace(b"plate", b"badge"))
    with pytest.raises(WrongMapping, match=r"other\.csv"):
        desk.imports(good, other)
    assert not Transaction.objects.exists()


@pytest.mark.parametrize("role", ["support", "approver", "auditor"])
def test_only_who_may_import_does(desk: Desk, users: UserFactory, role: str) -> None:
    users(role, name="eve")
    file = desk.file("tickets.csv", as_csv(ticket("a")))
    mapping = desk.file("mapping.toml", MAPPING.encode())
    with pytest.raises(NotPermitted):
        asked("import_transactions", str(file), "--mapping", str(mapping), "--as", "eve")
    assert not Transaction.objects.exists()


def test_people_are_told_what_was_set_aside_and_where_to_find_it(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    file = desk.file("tickets.csv", as_csv(ticket("a"), ticket("b", fee="four"), ticket("c", total="1.005")))
    mapping = desk.file("mapping.toml", MAPPING.encode())
    said = told(
        *("import_transactions", str(file), "--mapping", str(mapping)),
        *("--rejects", str(desk.rejects), "--as", "ada"),
    )
    assert "1 transactions imported" in said or "1 transaction imported" in said
    assert "tickets.csv, line 3, fee" in said
    assert "tickets.csv, line 4, total" in said


def test_an_empty_file_of_a_known_shape_brings_nothing(desk: Desk) -> None:
    assert counts(desk.imports_text()) == (0, 0, 0)
    assert not IngestBatch.objects.exists()


def test_json_answers_are_one_object_with_the_keys_that_scripts_use(desk: Desk) -> None:
    answer = desk.imports_text(ticket("a"))
    wanted = {
        "imported",
        "unchanged",
        "rejected",
        "recalculated",
        "superseding_corrections",
        "ambiguous_times",
    }
    assert wanted | {"source", "batch", "rejects", "rows", "seconds"} <= set(answer)
    assert json.loads(json.dumps(answer)) == answer
