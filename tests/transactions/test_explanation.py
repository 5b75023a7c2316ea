"""A calculation line by line, and whether its release's own code makes the recorded amounts again."""

from typing import Any

import pytest
from django.template.loader import render_to_string

from tests.remediation.incident import report
from transactions.calculators import Step
from transactions.explanation import (
    MOST_STEPS,
    Comparison,
    Explanation,
    Line,
    Reproduction,
    explain,
    explain_all,
    side_by_side,
)
from transactions.models import Calculation, IngestBatch, Release, Store, Transaction

pytestmark = pytest.mark.django_db

ORDER = {
    "country": "DE",
    "lines": [{"sku": "MUG", "quantity": "2", "unit_price": "10.00", "discount": "10"}],
    "shipping": "5.00",
}


def calculated(version: str, *, fee_percent: int = 2) -> Calculation:
    """The fee calculation of 10.00 that a release reported."""
    (known,) = report(1, version=version, fee_percent=fee_percent)
    return Calculation.objects.select_related("release").get(transaction_id=known)


def ordered(version: str, amounts: dict[str, int], facts: Transaction | None = None) -> Calculation:
    release, _ = Release.objects.get_or_create(service="shop", calculator="pricing", version=version)
    store, _ = Store.objects.get_or_create(reference="s-1")
    batch = IngestBatch.objects.create(source="shop", origin="test")
    facts = facts or Transaction.objects.create(
        source="shop", reference="o-1", store=store, currency="EUR", scale=2, occurred_at="2026-03-02T08:00Z",
        inputs=ORDER, facts_hash=b"x" * 32, batch=batch,
    )  # fmt: skip
    made = Calculation.objects.create(
        transaction=facts, release=release, amounts=amounts, total=amounts["total"],
        calculated_at="2026-03-02T08:00Z", batch=batch,
    )  # fmt: skip
    return Calculation.objects.select_related("release").get(pk=made.pk)


def shown(comparison: Comparison) -> str:
    page = render_to_string(
        "transactions/explanation.html", {"comparison": comparison, "currency": "EUR", "scale": 2}
    )
    return " ".join(page.split())


def test_amounts_that_the_releases_own_code_makes_again_are_reproduced_and_told_line_by_line() -> None:
    told = explain(calculated("explaining"))
    assert told.reproduction == Reproduction.REPRODUCED
    assert told.recomputed == {"net": 1000, "fee": 20, "total": 1020}
    assert told.lines == [Step("Net", 1000), Step("Fee", 20, "2 % of the net amount")]
    assert (told.differences, told.adds_up_to) == ([], None)
    assert told.meaning == "The code of fee explaining makes the recorded amounts again, each of them."


def test_amounts_that_the_code_here_does_not_make_are_told_by_component() -> None:
    told = explain(calculated("explaining", fee_percent=1))
    assert told.reproduction == Reproduction.DIFFERS
    assert [tuple(each) for each in told.differences] == [("fee", 10, 20), ("total", 1010, 1020)]
    assert told.adds_up_to == 1020
    page = shown(side_by_side(None, told))
    assert "not reproduced" in page
    assert (
        'fee: recorded <span class="money">0.10</span>, the code makes <span class="money">0.20</span>'
        in page
    )
    assert "which is not the recorded total" in page


def test_without_code_the_recorded_components_are_the_lines() -> None:
    told = explain(calculated("0.0.1", fee_percent=1))
    assert told.reproduction == Reproduction.NO_CODE
    assert (told.recomputed, told.lines) == (None, [Step("Fee", 10), Step("Net", 1000)])
    assert "nothing can be proved" in told.meaning


def test_a_calculator_without_explanation_is_told_by_its_components() -> None:
    told = explain(calculated("2.0.0"))
    assert told.reproduction == Reproduction.REPRODUCED
    assert told.lines == [Step("Net", 1000), Step("Fee", 20)]
    assert told.why_no_steps == "Its code has no line-by-line explanation."


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("hangs-on-1001", "The calculator did not answer within 0.3 s."),
        ("dies-on-1001", "The calculator ended its process by SIGSEGV."),
        ("explaining-for-ever", "The calculator did not answer within 0.3 s."),
        ("raises-on-odd", "An odd net amount has no fee."),
    ],
)
def test_code_that_hangs_dies_or_refuses_costs_its_own_row_and_says_why(
    version: str, reason: str, settings: Any
) -> None:
    settings.AMENDS_ROW_SECONDS = 0.3
    report(2, version=version, fee_percent=2)
    even, odd = explain_all(list(Calculation.objects.select_related("release").order_by("id")))
    assert (odd.reproduction, odd.why) == (Reproduction.FAILED, reason)
    if version != "explaining-for-ever":
        assert even.reproduction == Reproduction.REPRODUCED
    assert reason in shown(side_by_side(even, odd))


def test_code_that_is_too_slow_for_a_page_is_asked_no_further() -> None:
    report(3, version="explaining-for-ever", fee_percent=2)
    told = explain_all(list(Calculation.objects.select_related("release").order_by("id")), seconds=0.3)
    assert [each.why for each in told] == [
        "The calculator did not answer within 0.3 s.",
        "The calculator was not asked: 0.3 s were over.",
        "The calculator was not asked: 0.3 s were over.",
    ]


def test_an_explanation_that_fails_leaves_the_amounts_standing() -> None:
    told = explain(calculated("explaining-fractions"))
    assert told.reproduction == Reproduction.REPRODUCED
    assert told.why_no_steps == "Its explanation failed: “Net” has no whole amount."


def test_a_long_explanation_ends_with_what_is_left_out() -> None:
    told = explain(calculated("explaining-at-length"))
    assert len(told.steps) == MOST_STEPS
    assert told.steps[-1] == Step("821 more lines", 821)
    assert told.adds_up_to is None


def test_two_releases_stand_beside_each_other_and_what_differs_is_marked() -> None:
    wrong = ordered("1.9.0", {"subtotal": 2000, "discount": -200, "shipping": 500, "tax": 475, "total": 2775})
    right = ordered(
        "2.0.0",
        {"subtotal": 2000, "discount": -200, "shipping": 500, "tax": 437, "total": 2737},
        wrong.transaction,
    )
    before, after = explain_all([wrong, right])
    assert (before.reproduction, after.reproduction) == (Reproduction.REPRODUCED, Reproduction.REPRODUCED)
    found = side_by_side(before, after)
    assert [(line.name, line.differs, line.change) for line in found.lines] == [
        ("Line 1", False, 0),
        ("Discounts of lines", False, 0),
        ("Shipping", False, 0),
        ("Tax", True, -38),
    ]
    assert found.change == -38
    page = shown(found)
    assert page.count('<tr class="differs">') == 2  # the tax and the total
    assert "before: pricing 1.9.0" in page
    assert "after: pricing 2.0.0" in page


def test_a_line_that_one_side_alone_has_stands_in_its_place() -> None:
    base = calculated("explaining")
    before = Explanation(base, Reproduction.REPRODUCED, steps=[Step("A", 1), Step("B", 2), Step("C", 3)])
    after = Explanation(base, Reproduction.REPRODUCED, steps=[Step("a", 1), Step("D", 0), Step("C", 4)])
    assert side_by_side(before, after).lines == [
        Line("a", Step("A", 1), Step("a", 1)),
        Line("B", Step("B", 2), None),
        Line("D", None, Step("D", 0)),
        Line("C", Step("C", 3), Step("C", 4)),
    ]
    assert [line.differs for line in side_by_side(before, after).lines] == [False, True, True, True]
