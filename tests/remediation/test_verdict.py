"""Was this order right? The answer that support reads aloud, in every state that an order can be in."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.step_up import confirmed_by_operator
from audit.templatetags.reading import spoken
from remediation.approval import reject
from remediation.dealings import dealings_with
from remediation.models import Job, Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from remediation.verdict import Verdict, verdict_of
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, digest, opened, previewed, work_until_ended
from tests.remediation.incident import START, recalculate, report
from transactions.models import Transaction

pytestmark = pytest.mark.django_db
SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture
def order() -> int:
    """o-0: USD 10.00 with a fee of 1 %, where 2 % were right."""
    return report(1)[0]


def answer(order: int) -> Verdict:
    known = dealings_with(Transaction.objects.get(pk=order))
    assert known is not None
    return verdict_of(known)


def text(order: int) -> str:
    return answer(order).text.replace(SPACE, " ")


def when(job: Job) -> str:
    at = job.chunks.get().finished_at
    assert at is not None
    return spoken(at)


def taken_back(plan: Plan, engineer: User, approver: User) -> tuple[Plan, Job]:
    revert = request_revert(plan.case, acting_user=engineer, plan=plan)
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    return revert, applied(approved(revert, approver), engineer)


def test_an_order_that_nobody_looked_at_is_not_called_right(order: int) -> None:
    assert answer(order).in_a_word == "not looked at"
    assert text(order) == (
        "This order was charged USD 10.10, as payments calculated it with fee 1.0.0. "
        "No plan has looked at it, so that nothing says whether that is right."
    )


def test_an_order_that_a_plan_calculated_to_the_same_is_right(engineer: User, order: int) -> None:
    (right,) = report(1, first=1, fee_percent=2)
    plan = previewed(engineer)
    at = plan.chunks.get().scanned_at
    assert at is not None
    assert (answer(right).tone, answer(right).in_a_word) == ("good", "right")
    assert text(right).endswith(
        f"It is right: on {spoken(at)} plan {plan.pk} calculated it again, to version 2.0.0, and came to the same amounts."
    )
    (later,) = report(1, first=2, fee_percent=2)
    assert answer(later).in_a_word == "not looked at", "it came in after the preview"


def test_an_order_waits_is_approved_is_corrected_taken_back_and_corrected_again(
    engineer: User, approver: User, order: int
) -> None:
    plan = previewed(engineer)
    assert text(order) == (
        f"It stands on USD 10.10. Plan {plan.pk} of case {plan.case_id} would correct it to USD 10.20, and waits for approval."
    )
    approved(plan, approver)
    assert text(order) == (
        f"It stands on USD 10.10. Plan {plan.pk}, which test-approver approved, will correct it to USD 10.20; it is not applied yet."
    )
    job = applied(plan, engineer)
    charged = "This order was charged USD 10.10; it should have been USD 10.20, which is USD 0.10 more. "
    corrected = (
        f"It was corrected on {when(job)} by plan {plan.pk}, which test-approver approved "
        f"(case {plan.case_id}: {plan.case.incident})."
    )
    assert text(order) == charged + corrected
    assert answer(order).in_a_word == "corrected"
    revert, back = taken_back(plan, engineer, approver)
    assert text(order) == (
        f"{charged}{corrected} That was taken back on {when(back)} by plan {revert.pk}, which test-approver approved: "
        "it stands on USD 10.10 again."
    )
    assert answer(order).in_a_word == "taken back"
    again, forth = taken_back(revert, engineer, approver)
    assert again.kind == Plan.Kind.REAPPLY
    assert text(order) == (
        f"{charged}It was corrected, that was taken back, and on {when(forth)} it was applied again by plan {again.pk}, "
        "which test-approver approved."
    )
    assert [each.pk for each in answer(order).plans] == [plan.pk, again.pk]


def test_an_order_that_was_charged_too_much_says_so(engineer: User, approver: User) -> None:
    (order,) = report(1, fee_percent=3)
    applied(approved(previewed(engineer), approver), engineer)
    assert text(order).startswith(
        "This order was charged USD 10.30; it should have been USD 10.20, which is USD 0.10 less. It was corrected"
    )


def test_what_its_service_says_after_a_correction_is_told(engineer: User, approver: User, order: int) -> None:
    plan = previewed(engineer)
    applied(approved(plan, approver), engineer)
    recalculate(order, fee_percent=5, at=plan.requested_at + timedelta(minutes=1), version="3.0.0")
    assert answer(order).in_a_word == "corrected, then calculated anew"
    assert "Since " in text(order)
    assert text(order).endswith("it stands on USD 10.50, as payments calculated it anew.")


def test_an_order_that_was_left_alone_says_why(engineer: User, approver: User, order: int) -> None:
    plan = approved(previewed(engineer), approver)
    recalculate(order, fee_percent=1, at=START + timedelta(days=1), version="3.0.0")
    applied(plan, engineer)
    assert answer(order).in_a_word == "left alone"
    assert f"Case {plan.case_id} was to correct it, and left it alone on " in text(order)
    assert text(order).endswith("Its service recalculated it after this plan was previewed.")


def test_a_rejected_proposal_says_who_rejected_it(engineer: User, approver: User, order: int) -> None:
    plan = previewed(engineer)
    no = reject(
        plan,
        digest(plan),
        comment="Not like this.",
        acting_user=approver,
        confirmed=confirmed_by_operator(approver),
    )
    at = no.approvals.get().decided_at
    assert text(order) == (
        f"It stands on USD 10.10. Plan {plan.pk} would have made it USD 10.20; test-approver rejected that on {spoken(at)}."
    )


def test_a_newer_preview_is_the_one_that_is_told(engineer: User, order: int) -> None:
    first = previewed(engineer)
    second = request_preview(opened(engineer), acting_user=engineer, again=True)
    work_until_ended(second.jobs.get(kind="preview"))
    assert f"Plan {first.pk} " not in text(order)
    assert f"Plan {second.pk} of case" in text(order)


def test_the_page_says_it_first_with_cases_and_entries_that_touch_it(
    client: Client, users: UserFactory, engineer: User, approver: User, order: int,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:  # fmt: skip
    plan = previewed(engineer)
    applied(approved(plan, approver), engineer)
    client.force_login(users("support"))
    with django_assert_max_num_queries(30):
        page = client.get(f"/transactions/transaction/{order}/")
    shown = page.content.decode()
    assert page.context["verdict"].in_a_word == "corrected"
    assert (
        shown.index("Was it right?") < shown.index("Every calculation") < shown.index("Cases that touch it")
    )
    assert [(case.pk, [each.pk for each in plans]) for case, plans in page.context["touching_cases"]] == [
        (plan.case_id, [plan.pk])
    ]
    assert {entry.event for entry, _, _ in page.context["touching_entries"]} >= {
        "chunk.applied",
        "plan.approved",
    }
    assert f'href="/remediation/plan/{plan.pk}/"' in shown


def test_the_page_looks_back(
    client: Client, users: UserFactory, engineer: User, approver: User, order: int
) -> None:
    plan = previewed(engineer)
    job = applied(approved(plan, approver), engineer)
    client.force_login(users("support"))
    address = f"/transactions/transaction/{order}/"
    moved = job.chunks.get().finished_at
    assert moved is not None
    for at, total in (
        (moved - timedelta(microseconds=1), 1010),
        (moved, 1020),
        (moved + timedelta(days=900), 1020),
    ):
        page = client.get(address, {"as_of": at.isoformat()})
        assert page.context["stood"].total == total, at
        assert "stood then" in page.content.decode()
    assert "it had not come in yet" in client.get(address, {"as_of": "2001-01-01T00:00"}).content.decode()
    assert "is no time" in client.get(address, {"as_of": "yesterday"}).content.decode()


def test_the_page_explains_line_by_line(
    client: Client, users: UserFactory, engineer: User, order: int
) -> None:
    plan = previewed(engineer, target="explaining")
    client.force_login(users("support"))
    address = f"/transactions/transaction/{order}/explanation/"
    page = client.get(address)
    comparison = page.context["comparison"]
    assert (comparison.before.calculation.total, comparison.after.calculation.plan_chunk_id) == (
        1010,
        plan.chunks.get().pk,
    )
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "The calculation line by line" in part
    alone = client.get(address, {"calculation": comparison.before.calculation.pk})
    assert alone.context["comparison"].before is None
    for wrong in ("x", "0", "9" * 30):
        assert client.get(address, {"calculation": wrong}).status_code == 404
