"""Estimates from a sample: honest intervals, and the same answer for the same seed."""

import random
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tests.remediation.incident import START, report
from transactions.calculating import TargetWithoutCode
from transactions.canonical import canonical_json
from transactions.confidence import share_interval
from transactions.estimate import LARGEST_SAMPLE, SampleSizeImpossible, estimate
from transactions.finder import count, page
from transactions.models import IngestBatch, Release, Store
from transactions.selection import Selection

POPULATION = 12_000
DRAWS = 200
SAMPLE = 400


def skewed_population(rate: float, spread: float) -> tuple[float, int]:
    """12,000 orders of very unlike sizes, `rate` of them wrong. The true share wrong, and the true correction in cents."""
    chance = random.Random(7)
    release, _ = Release.objects.get_or_create(service="payments", calculator="fee", version="1.0.0")
    store = Store.objects.create(reference="s")
    batch = IngestBatch.objects.create(source="shop", origin="test")
    wrong, correction, facts, calculations = 0, 0, [], []
    for index in range(POPULATION):
        net = int(chance.lognormvariate(8, spread))
        percent = 1 if chance.random() < rate else 2
        right, reported = net * 2 // 100, net * percent // 100
        wrong += right != reported
        correction += right - reported
        facts.append((f"r-{index}", canonical_json({"net": f"{net // 100}.{net % 100:02d}"})))
        calculations.append(canonical_json({"net": net, "fee": reported, "total": net + reported}))
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH t AS (INSERT INTO transactions_transaction (source, reference, store_id, currency, scale, occurred_at, inputs,"
            " facts_hash, batch_id) SELECT 'shop', reference, %s, 'USD', 2, %s, inputs::jsonb, sha256('x'), %s"
            " FROM unnest(%s::text[], %s::text[]) AS f (reference, inputs) RETURNING id, reference)"
            " INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
            " SELECT t.id, %s, a.amounts::jsonb, (a.amounts::jsonb ->> 'total')::bigint, %s, %s"
            " FROM t JOIN unnest(%s::text[], %s::text[]) AS a (reference, amounts) USING (reference)",
            [
                store.pk, START, batch.pk, [f[0] for f in facts], [f[1] for f in facts],
                release.pk, START, batch.pk, [f[0] for f in facts], calculations,
            ],
        )  # fmt: skip
        cursor.execute("SELECT amends_point_at_reported(array_agg(id)) FROM transactions_calculation")
    return wrong / POPULATION, correction


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rate", "spread"),
    [
        pytest.param(0.1, 1, id="a tenth wrong"),
        pytest.param(0.02, 2, id="few wrong, most of the money in a few orders"),
    ],
)
def test_95_percent_intervals_cover_the_truth_in_at_least_90_percent_of_200_draws(
    rate: float, spread: float
) -> None:
    share, correction = skewed_population(rate, spread)
    shares = money = 0
    for seed in range(DRAWS):
        found = estimate(Selection("fee"), "2.0.0", sample_size=SAMPLE, seed=seed)
        assert (found.sampled, found.population) == (SAMPLE, POPULATION)
        shares += found.share_wrong.low <= share <= found.share_wrong.high
        (dollars,) = found.money
        money += dollars.low <= correction <= dollars.high
    assert shares >= DRAWS * 0.9
    assert money >= DRAWS * 0.9


