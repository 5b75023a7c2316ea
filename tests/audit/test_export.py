"""Taking the trail along: exactly what was asked for, told in the trail, harmless in spreadsheets, and only by those who may."""

import csv
import json
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from audit.export import COLUMNS, UnknownFormat, export_trail
from audit.models import AuditEntry
from audit.permission import NotPermitted
from audit.sentence import sentence
from audit.spreadsheet import csv_lines, harmless
from audit.trail import record
from audit.trail_filter import TrailFilter
from remediation.events import PLAN_APPROVED, PlanDecided
from tests.audit.trail import LIST, write
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import report


def exported(wanted: TrailFilter, form: str, user: Any) -> bytes:
    return b"".join(export_trail(wanted, form, acting_user=user))


def as_rows(told: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(told.decode("utf-8-sig"), newline="")))


def as_objects(told: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.splitlines()]


def test_both_formats_hold_every_field_of_every_entry_the_oldest_first(db: None, users: UserFactory) -> None:
    ben = users("approver", name="ben")
    write(ben, 3, reason="Grüße, “so”\nand on.")
    entries = list(AuditEntry.objects.order_by("occurred_at", "id"))
    objects = as_objects(exported(TrailFilter(), "ndjson", users("auditor")))
    assert objects == [
        {
            "id": entry.pk,
            "sequence": None,
            "sealed_at": None,
            "occurred_at": f"{entry.occurred_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            "event": entry.event,
            "sentence": sentence(entry),
            "actor": entry.actor_id,
            "actor_label": entry.actor_label,
            "subject_type": entry.subject_type,
            "subject_id": entry.subject_id,
            "subject_label": entry.subject_label,
            "reason": entry.reason,
            "request_id": entry.request_id,
            "data": entry.data,
        }
        for entry in entries
    ]
    rows = as_rows(
        exported(TrailFilter(subject_type="auth.user", subject_id=ben.pk), "csv", users("auditor"))
    )
    assert [int(row["id"]) for row in rows] == [entry.pk for entry in entries]
    assert [json.loads(row["data"]) for row in rows] == [entry.data for entry in entries]
    assert {row["reason"] for row in rows} == {"Grüße, “so”\nand on.", ""}
    assert list(rows[0]) == list(COLUMNS)


def test_an_export_is_told_in_the_trail_before_and_after_and_is_not_in_itself(
    db: None, users: UserFactory
) -> None:
    ben, carl = users("approver", name="ben"), users("auditor", name="carl")
    write(ben, 2)
    told = exported(TrailFilter(event="plan.approved", reason=""), "csv", carl)
    begun, ended = AuditEntry.objects.filter(event__startswith="trail.").order_by("id")
    assert (begun.event, begun.actor_label, begun.data) == (
        "trail.export_begun",
        "carl",
        {"format": "csv", "filters": {"event": "plan.approved"}},
    )
    assert (ended.event, ended.data) == (
        "trail.exported",
        {
            "export": begun.pk,
            "format": "csv",
            "filters": {"event": "plan.approved"},
            "rows": 2,
            "sha256": sha256(told).hexdigest(),
            "complete": True,
        },
    )
    assert sentence(ended) == "carl took a copy of the trail"
    everything = as_objects(exported(TrailFilter(actor=carl.pk), "ndjson", carl))
    assert [each["id"] for each in everything] == [begun.pk, ended.pk]


def test_an_export_that_is_broken_off_says_how_much_left(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.export.EXPORTED_AT_ONCE", 2)
    write(users("approver", name="ben"), 4)
    blocks = export_trail(TrailFilter(), "ndjson", acting_user=users("auditor"))
    assert next(blocks).count(b"\n") == 2
    blocks.close()
    data = AuditEntry.objects.get(event="trail.exported").data
    assert (data["rows"], data["complete"]) == (2, False)


def test_a_cases_export_is_what_its_list_shows(db: None, users: UserFactory, client: Client) -> None:
    report(4)
    ana, carl = users("engineer", name="ana"), users("auditor", name="carl")
    plan = approved(previewed(ana), users("approver", name="ben"))
    applied(plan, ana)
    client.force_login(carl)
    listed = [entry.pk for entry, *_ in client.get(f"{LIST}?case={plan.case_id}").context["lines"]]
    answer = client.post(f"{LIST}export/?case={plan.case_id}", {"format": "ndjson"})
    assert answer["Content-Disposition"].startswith('attachment; filename="trail-')
    assert [each["id"] for each in as_objects(answer.getvalue())] == listed[::-1]
    by_ana = client.post(
        f"{LIST}export/?case={plan.case_id}&event=chunk.applied&actor=ana", {"format": "csv"}
    )
    assert [row["event"] for row in as_rows(by_ana.getvalue())] == ["chunk.applied"]
    assert AuditEntry.objects.filter(event="trail.exported").latest("id").data["filters"] == {
        "actor": str(ana.pk),
        "event": "chunk.applied",
        "case": str(plan.case_id),
    }


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "|calc",
        "%0a=1",
    ],
)
def test_a_text_that_a_spreadsheet_takes_for_a_formula_is_made_harmless(
    db: None, users: UserFactory, text: str
) -> None:
    assert harmless(text) == f"'{text}"
    ben = users("approver", name="ben")
    with transaction.atomic():
        record(PLAN_APPROVED, ben, PlanDecided(digest="", comment=text, status=""), actor=ben, reason=text)
    row = as_rows(exported(TrailFilter(event="plan.approved"), "csv", users("auditor")))[0]
    assert row["reason"] == f"'{text}"
    assert json.loads(row["data"])["comment"] == text
    assert (
        as_objects(exported(TrailFilter(event="plan.approved"), "ndjson", users("auditor")))[0]["reason"]
        == text
    )


