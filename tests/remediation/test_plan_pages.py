"""Why a plan's rows differ and how its changes are spread: what the pages say, and that their numbers lead to exactly those rows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from remediation.cause_proof import prove_sample
from remediation.figures import spread_of
from remediation.models import Plan, PlanChunkFigures
from remediation.plan_rows import RowFilter, rows_of
from remediation.revert import request_revert
from tests.conftest import UserFactory
from tests.remediation.driving import SELECTION, applied, approved, previewed, work_until_ended
from tests.remediation.incident import START, report
from transactions.models import Calculation, Store

pytestmark = pytest.mark.django_db

Asserts = Callable[..., Any]


@pytest.fixture
def support(client: Client, users: UserFactory) -> Client:
    client.force_login(users("support"))
    return client


@pytest.fixture
def plan(engineer: User, settings: Any) -> Plan:
    """Fees up for two stores and two currencies, and down where three percent were taken; in chunks of four."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 4
    report(6)
    report(3, first=50, currency="JPY", scale=0, store="s-2")
    report(3, first=9000, fee_percent=3, store="s-2", start=START + timedelta(hours=1))
    return previewed(engineer)


def text(client: Client, address: str, **headers: str) -> str:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, (address, answer)
    return " ".join(answer.content.decode().split())


def every_row(client: Client, address: str) -> list[str]:
    """References of all rows behind an address, page after page."""
    seen: list[str] = []
    while True:
        context = client.get(address).context
        seen += [row.transaction.reference for row in context["rows"]]
        if not context["older"]:
            return seen
        address = address.partition("?")[0] + context["older"]


def test_a_plans_page_says_who_was_charged_too_much_and_who_too_little(support: Client, plan: Plan) -> None:
    page = support.get(f"/remediation/plan/{plan.pk}/")
    found = [
        (each.currency, each.too_much.rows, each.owed, each.too_little.rows, each.too_little.added)
        for each in page.context["charged"]
    ]
    assert found == [("JPY", 0, 0, 3, 33), ("USD", 3, 300, 6, 60)]
    assert "What it means for customers" in page.content.decode()
    for each in page.context["charged"]:
        assert len(every_row(support, each.too_little_page)) == each.too_little.rows
        assert len(every_row(support, each.too_much_page)) == each.too_much.rows


def test_causes_are_read_as_sentences_with_their_largest_change_and_three_examples(
    support: Client, plan: Plan
) -> None:
    page = support.get(f"/remediation/plan/{plan.pk}/")
    up, down = page.context["causes"]
    assert (up.in_words, up.count) == ("Fee goes up, total goes up", 9)
    assert [(each.currency, each.amount) for each in up.largest] == [("JPY", 11), ("USD", 10)]
    assert len(up.examples) == len(down.examples) == 3
    address = f"/remediation/plan/{plan.pk}/rows/?cause=fee+down%2C+total+down"
    assert sorted(every_row(support, address)) == ["o-9000", "o-9001", "o-9002"]
    assert "Look" in page.content.decode()


def test_examples_that_the_suspect_release_makes_again_prove_a_cause(
    support: Client, plan: Plan, django_assert_max_num_queries: Asserts
) -> None:
    with django_assert_max_num_queries(30):
        part = support.get(f"/remediation/plan/{plan.pk}/causes/")
    up, down = part.context["listed_causes"]
    assert (up.proof.proved, up.proof.reproduced) == (True, 3)
    # It recorded three percent, and its code takes one: something else made these amounts.
    assert (down.proof.proved, down.proof.reproduced, down.proof.asked) == (False, 0, 3)
    page = " ".join(part.content.decode().split())
    assert "proved: 3 of 3 reproduced" in page
    assert "0 of 3 reproduced" in page


def test_a_causes_page_explains_its_examples_line_by_line(
    support: Client, plan: Plan, django_assert_max_num_queries: Asserts
) -> None:
    with django_assert_max_num_queries(30):
        page = text(support, f"/remediation/plan/{plan.pk}/cause/?cause=fee+up%2C+total+up")
    assert page.count("The calculation of o-") == 3
    assert "before: fee 1.0.0" in page
    assert "after: fee 2.0.0" in page
    assert support.get(f"/remediation/plan/{plan.pk}/cause/?cause=fee+gone").status_code == 404
    assert support.get(f"/remediation/plan/{plan.pk}/cause/").status_code == 404


