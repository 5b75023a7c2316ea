"""How many must approve follows from a plan's count, its money and its largest single correction, exactly."""

import json
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from remediation.models import Plan
from remediation.policy import Policy, policy_in_force
from remediation.policy_of_plan import money_moved
from remediation.revert import request_revert
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, work_until_ended
from tests.remediation.incident import START, report

POLICY = Policy(
    approvals_for_large=2,
    large_count=100,
    large_money={"USD": "10.00", "JPY": "500"},
    largest_single={"USD": "1.005", "JPY": "500"},
)


def manifest(proposed: int = 1, **money: tuple[int, int]) -> dict[str, Any]:
    """`money` is USD_2=(delta, largest) in smallest units."""
    sums = {
        key.replace("_", ":"): {"before": 0, "after": delta, "delta": delta, "largest": largest}
        for key, (delta, largest) in money.items()
    }
    return {"proposed": proposed, "money": sums}


@pytest.mark.parametrize(
    ("found", "needed"),
    [
        (manifest(100), 1),
        (manifest(101), 2),
        (manifest(USD_2=(1000, 100)), 1),
        (manifest(USD_2=(1001, 100)), 2),
        (manifest(USD_2=(-1001, 100)), 2),
        (manifest(USD_4=(100_000, 10_050)), 1),
        (manifest(USD_4=(100_001, 10_050)), 2),
        (manifest(USD_4=(0, 10_051)), 2),
        (manifest(USD_2=(0, 101)), 2),
        (manifest(JPY_0=(500, 500)), 1),
        (manifest(JPY_0=(501, 1)), 2),
        (manifest(EUR_2=(0, 0)), 1),
        (manifest(EUR_2=(1, 1)), 2),
    ],
)
def test_a_plan_is_large_beyond_a_limit_and_not_at_it(found: dict[str, Any], needed: int) -> None:
    assert POLICY.required_approvals(found) == needed
    assert bool(POLICY.why_large(found)) == (needed == 2)


def test_what_goes_up_does_not_make_up_for_what_goes_down() -> None:
    found = manifest(USD_2=(0, 100))
    assert POLICY.required_approvals(found, {"USD:2": 1000}) == 1
    assert POLICY.required_approvals(found, {"USD:2": 1001}) == 2


def test_without_any_limit_of_money_no_amount_makes_a_plan_large() -> None:
    assert Policy(approvals_for_large=2).required_approvals(manifest(EUR_2=(10**12, 10**12))) == 1


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**15))
def test_more_money_never_needs_fewer_people(delta: int, more: int) -> None:
    larger = delta + more if delta >= 0 else delta - more
    assert POLICY.required_approvals(manifest(USD_2=(larger, 0))) >= POLICY.required_approvals(
        manifest(USD_2=(delta, 0))
    )


def test_the_limits_that_are_passed_are_told_with_their_currency() -> None:
    assert POLICY.why_large(manifest(101, USD_2=(1001, 101))) == [
        "It corrects more than 100 transactions.",
        "What goes up and what goes down is more than USD\N{NO-BREAK SPACE}10.00 together.",
        "A single total changes by more than USD\N{NO-BREAK SPACE}1.00.",
    ]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"approvals": 0}, "at least one approval"),
        ({"approvals": 2}, "no fewer than a usual one"),
        ({"large_money": {"USD": "a lot"}}, "USD: a lot"),
        ({"large_money": {"dollars": "1"}}, "dollars: 1"),
        ({"largest_single": {"USD": "NaN"}}, "USD: NaN"),
        ({"large_mony": {}}, "large_mony"),
        ({"fresh_hours": -1}, "fresh_hours is -1"),
        ({"approvals": 1.5}, "approvals is 1.5"),
        ({"approvals": True}, "approvals is True"),
        ({"approvals": 1, "approvals_for_large": 40_000}, "from 0 to 100"),
        ({"large_money": [["USD", "1"]]}, "by currency"),
        ({"large_money": {"USD": 1.5}}, "USD: 1.5"),
        ({"large_money": {"USD": "1e3"}}, "USD: 1e3"),
        ({"large_money": {"USD": "-1"}}, "USD: -1"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_what_is_wrong(
    settings: Any, setting: dict[str, Any], said: str
) -> None:
    settings.AMENDS_APPROVAL_POLICY = setting
    with pytest.raises(ImproperlyConfigured, match=said):
        policy_in_force()


def said_by_the_database(plan: Plan, policy: Policy) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT amends_required_approvals(%s, %s::jsonb)", [plan.pk, json.dumps(policy.snapshot())]
        )
        return int(cursor.fetchone()[0])


@pytest.mark.usefixtures("committed_db")
def test_the_database_asks_for_as_many_as_the_policy_does(users: UserFactory) -> None:
    """Three rows of USD go up by 10, 10 and 10 cents, two of JPY down by 101 and 101 yen; and the way back."""
    report(3)
    report(2, first=10_000, fee_percent=3, currency="JPY", scale=0, start=START + timedelta(hours=1))
    engineer, approver = users("engineer"), users("approver")
    plan = previewed(engineer)
    applied(approved(plan, approver), engineer)
    revert = request_revert(plan.case, acting_user=engineer, reason="It was right before.")
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    assert money_moved(plan) == {"JPY:0": 220, "USD:2": 30} == money_moved(revert)
    counts, dollars, yen = (4, 5), ("0.29", "0.295", "0.30"), ("219", "220", "0")
    singles: tuple[dict[str, str], ...] = (
        {},
        {"USD": "0.10", "JPY": "109"},
        {"USD": "0.10", "JPY": "110"},
        {"USD": "0.1"},
    )
    seen = set()
    for count, usd, jpy, single in product(counts, (None, *dollars), (None, *yen), singles):
        money = {currency: limit for currency, limit in (("USD", usd), ("JPY", jpy)) if limit is not None}
        policy = Policy(2, 3, large_count=count, large_money=money, largest_single=single)
        for each in (plan, revert):
            needed = policy.required_approvals(each.manifest or {}, money_moved(each))
            assert said_by_the_database(each, policy) == needed, (each, policy)
            seen.add((each.kind, needed))
    assert seen == {("apply", 2), ("apply", 3), ("revert", 2), ("revert", 3)}


@pytest.mark.usefixtures("committed_db")
def test_a_plan_keeps_the_policy_that_it_was_previewed_under(users: UserFactory, settings: Any) -> None:
    settings.AMENDS_APPROVAL_POLICY = {"approvals_for_large": 2, "large_money": {"USD": "0.20"}}
    report(3)
    plan = previewed(users("engineer"))
    settings.AMENDS_APPROVAL_POLICY = {}
    assert plan.required_approvals == 2
    assert (plan.manifest or {})["policy"]["large_money"] == {"USD": "0.20"}
    early = {
        name: plan.policy[name] for name in ("approvals", "approvals_for_large", "large_count", "fresh_hours")
    }
    assert Policy(**early).large_money == {}
