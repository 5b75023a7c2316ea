"""A mapping is checked before anything is imported; what is wrong with it is told by table, key and remedy."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transactions.parking import MAPPING
from transactions.mapping import ColumnMissing, Columns, Template, WrongMapping, read_mapping

REAL = Path(__file__).parent.parent / "real_data"


def written(folder: Path, text: str) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return path


def with_line(table: str, line: str) -> str:
    """The tickets' mapping with one line more in a table."""
    return MAPPING.replace(f"[{table}]\n", f"[{table}]\n{line}\n")


WRONG = {
    "no TOML": ("[source", "not TOML"),
    "an empty mapping": ("", "source.name"),
    "an unknown table": (MAPPING + "[extra]\na = 'b'", "extra"),
    "a table that is a value": ("inputs = 1\n" + MAPPING.replace("[inputs]", "[personal.x]"), "inputs"),
    "an unknown key of source": (with_line("source", 'zone = "UTC"'), "source.zone"),
    "an unknown key of transaction": (with_line("transaction", 'date = "{entered}"'), "transaction.date"),
    "an unknown key of calculation": (with_line("calculation", 'total = "{total}"'), "calculation.total"),
    "an unknown key of store": (MAPPING + '[store]\ncity = "{garage}"', "store.city"),
    "no reference": (MAPPING.replace('reference = "{id}"', ""), "transaction.reference"),
    "no calculator": (MAPPING.replace('calculator = "parking"', ""), "calculation.calculator"),
    "an unknown format": (with_line("source", 'format = "xlsx"'), "source.format"),
    "an unknown time zone": (MAPPING.replace("America/New_York", "America/New_Yorck"), "source.timezone"),
    "a folder of time zones": (MAPPING.replace("America/New_York", "America"), "source.timezone"),
    "a time zone out of its folder": (
        MAPPING.replace("America/New_York", "../../etc/passwd"),
        "source.timezone",
    ),
    "a source that is too long": (MAPPING.replace('"tickets"', f'"{"x" * 101}"'), "source.name"),
    "a source that is no text": (MAPPING.replace('"tickets"', "7"), "source.name"),
    "a scale that is no number": (with_line("transaction", 'scale = "2"'), "transaction.scale"),
    "a scale that is too large": (with_line("transaction", "scale = 99"), "transaction.scale"),
    "both computed and given amounts": (with_line("calculation", "compute = true"), "calculation.compute"),
    "neither computed nor given amounts": (
        MAPPING.replace('[calculation.amounts]\nfee = "{fee}"\ntotal = "{total}"', ""),
        "calculation.compute",
    ),
    "compute that is neither true nor false": (
        with_line("calculation", 'compute = "yes"'),
        "calculation.compute",
    ),
    "amounts without a total": (MAPPING.replace('total = "{total}"', ""), "calculation.amounts"),
    "a template that does not end": (MAPPING.replace('"{id}"', '"{id"'), "transaction.reference"),
    "a template with a conversion": (MAPPING.replace('"{id}"', '"{id!r}"'), "transaction.reference"),
    "a template with a format": (MAPPING.replace('"{id}"', '"{id:>10}"'), "transaction.reference"),
    "a template without a name": (MAPPING.replace('"{id}"', '"{}"'), "transaction.reference"),
    "a template that is a number": (MAPPING.replace('"{hours}"', "3"), "inputs.hours"),
    "lines that are a number": (with_line("inputs", "lines = 3"), "inputs.lines"),
    "a line's value that is a number": (MAPPING + "[inputs.lines]\nsku = 3", "inputs.lines.sku"),
    "a default that is a number": (MAPPING + "[defaults]\nfee = 0", "defaults.fee"),
}


@pytest.mark.parametrize(("text", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_mapping_is_refused_by_table_and_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(WrongMapping) as refused:
        read_mapping(written(tmp_path, text))
    assert named in str(refused.value)


def test_a_mapping_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongMapping, match=r"absent\.toml"):
        read_mapping(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WrongMapping, match=r"binary\.toml"):
        read_mapping(tmp_path / "binary.toml")
    with pytest.raises(WrongMapping):
        read_mapping(tmp_path)


def test_what_a_mapping_says_is_what_is_read(tmp_path: Path) -> None:
    mapping = read_mapping(written(tmp_path, MAPPING))
    assert (mapping.name, mapping.format, mapping.group_by, mapping.scale) == ("tickets", "csv", None, None)
    assert mapping.timezone == ZoneInfo("America/New_York")
    assert mapping.amounts is not None
    assert set(mapping.amounts) == {"fee", "total"}
    columns = {name for _, template in mapping.templates() for name in template.columns}
    assert columns == {"id", "garage", "currency", "entered", "left", "fee", "total", "hours", "plate"}


def test_a_column_that_a_file_has_not_is_told_by_key_and_column(tmp_path: Path) -> None:
    mapping = read_mapping(written(tmp_path, MAPPING))
    with pytest.raises(WrongMapping) as refused:
        mapping.check_columns(["id", "garage", "currency", "entered", "left", "fee", "total"], "march.csv")
    text = str(refused.value)
    assert ("inputs.hours" in text, "hours" in text, "march.csv" in text, "garage" in text) == (True,) * 4


def test_a_column_with_a_default_need_not_be_in_the_file(tmp_path: Path) -> None:
    mapping = read_mapping(written(tmp_path, MAPPING + '[defaults]\nhours = "0"'))
    mapping.check_columns(
        ["id", "garage", "currency", "entered", "left", "fee", "total", "plate"], "march.csv"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{file}:{row}", "march.csv:7"),
        ("meter-{vendor id}", "meter-2"),
        ("{customer.id}", "c-1"),
        ("{{literal}}", "{literal}"),
        ("{{{row}}}", "{7}"),
        ("plain", "plain"),
        ("{a}{a}", "11"),
    ],
)
def test_templates_put_columns_into_text(text: str, value: str) -> None:
    row = Columns({"file": "march.csv", "row": "7", "vendor id": "2", "customer.id": "c-1", "a": "1"})
    assert Template.compiled(text, "transaction.reference").value(row) == value


def test_a_template_says_which_column_a_row_lacks() -> None:
    with pytest.raises(ColumnMissing) as missing:
        Template.compiled("a-{b}", "inputs.x").value(Columns(a="1"))
    assert missing.value.column == "b"


@given(st.text())
def test_any_text_is_a_template_or_refused_by_its_key(text: str) -> None:
    try:
        template = Template.compiled(text, "inputs.x")
    except WrongMapping as refused:
        told = str(refused)
    else:
        told = "inputs.x " + template.value(Columns.fromkeys(template.columns, "v"))
    assert told.startswith("inputs.x")


@pytest.mark.parametrize("name", ["taxi", "online_retail", "purchase_orders", "complete_journey"])
def test_the_mappings_of_the_real_data_are_right(name: str) -> None:
    assert read_mapping(REAL / f"{name}.toml").name