def test_a_random_sample_of_a_cause_is_drawn_again_by_its_seed(support: Client, plan: Plan) -> None:
    proof = prove_sample(plan, "fee up, total up", size=5, seed=7)
    assert (proof.asked, proof.population, proof.reproduced, proof.proved) == (5, 9, 5, True)
    assert proof.share is not None
    assert proof.share.low >= 5 / 9
    wrong = prove_sample(plan, "fee down, total down", seed=7)
    assert (wrong.asked, wrong.reproduced, len(wrong.others)) == (3, 0, 3)
    assert wrong.others[0].differences[0].name == "fee"
    address = f"/remediation/plan/{plan.pk}/cause/?cause=fee+down%2C+total+down&sample=1&seed=7"
    assert "A random sample of 3 of 3 rows, drawn with the seed 7." in text(support, address)
    part = support.get(address, headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert support.get(f"{address}x").status_code == 404


def test_a_sample_of_many_chunks_is_drawn_from_some_and_says_so(
    plan: Plan, support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediation.cause_proof.CHUNKS_OF_A_SAMPLE", 2)
    proof = prove_sample(plan, "fee up, total up", seed=1)
    assert (proof.chunks, proof.of_chunks, proof.share) == (2, 3, None)
    assert 0 < proof.asked < proof.population
    assert "of the 3 chunks" in text(
        support, f"/remediation/plan/{plan.pk}/cause/?cause=fee+up%2C+total+up&sample=1"
    )


def test_every_bar_outlier_and_store_leads_to_its_rows(
    support: Client, plan: Plan, django_assert_max_num_queries: Asserts
) -> None:
    with django_assert_max_num_queries(30):
        page = support.get(f"/remediation/plan/{plan.pk}/figures/")
    assert page.context["agrees"]
    usd, jpy = page.context["currencies"]
    assert [(bar.bin.low, bar.bin.rows, bar.way) for bar in usd.bars if bar.bin.rows] == [
        (-100, 3, "down"),
        (10, 6, "up"),
    ]
    assert usd.bars[0].bin.low == -usd.bars[-1].bin.low
    for bar in (*usd.bars, *jpy.bars):
        assert len(every_row(support, bar.rows_page)) == bar.bin.rows
    for top in (*usd.by_money, *jpy.by_rows):
        assert len(every_row(support, top.rows_page)) == top.sums.rows
    (store,) = [top for top in usd.by_money if top.store.reference == "s-2"]
    # Leaving a store out leaves out its rows of every currency.
    assert (store.sums.rows, store.rows) == (3, 6)
    assert [row.delta for row in usd.largest][:4] == [-100, -100, -100, 10]
    assert usd.largest[0].transaction.reference == "o-9000"
    assert usd.relative[0].percent == "0.9 %"
    part = support.get(f"/remediation/plan/{plan.pk}/figures/", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()


def test_changes_larger_than_a_limit_are_found_and_offered_to_be_left_out(
    client: Client, engineer: User
) -> None:
    report(150)
    report(1, first=90_000, start=START + timedelta(hours=1))
    plan = previewed(engineer)
    client.force_login(engineer)
    page = client.get(f"/remediation/plan/{plan.pk}/figures/")
    (usd,) = page.context["currencies"]
    (cut,) = usd.cuts
    assert (cut.limit, cut.value, cut.rows, cut.delta[0].amount) == (499, "USD:2=499", 1, 910)
    assert every_row(client, cut.rows_page) == ["o-90000"]
    assert 'name="larger_than" value="USD:2=499"' in page.content.decode()


def test_figures_that_do_not_add_up_to_what_is_approved_say_so(
    support: Client, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "remediation.scan.spread_of",
        lambda changes: spread_of({key: of_currency[1:] for key, of_currency in changes.items()}),
    )
    report(3)
    wrong = previewed(engineer)
    assert "do not add up" in text(support, f"/remediation/plan/{wrong.pk}/figures/")


def test_figures_of_a_part_of_a_plan_are_told_as_such(
    support: Client, engineer: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    report(4)
    create = PlanChunkFigures.objects.create
    monkeypatch.setattr(
        PlanChunkFigures.objects,
        "create",
        lambda plan_chunk, **given: plan_chunk.position and create(plan_chunk=plan_chunk, **given),
    )
    plan = previewed(engineer)
    page = text(support, f"/remediation/plan/{plan.pk}/figures/")
    assert "Figures were kept of a part of this plan only" in page
    assert "do not add up" not in page
    assert support.get(f"/remediation/plan/{plan.pk}/").context["charged"] == []
    # The rows are all found nevertheless.
    assert len(every_row(support, f"/remediation/plan/{plan.pk}/rows/?way=up")) == 4


def test_what_cannot_be_corrected_is_grouped_by_reason_and_leads_to_its_rows(
    support: Client, engineer: User
) -> None:
    report(5)
    plan = previewed(engineer, target="raises-on-odd")
    page = support.get(f"/remediation/plan/{plan.pk}/figures/")
    (reason,) = page.context["failed_reasons"]
    assert (reason.reason, reason.rows, reason.example.reference) == (
        "An odd net amount has no fee.",
        2,
        "o-1",
    )
    listed = support.get(reason.page).context["cl"].result_list
    assert [outcome.transaction.reference for outcome in listed] == ["o-1", "o-3"]


def test_a_plan_that_takes_another_back_leads_to_that_ones_figures(
    support: Client, engineer: User, approver: User
) -> None:
    report(2)
    plan = previewed(engineer)
    applied(approved(plan, approver), engineer)
    revert = request_revert(plan.case, acting_user=engineer)
    work_until_ended(revert.jobs.get())
    page = text(support, f"/remediation/plan/{revert.pk}/figures/")
    assert f"/remediation/plan/{plan.pk}/figures/" in page
    assert support.get(f"/remediation/plan/{revert.pk}/rows/?way=up").status_code == 404
    assert support.get(f"/remediation/plan/{revert.pk}/causes/").status_code == 200


def test_rows_of_a_store_are_read_a_piece_of_it_at_a_time(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.objects.get(reference="s-2")
    monkeypatch.setattr("remediation.plan_rows.STORES_ROWS_A_PAGE", 2)
    found: list[int] = []
    after, pages = "", 0
    while True:
        page = rows_of(plan, RowFilter(store=store.pk, way="down"), after=after, most=1)
        found += page.ids
        pages += 1
        if not page.after:
            break
        after = page.after
    transactions = Calculation.objects.filter(pk__in=found).values_list("transaction__reference", flat=True)
    assert sorted(transactions) == ["o-9000", "o-9001", "o-9002"]
    assert len(found) == 3
    assert pages > 3


@pytest.mark.parametrize(
    "address",
    ["?cause=%27%3B--", "?way=sideways", "?currency=USD", "?currency=USD:x", "?edge=3", "?edge=x", "?store=x",
     "?way=up&after=x", "?way=up&after=1", "?larger_than=1.5", "?store=99999999999999999999"],
)  # fmt: skip
def test_an_address_that_asks_for_no_such_rows_is_not_found(
    support: Client, plan: Plan, address: str
) -> None:
    assert support.get(f"/remediation/plan/{plan.pk}/rows/{address}").status_code == 404


def test_rows_are_narrowed_by_several_at_once_and_the_page_says_by_what(support: Client, plan: Plan) -> None:
    store = Store.objects.get(reference="s-2")
    address = (
        f"/remediation/plan/{plan.pk}/rows/?cause=fee+up%2C+total+up&store={store.pk}&currency=JPY:0&edge=10"
    )
    assert len(every_row(support, address)) == 3
    page = text(support, address)
    for words in ("Fee goes up, total goes up", "total changes by +10 to +19", "JPY", "store s-2"):
        assert words in page
    assert every_row(support, f"/remediation/plan/{plan.pk}/rows/?currency=EUR:2") == []
    assert "No rows of this plan are like that." in text(
        support, f"/remediation/plan/{plan.pk}/rows/?currency=EUR:2"
    )


def test_a_component_that_is_new_is_a_cause_that_rows_are_found_by(engineer: User, support: Client) -> None:
    ids = report(2, version="0.9.0")
    wanted = replace(SELECTION, versions=("0.9.0",))
    plan = previewed(engineer, target="with-tip", selection=wanted)
    (cause,) = support.get(f"/remediation/plan/{plan.pk}/").context["causes"]
    assert cause.cause == "fee up, tip new, total up"
    found = rows_of(plan, RowFilter(cause=cause.cause), after="", most=9)
    assert list(Calculation.objects.filter(pk__in=found.ids).values_list("transaction_id", flat=True)) == ids
    assert rows_of(plan, RowFilter(cause="fee up, total up"), after="", most=9).ids == []
