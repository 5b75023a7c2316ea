"""What is wrong with the trail's protection is said in words, raised once, and ended."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from audit import alarms
from audit.alarms import look_after_trail, on_alarm, standing_alarms
from audit.integrity import Problem, integrity
from audit.models import AuditEntry
from audit.sealer import seal_all, sign_and_publish


@pytest.fixture
def protected(sealer: "psycopg.Connection[Any]") -> "psycopg.Connection[Any]":
    """A trail with a key and a place, sealed and published; the sealer's connection."""
    seal_all(sealer)
    sign_and_publish(sealer)
    return sealer


def old_entry(**ago: float) -> AuditEntry:
    return AuditEntry.objects.create(
        event="plan.approved", actor_label="ann", subject_type="remediation.plan", subject_id=1, subject_label="Plan 1", data={},
        occurred_at=timezone.now() - timedelta(**ago),
    )  # fmt: skip


def names() -> list[str]:
    return [problem.name for problem in integrity().problems]


def test_a_trail_that_is_sealed_signed_and_published_has_no_problem(
    protected: "psycopg.Connection[Any]",
) -> None:
    found = integrity()
    assert found.problems == ()
    assert found.checkpoint is not None
    assert (found.waiting, found.checkpoint.number, found.places[0].last) == (0, 1, 1)
    assert found.sealed_up_to == AuditEntry.objects.count()


def test_an_entry_that_waits_for_more_than_a_minute_is_a_problem_until_it_is_sealed(
    protected: "psycopg.Connection[Any]",
) -> None:
    old_entry(seconds=30)
    assert names() == []
    seal_all(protected)
    old_entry(seconds=61)
    assert names() == ["unsealed"]
    seal_all(protected)
    assert names() == []


def test_the_oldest_waiting_entry_is_told(protected: "psycopg.Connection[Any]") -> None:
    waiting = old_entry(seconds=90)
    found = integrity()
    assert found.oldest_waiting == waiting
    assert timedelta(seconds=90) <= found.waits_for < timedelta(seconds=180)
    assert [problem.name for problem in found.problems] == ["unsealed"]
    assert f"Entry {waiting.pk} has waited" in found.problems[0].what