@pytest.mark.django_db
@pytest.mark.parametrize(
    "probe", [pytest.param(1000.0, id="by lowest hash"), pytest.param(0.0, id="by random ids")]
)
def test_intervals_cover_the_truth_as_often_where_not_all_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, probe: float
) -> None:
    monkeypatch.setattr("transactions.estimate.READ_WHOLE", SAMPLE)
    monkeypatch.setattr("transactions.estimate.LOOKED_AT", POPULATION // 4)
    monkeypatch.setattr("transactions.sampling._PROBE", probe)
    share, correction = skewed_population(0.1, 1)
    shares = money = 0
    for seed in range(DRAWS):
        found = estimate(Selection("fee"), "2.0.0", sample_size=SAMPLE, seed=seed)
        assert (found.sampled, found.population, found.exact) == (SAMPLE, POPULATION, False)
        shares += found.share_wrong.low <= share <= found.share_wrong.high
        (dollars,) = found.money
        money += dollars.low <= correction <= dollars.high
    assert shares >= DRAWS * 0.9
    assert money >= DRAWS * 0.9


@pytest.mark.django_db
def test_of_a_part_that_was_looked_at_the_population_that_matches_is_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transactions.estimate.READ_WHOLE", 50)
    monkeypatch.setattr("transactions.estimate.LOOKED_AT", 100)
    report(300)
    report(100, currency="JPY", scale=0, first=300)
    report(100, service="checkout", first=400)
    populations = []
    for seed in range(20):
        found = estimate(
            Selection("fee", services=("payments",), currencies=("JPY",)), "2.0.0", sample_size=20, seed=seed
        )
        assert [each.currency for each in found.money] == ["JPY"]
        assert not found.exact
        populations.append(found.population)
    assert 80 <= sum(populations) / len(populations) <= 120


@pytest.mark.django_db
def test_a_sample_of_all_is_exact() -> None:
    report(20)
    found = estimate(Selection("fee"), "2.0.0")
    assert (found.exact, found.sampled, found.wrong) == (True, 20, 20)
    assert found.share_wrong == share_interval(20, 20, 20)
    (dollars,) = found.money
    expected = sum((1000 + i) * 2 // 100 - (1000 + i) // 100 for i in range(20))
    assert (dollars.low, dollars.estimate, dollars.high) == (expected, expected, expected)


@pytest.mark.django_db
def test_a_seed_draws_the_same_sample_again_and_another_another() -> None:
    report(50)
    first = estimate(Selection("fee"), "raises-on-odd", sample_size=10, seed=1)
    assert estimate(Selection("fee"), "raises-on-odd", sample_size=10, seed=1) == first
    others = {
        estimate(Selection("fee"), "raises-on-odd", sample_size=10, seed=seed).money[0].estimate
        for seed in range(9)
    }
    assert len(others) > 1
    assert first.failed + first.wrong == 10


@pytest.mark.django_db
def test_where_nothing_was_found_wrong_the_interval_says_what_may_still_be() -> None:
    report(100)
    found = estimate(Selection("fee"), "1.0.0", sample_size=20, seed=3)
    assert found.wrong == 0
    assert found.share_wrong.low == 0
    assert 0.05 < found.share_wrong.high < 0.2
    (dollars,) = found.money
    assert dollars.estimate == 0
    assert dollars.low < 0 < dollars.high
    assert dollars.high < sum(1000 + i + (1000 + i) // 100 for i in range(100)), (
        "not more than all the money there is"
    )


@pytest.mark.django_db
def test_currencies_are_never_mixed() -> None:
    report(5)
    report(5, currency="JPY", scale=0, first=5)
    found = estimate(Selection("fee"), "2.0.0")
    assert [(each.currency, each.scale) for each in found.money] == [("JPY", 0), ("USD", 2)]


@pytest.mark.django_db
def test_money_of_a_rare_currency_is_in_the_sample_too() -> None:
    report(300)
    report(2, currency="JPY", scale=0, first=300)
    for seed in range(5):
        found = estimate(Selection("fee"), "2.0.0", sample_size=50, seed=seed)
        yen, dollars = found.money
        assert (yen.currency, yen.low, yen.estimate, yen.high) == ("JPY", 26, 26, 26), (
            "both of them were taken"
        )
        assert dollars.low < dollars.estimate < dollars.high


@pytest.mark.django_db
def test_what_the_target_cannot_calculate_is_counted_and_adds_no_money() -> None:
    report(20)
    found = estimate(Selection("fee"), "raises-on-odd")
    assert (found.wrong + found.failed, found.failed > 0) == (20, True)
    assert found.share_wrong.estimate == found.wrong / 20


@pytest.mark.django_db
def test_an_empty_selection_has_nothing_to_estimate() -> None:
    report(1)
    found = estimate(Selection("fee", currencies=("EUR",)), "2.0.0")
    assert (found.population, found.sampled, found.money, found.exact) == (0, 0, [], True)


@pytest.mark.parametrize("size", [0, LARGEST_SAMPLE + 1])
def test_a_sample_that_cannot_be_drawn_is_refused(size: int) -> None:
    with pytest.raises(SampleSizeImpossible, match="take 1 to"):
        estimate(Selection("fee"), "2.0.0", sample_size=size)


@pytest.mark.django_db
def test_a_target_without_code_is_refused_with_those_there_are() -> None:
    report(1)
    with pytest.raises(TargetWithoutCode, match=r"fee 2\.0\.0"):
        estimate(Selection("fee"), "9.9.9")


@pytest.mark.usefixtures("committed_db")
def test_statistics_taken_during_the_first_import_do_not_make_reading_take_time_by_the_square(
    owner_connection: "psycopg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = ("transactions_transaction", "transactions_calculation", "transactions_currentcalculation")
    for table in tables:  # or it may count again while we look
        owner_connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    owner_connection.commit()
    with transaction.atomic():
        skewed_population(0.1, 1)
        # As autovacuum may: it sees no row of an import that is not committed yet, and joins then look free.
        for table in tables:
            owner_connection.execute(f"ANALYZE {table}")
        owner_connection.commit()
    with CaptureQueriesContext(connection) as asked:
        cut = Selection("fee", calculated_before=START + timedelta(minutes=30))
        assert count(cut).matched == POPULATION
        assert count(Selection("fee", currencies=("USD",))).matched == POPULATION
        assert len(page(Selection("fee"), limit=POPULATION)) == POPULATION
        assert estimate(Selection("fee"), "2.0.0").population == POPULATION
        monkeypatch.setattr("transactions.estimate.READ_WHOLE", SAMPLE)
        monkeypatch.setattr("transactions.estimate.LOOKED_AT", POPULATION // 2)
        for probe in (0.0, 1000.0):
            monkeypatch.setattr("transactions.sampling._PROBE", probe)
            assert estimate(Selection("fee"), "2.0.0").population == POPULATION
    looked_at = [query["sql"] for query in asked if "AS standing" in query["sql"]]
    assert len(looked_at) == 6
    for sql in looked_at:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            ((plan,),) = cursor.fetchone()[0:1]
        assert _rows_touched(plan["Plan"]) < POPULATION * 40, (
            "some steps for each row, and not each row for each"
        )


def _rows_touched(node: dict[str, Any]) -> int:
    """Rows that a plan's steps gave or looked at in vain, over all their loops."""
    given = node["Actual Rows"] + sum(rows for name, rows in node.items() if name.startswith("Rows Removed"))
    return int(given * node["Actual Loops"]) + sum(map(_rows_touched, node.get("Plans", ())))
