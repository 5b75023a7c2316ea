"""Local times as clocks showed them: those that never were are refused, of those that were twice the first is taken."""

# ruff: noqa: DTZ001 (times without a zone are what this is about)
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import PASSWORD, UserFactory
from tests.transactions.parking import MAPPING, Desk, counts, facts, ticket
from transactions.importing.times import TimeRefused, parse_time

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "zone", "moment", "twice"),
    [
        ("2024-03-01 10:00:00", "America/New_York", "2024-03-01T15:00:00Z", False),
        ("2024-03-01T10:00", "America/New_York", "2024-03-01T15:00:00Z", False),
        (" 2024-07-01 10:00:00.123456 ", "America/New_York", "2024-07-01T14:00:00.123456Z", False),
        ("2024-03-10 01:59:59.999999", "America/New_York", "2024-03-10T06:59:59.999999Z", False),
        ("2024-03-10 03:00:00", "America/New_York", "2024-03-10T07:00:00Z", False),
        ("2024-11-03 00:59:59", "America/New_York", "2024-11-03T04:59:59Z", False),
        ("2024-11-03 01:00:00", "America/New_York", "2024-11-03T05:00:00Z", True),
        ("2024-11-03 01:59:59", "America/New_York", "2024-11-03T05:59:59Z", True),
        ("2024-11-03 02:00:00", "America/New_York", "2024-11-03T07:00:00Z", False),
        ("2024-11-03T01:30:00-05:00", "America/New_York", "2024-11-03T06:30:00Z", False),
        ("2024-03-10T02:30:00+00:00", "America/New_York", "2024-03-10T02:30:00Z", False),
        ("2024-10-06 01:45:00", "Australia/Lord_Howe", "2024-10-05T15:15:00Z", False),
        ("2024-04-07 01:45:00", "Australia/Lord_Howe", "2024-04-06T14:45:00Z", True),
        ("2010-03-14 00:00:59", "America/St_Johns", "2010-03-14T03:30:59Z", False),
        ("2010-03-14 01:01:00", "America/St_Johns", "2010-03-14T03:31:00Z", False),
        ("1972-01-07 00:44:40", "Africa/Monrovia", "1972-01-07T00:44:40Z", False),
    ],
)
def test_a_time_is_taken_to_the_microsecond(text: str, zone: str, moment: str, twice: bool) -> None:
    assert parse_time(text, ZoneInfo(zone)) == (datetime.fromisoformat(moment), twice)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2024-03-10 02:00:00", "America/New_York"),
        ("2024-03-10 02:59:59.999999", "America/New_York"),
        ("2024-10-06 02:15:00", "Australia/Lord_Howe"),
        ("2010-03-14 00:01:00", "America/St_Johns"),
        ("2011-12-30 12:00:00", "Pacific/Apia"),
    ],
)
def test_a_local_time_that_never_was_is_refused(text: str, zone: str) -> None:
    with pytest.raises(TimeRefused, match="did not exist"):
        parse_time(text, ZoneInfo(zone))


@pytest.mark.parametrize(
    "text", ["", "noon", "2024-13-01", "1710000000", "01/02/2024", "2024-03-01 10:00:00 EST"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeRefused):
        parse_time(text, NEW_YORK)


@pytest.mark.parametrize("text", ["0001-01-01 00:00:00", "9999-12-31 23:59:59", "0001-01-01T00:00:00+12:00"])
def test_the_ends_of_the_calendar_are_a_time_or_refused(text: str) -> None:
    for zone in ("Pacific/Auckland", "America/New_York"):
        try:
            moment, _ = parse_time(text, ZoneInfo(zone))
        except TimeRefused:
            continue
        assert moment.tzinfo is UTC


def test_a_naive_time_needs_a_zone() -> None:
    with pytest.raises(TimeRefused, match=r"source\.timezone"):
        parse_time("2024-03-01 10:00:00", None)
    assert parse_time("2024-03-01 10:00:00Z", None) == (datetime(2024, 3, 1, 10, tzinfo=UTC), False)


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2037, 12, 31)),
    st.sampled_from(
        ["America/New_York", "America/St_Johns", "Africa/Monrovia", "Australia/Lord_Howe", "UTC"]
    ),
)
@example(datetime(2024, 3, 10, 2, 30), "America/New_York")
@example(datetime(1972, 1, 7, 0, 44, 20), "Africa/Monrovia")
def test_a_time_is_the_first_whose_clock_showed_it(local: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    # Every offset that the zone had within a day of it, tried out: nothing is known here of folds.
    offsets = {
        (local.replace(tzinfo=UTC) + timedelta(hours=h)).astimezone(zone).utcoffset() for h in range(-27, 28)
    }
    showed = sorted(
        moment
        for offset in offsets
        if offset is not None
        for moment in [(local - offset).replace(tzinfo=UTC)]
        if moment.astimezone(zone).replace(tzinfo=None) == local
    )
    if showed:
        assert parse_time(local.isoformat(" "), zone) == (showed[0], len(showed) > 1)
    else:
        with pytest.raises(TimeRefused):
            parse_time(local.isoformat(" "), zone)


@pytest.fixture
def desk(db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory, tmp_path: Path) -> Desk:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    engineer: User = users("engineer", name="ada")
    assert engineer.username == "ada"
    return Desk(tmp_path)


def test_times_that_exist_twice_are_counted_in_the_answer(desk: Desk) -> None:
    answer = desk.imports_text(
        ticket("a", entered="2024-11-03 01:30:00", left="2024-11-03 01:45:00"),
        ticket("b", entered="2024-11-03 00:30:00", left="2024-11-03 01:45:00"),
        ticket("c"),
        ticket("d", entered="2024-11-03 01:30:00", total="x"),
    )
    assert counts(answer) == (3, 0, 1)
    assert answer["ambiguous_times"] == 3
    assert facts("a").occurred_at == datetime(2024, 11, 3, 5, 30, tzinfo=UTC)


def test_the_earliest_time_of_a_group_counts(desk: Desk) -> None:
    grouped = MAPPING.replace('name = "tickets"', 'name = "tickets"\ngroup_by = "id"')
    answer = desk.imports_text(
        ticket("a", entered="2024-03-01 10:05:00"),
        ticket("b"),
        ticket("a", entered="2024-03-01 09:55:00", left="2024-03-01 10:00:00"),
        mapping=grouped,
    )
    assert counts(answer) == (2, 0, 0)
    assert facts("a").occurred_at == datetime(2024, 3, 1, 14, 55, tzinfo=UTC)
    assert facts("a").calculations.get().calculated_at == datetime(2024, 3, 1, 15, tzinfo=UTC)
