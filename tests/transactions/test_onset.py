"""When a release's mismatches began and ended."""

import random
from datetime import datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.remediation.incident import START, report
from transactions.calculating import TargetWithoutCode
from transactions.canonical import canonical_json
from transactions.models import IngestBatch, Release, Store
from transactions.onset import Onset, SeveralReleases, find_onset
from transactions.selection import Selection

HOUR = timedelta(hours=1)
FEE = Selection("fee", services=("payments",))


def calculated(times: list[tuple[datetime, bool]], version: str = "1.0.0") -> None:
    """Let a service report orders of these times, in which the fee is right or not."""
    release, _ = Release.objects.get_or_create(service="payments", calculator="fee", version=version)
    store, _ = Store.objects.get_or_create(reference="s", defaults={"country": "US"})
    batch = IngestBatch.objects.create(source="shop", origin="test")
    amounts = {
        right: canonical_json({"net": 1000, "fee": 20 if right else 10, "total": 1020 if right else 1010})
        for right in (True, False)
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH t AS (INSERT INTO transactions_transaction (source, reference, store_id, currency, scale, occurred_at, inputs,"
            """ facts_hash, batch_id) SELECT 'shop', 'r-' || n, %s, 'USD', 2, at, '{"net": "10.00"}', sha256('x'), %s"""
            " FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS f (at, n) RETURNING id, reference)"
            " INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
            " SELECT t.id, %s, a.amounts::jsonb, (a.amounts::jsonb ->> 'total')::bigint, a.at, %s"
            " FROM t JOIN unnest(%s::timestamptz[], %s::text[]) WITH ORDINALITY AS a (at, amounts, n) ON t.reference = 'r-' || a.n",
            [
                store.pk, batch.pk, [at for at, _ in times],
                release.pk, batch.pk, [at for at, _ in times], [amounts[right] for _, right in times],
            ],
        )  # fmt: skip
        cursor.execute(
            "SELECT amends_point_at_reported(array_agg(id ORDER BY transaction_id)) FROM transactions_calculation"
        )


def incident(
    share: float, *, count: int, hours: int, begin: float, length: float, seed: int
) -> list[tuple[datetime, bool]]:
    """`count` orders in so many hours, `share` of them wrong from `begin` for `length` hours."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        hour = chance.uniform(0, hours)
        wrong = begin <= hour < begin + length and chance.random() < share
        found.append((START + hour * HOUR, not wrong))
    return found


def edges(times: list[tuple[datetime, bool]]) -> tuple[datetime, datetime]:
    """The first and the last wrong one."""
    wrong = [at for at, right in times if not right]
    return min(wrong), max(wrong)


def found_edges(onset: Onset) -> tuple[datetime, datetime]:
    assert onset.began is not None
    assert onset.ended is not None
    return onset.began.look.calculated_at, onset.ended.look.calculated_at


@pytest.mark.django_db
@pytest.mark.parametrize("share", [1, 0.6, 0.2])
def test_an_incident_of_41_hours_is_found_to_its_first_and_last_from_samples(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr("transactions.onset.SAMPLED", 600)
    monkeypatch.setattr("transactions.onset.NARROWED_BY", 200)
    monkeypatch.setattr("transactions.onset.READ_WHOLE", 300)
    times = incident(share, count=20_000, hours=240, begin=100, length=41, seed=5)
    calculated(times)
    exact = 0
    for seed in range(6):
        onset = find_onset(FEE, "2.0.0", seed=seed)
        began, ended = found_edges(onset)
        assert abs(began - edges(times)[0]) < HOUR
        assert abs(ended - edges(times)[1]) < HOUR
        assert abs(ended - began - 41 * HOUR) < HOUR
        assert not onset.complete
        assert 450 < len(onset.sample) < 800, "a uniform sample of the window"
        assert onset.looked_at < 5000, "a quarter of all at most"
        assert onset.began is not None
        assert onset.ended is not None
        assert not onset.began.too_few
        assert not onset.ended.too_few
        if onset.began.exact and onset.ended.exact:
            exact += (began, ended) == edges(times)
            begin, end = onset.window or (START, START)
            assert begin <= began < begin + timedelta(seconds=1)
            assert ended < end <= ended + timedelta(seconds=1)
    assert exact >= 5


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rights=st.lists(st.booleans(), min_size=1, max_size=30), data=st.data())
def test_where_little_matches_all_of_it_is_looked_at(rights: list[bool], data: st.DataObject) -> None:
    # Times that meet, in any order of coming in.
    minutes = data.draw(st.lists(st.integers(0, 20), min_size=len(rights), max_size=len(rights)))
    times = [
        (START + timedelta(minutes=minute), right) for minute, right in zip(minutes, rights, strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        calculated(times)
        onset = find_onset(FEE, "2.0.0")
        cursor.execute("ROLLBACK TO SAVEPOINT before")
    assert onset.complete
    assert onset.looked_at == len(rights)
    assert onset.wrong == rights.count(False)
    if all(rights):
        assert (onset.began, onset.ended, onset.window) == (None, None, None)
    else:
        assert found_edges(onset) == edges(times)
        assert onset.began is not None
        assert onset.began.exact


@pytest.mark.django_db
def test_what_is_wrong_to_the_end_is_not_said_to_have_ended() -> None:
    times = [(START + minute * timedelta(minutes=1), minute < 20) for minute in range(40)]
    calculated(times)
    onset = find_onset(FEE, "2.0.0")
    assert onset.began is not None
    assert onset.ended is not None
    assert not onset.began.too_few
    assert onset.began.right_beyond == 20
    assert onset.ended.too_few
    assert onset.ended.look.reference == "r-40"


@pytest.mark.django_db
def test_a_narrower_selection_has_an_onset_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transactions.onset.SAMPLED", 30)
    monkeypatch.setattr("transactions.onset.NARROWED_BY", 10)
    monkeypatch.setattr("transactions.onset.READ_WHOLE", 5)
    report(300, fee_percent=2)
    report(40, first=300, start=START, store="s-2")
    for narrowed in (
        Selection("fee", stores=("s-2",)),
        Selection(
            "fee", total_from="13.13", currencies=("USD",), calculated_from=START + timedelta(minutes=5)
        ),
    ):
        onset = find_onset(narrowed, "2.0.0", seed=1)
        assert found_edges(onset) == (START + timedelta(seconds=300), START + timedelta(seconds=339))


@pytest.mark.django_db
def test_what_the_target_cannot_calculate_is_not_wrong() -> None:
    report(9, fee_percent=2)
    onset = find_onset(FEE, "raises-on-odd")
    assert (onset.wrong, onset.failed, onset.began) == (0, 4, None)


@pytest.mark.django_db
def test_several_releases_blur_each_other_and_are_refused() -> None:
    report(1)
    report(1, first=1, service="checkout")
    with pytest.raises(SeveralReleases, match=r"payments · fee 1.0.0, checkout · fee 1.0.0"):
        find_onset(Selection("fee"), "2.0.0")
    with pytest.raises(TargetWithoutCode):
        find_onset(FEE, "7")