@given(
    st.lists(
        st.one_of(st.none(), st.integers(), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1
    )
)
def test_csv_keeps_every_cell_and_lets_none_begin_a_formula(cells: list[Any]) -> None:
    line = csv_lines([cells])
    read = next(csv.reader(StringIO(line, newline=""), quoting=csv.QUOTE_NONNUMERIC))
    for cell, back in zip(cells, read, strict=True):
        if isinstance(cell, int):
            assert str(back) == str(float(cell))
        else:
            assert back in ((cell or ""), f"'{cell}")
            assert not str(back).lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


def test_numbers_stay_numbers() -> None:
    assert csv_lines([[-5, 7, "-5", None, "x"]]) == '-5,7,"\'-5","","x"\r\n'


@pytest.mark.parametrize("role", ["support", "engineer", "approver"])
def test_those_who_may_not_take_nothing_and_no_export_begins(
    db: None, client: Client, users: UserFactory, role: str
) -> None:
    with pytest.raises(NotPermitted, match="can export the trail"):
        export_trail(TrailFilter(), "csv", acting_user=users(role))
    client.force_login(users(role))
    assert client.post(f"{LIST}export/", {"format": "csv"}).status_code == 403
    assert "export/" not in client.get(LIST).content.decode()
    assert not AuditEntry.objects.filter(event__startswith="trail.").exists()


@pytest.mark.parametrize("role", ["auditor", "administrator"])
def test_auditors_and_administrators_may(db: None, client: Client, users: UserFactory, role: str) -> None:
    client.force_login(users(role))
    assert "export/" in client.get(LIST).content.decode()
    assert client.post(f"{LIST}export/", {"format": "csv"}).status_code == 200
    assert client.get(f"{LIST}export/").status_code == 405


def test_what_cannot_be_asked_or_is_no_format_begins_no_export(
    db: None, client: Client, users: UserFactory
) -> None:
    client.force_login(users("auditor"))
    assert client.post(f"{LIST}export/?actor=nobody-here", {"format": "csv"}).status_code == 400
    assert client.post(f"{LIST}export/", {"format": "xlsx"}).status_code == 302
    with pytest.raises(UnknownFormat):
        export_trail(TrailFilter(), "xlsx", acting_user=users("auditor"))
    assert not AuditEntry.objects.filter(event__startswith="trail.").exists()


def test_a_long_trail_is_read_by_a_cursor_in_the_server(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.trail_filter.EXPORTED_AT_ONCE", 10)
    write(users("approver", name="ben"), 20)
    with connection.cursor() as cursor:
        blocks = export_trail(TrailFilter(), "ndjson", acting_user=users("auditor"))
        monkeypatch.setattr("audit.export.EXPORTED_AT_ONCE", 10)
        next(blocks)
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '%%django%%'")
        assert cursor.fetchone()[0] == 1
    assert sum(block.count(b"\n") for block in blocks) == 30


def test_the_command_writes_a_file_that_is_not_there_yet_as_somebody_who_may(
    db: None, users: UserFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben, carl = users("approver", name="ben"), users("auditor", name="carl")
    write(ben, 2)
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    file = tmp_path / "trail.ndjson"
    call_command(
        "export_trail", acting_as="carl", output=str(file), event="plan.approved", actor="ben", as_json=False
    )
    assert [each["actor_label"] for each in as_objects(file.read_bytes())] == ["ben", "ben"]
    ended = AuditEntry.objects.get(event="trail.exported")
    assert (ended.actor_id, ended.data["sha256"]) == (carl.pk, sha256(file.read_bytes()).hexdigest())
    with pytest.raises(Exception, match="cannot be written"):
        call_command("export_trail", acting_as="carl", output=str(file), as_json=False)
    with pytest.raises(NotPermitted):
        call_command("export_trail", acting_as="ben", output=str(tmp_path / "b"), as_json=False)
    assert AuditEntry.objects.filter(event="trail.export_begun").count() == 1