def test_an_alarm_is_raised_once_told_and_ended(
    protected: "psycopg.Connection[Any]", settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(alarms, "_receivers", list(alarms._receivers))
    on_alarm(lambda problem, begun: told.append((problem.name, begun)))
    settings.AMENDS_ALARM_EMAILS = ["oncall@example.com"]
    assert look_after_trail() == 0
    old_entry(seconds=90)
    assert look_after_trail() == 1
    assert look_after_trail() == 0
    assert standing_alarms().keys() == {"unsealed"}
    entry = AuditEntry.objects.get(event="audit.alarm")
    assert entry.actor is None
    assert entry.data["problem"] == "unsealed"
    seal_all(protected)
    assert look_after_trail() == 1
    assert standing_alarms() == {}
    assert AuditEntry.objects.get(event="audit.alarm_ended").data == {"problem": "unsealed", "beside": []}
    assert told == [("unsealed", True), ("unsealed", False)]
    assert [message.to for message in mail.outbox] == [["oncall@example.com"]] * 2


def test_a_receiver_that_fails_keeps_nobody_else_from_being_told(
    protected: "psycopg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def broken(problem: Problem, begun: bool) -> None:
        raise RuntimeError("no line")

    monkeypatch.setattr(alarms, "_receivers", [broken, lambda problem, _: told.append(problem.name)])
    old_entry(seconds=90)
    look_after_trail()
    assert told == ["unsealed"]


def test_a_place_that_fails_is_named_with_its_reason(
    protected: "psycopg.Connection[Any]", settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("in the way")
    place = (tmp_path / "a file").as_uri()
    settings.AMENDS_AUDIT_PLACES = [*settings.AMENDS_AUDIT_PLACES, place]
    sign_and_publish(protected)
    found = integrity()
    assert [problem.name for problem in found.problems] == [f"not_published:{place}"]
    assert "could not be written" in found.problems[0].what
    assert found.places[1].failing_since is not None


def test_no_place_at_all_is_a_problem(protected: "psycopg.Connection[Any]", settings: Settings) -> None:
    settings.AMENDS_AUDIT_PLACES = []
    assert names() == ["nowhere_published"]


def test_a_checkpoint_that_is_overdue_is_a_problem(
    protected: "psycopg.Connection[Any]", settings: Settings
) -> None:
    settings.AMENDS_AUDIT_HEARTBEAT_SECONDS = -400
    assert names() == ["no_checkpoint"]


@pytest.mark.parametrize(("result", "problems"), [("ok", []), ("tampered", ["verification_found"])])
def test_what_the_last_verification_found_is_told(
    protected: "psycopg.Connection[Any]", result: str, problems: list[str]
) -> None:
    AuditEntry.objects.create(
        event="audit.verified", actor_label="Amends", subject_type="audit.trail", subject_id=1, subject_label="",
        data={"result": result, "since": 0},
    )  # fmt: skip
    assert names() == problems


def test_a_verification_that_is_overdue_is_told(protected: "psycopg.Connection[Any]") -> None:
    AuditEntry.objects.create(
        event="audit.verified", actor_label="Amends", subject_type="audit.trail", subject_id=1, subject_label="",
        data={"result": "ok", "since": 0}, occurred_at=timezone.now() - timedelta(hours=37),
    )  # fmt: skip
    seal_all(protected)
    assert names() == ["verification_late"]


def test_how_it_stands_takes_as_many_queries_for_a_long_trail_as_for_a_short_one(
    protected: "psycopg.Connection[Any]", django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        old_entry(seconds=1)
    with django_assert_max_num_queries(16):
        integrity()
    connection.close()


def raised(problem: str) -> AuditEntry:
    """An alarm as early entries told it: without those beside it."""
    data = {"problem": problem, "what": f"{problem}!", "remedy": "Look."}
    return record_as("audit.alarm", data)


def record_as(event: str, data: dict[str, Any]) -> AuditEntry:
    return AuditEntry.objects.create(
        event=event, actor_label="", subject_type="audit.trail", subject_id=1, subject_label="Trail", data=data
    )  # fmt: skip


def test_alarms_beside_each_other_are_told_apart_and_end_one_by_one(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[str] = []

    class Found:
        @property
        def problems(self) -> tuple[Problem, ...]:
            return tuple(Problem(name, f"{name}!", "Look.") for name in wrong)

    monkeypatch.setattr(alarms, "integrity", Found)
    monkeypatch.setattr(alarms, "_receivers", [])
    for at_a_time in (["a"], ["a", "b"], ["a", "b", "c", "d"], ["b", "d"], ["b", "d", "a"], ["c"], [], ["b"]):
        wrong[:] = at_a_time
        look_after_trail()
        assert sorted(standing_alarms()) == sorted(at_a_time)
        assert look_after_trail() == 0
    assert standing_alarms() == {"b": Problem("b", "b!", "Look.")}
    assert AuditEntry.objects.filter(event="audit.alarm").count() == 7


def test_alarms_of_a_trail_from_before_entries_told_what_stands_beside_them_go_on(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised("a")
    raised("b")
    record_as("audit.alarm_ended", {"problem": "a"})
    assert standing_alarms().keys() == {"b"}
    monkeypatch.setattr(alarms, "integrity", lambda: SimpleNamespace(problems=(Problem("c", "c!", ""),)))
    monkeypatch.setattr(alarms, "_receivers", [])
    assert look_after_trail() == 2
    assert standing_alarms().keys() == {"c"}
    newest = AuditEntry.objects.get(event="audit.alarm_ended", data__problem="b")
    assert newest.data["beside"] == [AuditEntry.objects.get(data__problem="c").pk]


def test_however_many_alarms_there_were_few_are_read_along_an_index(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(150):
        raised("a")
        record_as("audit.alarm_ended", {"problem": "a"})
    monkeypatch.setattr(alarms, "integrity", lambda: SimpleNamespace(problems=(Problem("b", "b!", ""),)))
    monkeypatch.setattr(alarms, "_receivers", [])
    look_after_trail()
    with CaptureQueriesContext(connection) as asked:
        assert standing_alarms().keys() == {"b"}
    statements = [each["sql"] for each in asked.captured_queries]
    assert len(statements) == 2
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        for statement in statements:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
            (plan,) = cursor.fetchone()[0]
            nodes = list(walked(plan["Plan"]))
            assert {each["Node Type"] for each in nodes} <= {"Limit", "Index Scan", "Append", "Subquery Scan"}
            assert max(each["Actual Rows"] for each in nodes) <= 100
            indexes = {each["Index Name"] for each in nodes if "Index Name" in each}
            assert indexes in ({"auditentry_event_at"}, {"audit_auditentry_pkey"})


def walked(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from walked(below)
