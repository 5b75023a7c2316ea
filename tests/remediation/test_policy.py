"""How many must approve follows from a plan's count, its money and its largest single correction, exactly."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from remediation.policy import Policy, policy_in_force
from tests.conftest import UserFactory
from tests.remediation.driving import previewed
from tests.remediation.incident import report

POLICY = Policy(
    approvals_for_large=2,
    large_count=100,
    large_money={"USD": "10.00", "JPY": "500"},
    largest_single={"USD": "1.005"},
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
        (manifest(EUR_2=(10**12, 10**12)), 1),
    ],
)
def test_a_plan_is_large_beyond_a_limit_and_not_at_it(found: dict[str, Any], needed: int) -> None:
    assert POLICY.required_approvals(found) == needed
    assert bool(POLICY.why_large(found)) == (needed == 2)


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**15))
def test_more_money_never_needs_fewer_people(delta: int, more: int) -> None:
    larger = delta + more if delta >= 0 else delta - more
    assert POLICY.required_approvals(manifest(USD_2=(larger, 0))) >= POLICY.required_approvals(
        manifest(USD_2=(delta, 0))
    )


def test_the_limits_that_are_passed_are_told_with_their_currency() -> None:
    assert POLICY.why_large(manifest(101, USD_2=(1001, 101))) == [
        "It corrects more than 100 transactions.",
        "Totals change by more than USD\N{NO-BREAK SPACE}10.00.",
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
        ({"fresh_hours": -1}, "fresh for"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_what_is_wrong(
    settings: Any, setting: dict[str, Any], said: str
) -> None:
    settings.AMENDS_APPROVAL_POLICY = setting
    with pytest.raises(ImproperlyConfigured, match=said):
        policy_in_force()


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
