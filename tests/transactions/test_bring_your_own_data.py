"""The guide's example does what the guide says."""

import re
from pathlib import Path

import pytest

from tests.conftest import PASSWORD, UserFactory
from tests.transactions.parking import Desk, counts, facts, totals
from transactions.models import PersonalData

GUIDE = Path(__file__).parents[2] / "docs" / "bring-your-own-data.md"


def block(language: str) -> str:
    """The guide's first block of that language."""
    found = re.search(
        rf"^```{language}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def test_the_guides_file_and_mapping_do_what_it_says(
    db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    users("engineer", name="ada")
    desk = Desk(tmp_path)
    file = desk.file("march.csv", block("csv").encode())
    answer = desk.imports(file, mapping=block("toml"))
    assert counts(answer) == (3, 0, 1)
    assert totals() == {"1001": 536, "1002": 714, "1003": 179}
    assert facts("1001").store.reference == "garage-harbour"
    assert facts("1003").calculations.get().amounts == {"fee": 150, "tax": 0, "total": 179}
    assert PersonalData.objects.get(transaction__reference="1002").data == {"plate": "BE 22"}
    assert (answer["rejections"][0]["line"], answer["rejections"][0]["column"]) == (5, "fee")
    mended = desk.file("mended.csv", desk.rejects.read_bytes().replace(b"three", b"3.00"))
    assert counts(desk.imports(mended, mapping=block("toml"))) == (1, 0, 0)
    assert counts(desk.imports(file, mapping=block("toml"))) == (0, 3, 1)
    assert totals()["1004"] == 357
