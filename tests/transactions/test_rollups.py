"""The counts by release and hour equal the rows: at every commit, whoever writes at the same time, and whether folded or not."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.commands import asked
from tests.remediation.incident import START, recalculate, report
from transactions.models import Calculation, Release, StandingChange, StandingCount
from transactions.rollups import COUNTS, Difference, fold_counts, recount


def counts() -> dict[tuple[str, datetime], int]:
    """What the rollup says, by version and hour."""
    versions = {release.pk: release.version for release in Release.objects.all()}
    with connection.cursor() as cursor:
        cursor.execute(COUNTS.format(where="TRUE"))
        return {(versions[release], hour): rows for release, hour, rows in cursor.fetchall()}


@pytest.mark.django_db
def test_what_is_reported_is_counted_by_release_and_hour_whether_folded_or_not() -> None:
    report(3, start=START + timedelta(minutes=59, seconds=58))
    expected = {("1.0.0", START): 2, ("1.0.0", START + timedelta(hours=1)): 1}
    assert counts() == expected
    assert recount() == []
    assert fold_counts() == 2
    assert counts() == expected
    assert recount() == []
    assert not StandingChange.objects.exists()


@pytest.mark.django_db
def test_a_newer_calculation_is_counted_and_the_one_it_superseded_no_more() -> None:
    ids = report(2)
    fold_counts()
    recalculate(ids[0], fee_percent=3, at=START + timedelta(hours=3), version="3.0.0")
    assert counts() == {("1.0.0", START): 1, ("3.0.0", START + timedelta(hours=3)): 1}
    recalculate(
        ids[0], fee_percent=4, at=START + timedelta(hours=2), version="3.0.0"
    )  # older: changes nothing
    assert counts() == {("1.0.0", START): 1, ("3.0.0", START + timedelta(hours=3)): 1}
    assert recount() == []


@pytest.mark.django_db
def test_one_call_that_brings_new_and_known_transactions_counts_both() -> None:
    ids = report(3)
    (release,) = Release.objects.all()
    first = Calculation.objects.get(transaction_id=ids[0])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
            " VALUES (%s, %s, '{\"total\": 1}', 1, %s, %s), (%s, %s, '{\"total\": 1}', 1, %s, %s) RETURNING id",
            [
                *(ids[0], release.pk, START + timedelta(days=1), first.batch_id),
                *(ids[-1] + 1000, release.pk, START + timedelta(days=1), first.batch_id),
            ],
        )
        new = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT * FROM amends_point_at_reported(%s)", [new])
        assert cursor.fetchone() == (1, 1)
    assert counts() == {("1.0.0", START): 2, ("1.0.0", START + timedelta(days=1)): 2}
    assert recount() == []


@pytest.mark.usefixtures("committed_db")
def test_moves_counted_from_ids_are_those_counted_by_groups_and_only_the_owner_counts(
    owner_connection: "psycopg.Connection[Any]",
) -> None:
    report(4, start=START + timedelta(minutes=59, seconds=58))
    report(4, version="2.0.0", first=4, start=START + timedelta(days=1))
    old = list(Calculation.objects.filter(release__version="1.0.0").order_by("pk"))
    new = list(Calculation.objects.filter(release__version="2.0.0").order_by("pk"))
    by_ids = ([each.pk for each in old], [each.pk for each in new])
    hour = timedelta(hours=1)
    by_groups = (
        *([old[0].release_id] * 3, [START, START + hour, START + hour]),
        *([new[0].release_id] * 3, [START + timedelta(days=1)] * 3, [2, 1, 1]),
    )
    fold_counts()
    expected = {
        (old[0].release_id, START, -2),
        (old[0].release_id, START + timedelta(hours=1), -2),
        (new[0].release_id, START + timedelta(days=1), 4),
    }
    for arguments in (by_ids, by_groups):
        call = f"SELECT amends_count_moves({', '.join(['%s'] * len(arguments))})"
        with owner_connection.transaction(force_rollback=True):
            owner_connection.execute(call, arguments)
            found = owner_connection.execute(
                "SELECT release_id, hour, change FROM transactions_standingchange"
            )
            assert set(found.fetchall()) == expected
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(call, list(arguments))


@pytest.mark.usefixtures("committed_db")
def test_a_tampered_pointer_is_found_by_the_recount_and_mended_by_the_owner(
    owner_connection: "psycopg.Connection[Any]",
) -> None:
    ids = report(2)
    older = Calculation.objects.get(transaction_id=ids[0]).pk
    recalculate(ids[0], fee_percent=3, at=START + timedelta(hours=3))
    assert asked("recount_rollups")["agrees"] is True
    owner_connection.execute(
        "UPDATE transactions_currentcalculation SET calculation_id = %s WHERE transaction_id = %s",
        (older, ids[0]),
    )
    release = Release.objects.get().pk
    assert recount() == [
        Difference(release, START, rollup=1, rows=2),
        Difference(release, START + timedelta(hours=3), rollup=1, rows=0),
    ]
    with pytest.raises(CommandError, match="not what the rows say"):
        call_command("recount_rollups")
    owner_connection.execute("SELECT amends_rebuild_counts()")
    assert recount() == []
    assert list(StandingCount.objects.values_list("transactions", flat=True)) == [2]


@pytest.mark.usefixtures("committed_db")
def test_counts_are_exact_in_every_snapshot_while_several_report_and_fold() -> None:
    """Each report is three transactions in one commit: a count that is no multiple of three would be of half a commit."""
    done = threading.Event()
    rounds, writers = 12, 3

    def write(writer: int) -> None:
        try:
            for turn in range(rounds):
                report(3, first=(writer * rounds + turn) * 3, start=START + timedelta(hours=writer))
        finally:
            connection.close()

    def fold() -> int:
        try:
            folded = 0
            while not done.is_set():
                folded += fold_counts()
            return folded
        finally:
            connection.close()

    def look() -> set[int]:
        try:
            seen = set()
            while not done.is_set():
                seen.add(sum(counts().values()))
                assert recount() == []
            return seen
        finally:
            connection.close()

    report(0)
    with ThreadPoolExecutor(max_workers=writers + 3) as pool:
        looking, folding = pool.submit(look), [pool.submit(fold), pool.submit(fold)]
        for writing in [pool.submit(write, writer) for writer in range(writers)]:
            writing.result(timeout=60)
        done.set()
        assert {seen % 3 for seen in looking.result()} == {0}
        folded = sum(each.result() for each in folding)
    assert folded + StandingChange.objects.count() >= rounds * writers
    assert sum(counts().values()) == rounds * writers * 3
    assert recount() == []


@pytest.mark.usefixtures("committed_db")
def test_a_writer_waits_for_no_fold_and_no_other_writer(owner_connection: "psycopg.Connection[Any]") -> None:
    report(2)
    with owner_connection.transaction():
        owner_connection.execute("SELECT amends_fold_counts()")  # holds the count of this hour, uncommitted
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        report(2, first=2)
        assert fold_counts() == 0, "another is at it"
        assert recount() == []
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    assert fold_counts() == 1
    assert counts() == {("1.0.0", START): 4}


@pytest.mark.usefixtures("committed_db")
def test_a_fold_that_is_cut_off_changes_nothing(owner_connection: "psycopg.Connection[Any]") -> None:
    report(2)
    with owner_connection.transaction(force_rollback=True):
        folded = owner_connection.execute("SELECT amends_fold_counts()").fetchone()
        assert folded == (1,)
    assert (StandingChange.objects.count(), StandingCount.objects.count()) == (1, 0)
    assert recount() == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.integers(0, 5), st.integers(0, 72)),
        st.tuples(st.just("recalculate"), st.integers(0, 5), st.integers(0, 72)),
        st.tuples(st.just("fold"), st.just(0), st.just(0)),
        st.tuples(st.just("rolled back"), st.integers(0, 5), st.integers(0, 72)),
    ),
    max_size=15,
)


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_counts_equal_the_rows_whatever_is_reported_in_whatever_order(
    steps: list[tuple[str, int, int]],
) -> None:
    with transaction.atomic():
        ids = report(6)
        for name, row, quarter in steps:
            at = START + timedelta(minutes=15 * quarter)
            if name == "report":
                ids += report(row, first=len(ids), start=at, version=f"{row}.0.0")
            elif name == "recalculate":
                recalculate(ids[row], fee_percent=3, at=at + timedelta(seconds=len(ids)), version="3.0.0")
                ids.append(ids[row])
            elif name == "rolled back":
                with transaction.atomic():
                    report(row, first=1000, start=at)
                    transaction.set_rollback(True)
            else:
                fold_counts()
            assert recount() == [], steps
        assert sum(counts().values()) == len(set(ids))
        transaction.set_rollback(True)
