"""What support can say of a store: which of its orders were wrong, by how much, fixed when, and what remains."""

import csv
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.flood import Limit
from audit.models import AuditEntry
from audit.permission import NotPermitted
from audit.step_up import confirmed_by_operator
from audit.templatetags.reading import spoken
from remediation import statement
from remediation.admin import store_statement
from remediation.approval import reject
from remediation.models import Plan
from remediation.revert import request_revert
from remediation.statement import COLUMNS, take_statement
from remediation.store_answer import StoreAnswer, answer_for
from remediation.store_rows import ORDERS_AT_ONCE, Period, Standing, count_up_to, walk, walk_some
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, digest, opened, previewed, verified, work_until_ended
from tests.remediation.incident import START, recalculate, report
from transactions.models import Store
from transactions.selection import Selection

pytestmark = pytest.mark.django_db
SPACE = "\N{NO-BREAK SPACE}"
ALL = Period()


@pytest.fixture
def support(client: Client, users: UserFactory) -> Client:
    client.force_login(users("support"))
    return client


def the_store(reference: str = "s-1") -> Store:
    return Store.objects.get(reference=reference)


def answered(period: Period = ALL) -> StoreAnswer:
    return answer_for(the_store(), period, walk(the_store(), period))


def said(period: Period = ALL) -> list[str]:
    return [each.replace(SPACE, " ") for each in answered(period).sentences()]


def standings(period: Period = ALL) -> dict[str, Standing]:
    return {row.reference: row.standing for walked in walk(the_store(), period) for row in walked.rows}


@pytest.fixture
def corrected(engineer: User, approver: User) -> Plan:
    """Of eight orders, three were charged a fee of 1 % and two of 3 %, and three the right 2 %; two more belong to another store."""
    report(3)
    report(2, first=50, fee_percent=3)
    report(3, first=100, fee_percent=2)
    report(2, first=200, store="s-2")
    plan = previewed(engineer)
    applied(approved(plan, approver), engineer)
    return plan


def test_the_answer_says_how_many_by_how_much_when_by_whom_and_that_nothing_remains(corrected: Plan) -> None:
    at = corrected.jobs.get(kind="apply").chunks.get().finished_at
    assert at is not None
    assert said() == [
        "Of all 8 orders of s-1, 5 were charged a wrong amount.",
        f"5 were corrected on {spoken(at)} by plan {corrected.pk}, which test-approver approved "
        f"(case {corrected.case_id}: {corrected.case.incident}). "
        "Charged too much: 2, USD 0.20 together; charged too little: 3, USD 0.30 together.",
        "Nothing of that remains to be corrected.",
    ]


def test_a_period_takes_its_orders_alone(corrected: Plan) -> None:
    until = Period(None, START + timedelta(seconds=2))
    assert (
        said(until)[0]
        == f"Of the 2 orders of s-1 before {spoken(START + timedelta(seconds=2))}, 2 were charged a wrong amount."
    )
    only = Period(START + timedelta(seconds=100), START + timedelta(days=1))
    assert "None of the 3 orders of s-1 from " in said(only)[0]
    never = Period(START + timedelta(days=9), START + timedelta(days=10))
    assert said(never) == [
        f"s-1 has no orders from {spoken(never.begin or START)} and before {spoken(never.end or START)}."
    ]


def test_every_state_is_told_apart(engineer: User, approver: User) -> None:
    ids = report(4)
    plan = previewed(engineer)
    assert set(standings().values()) == {Standing.WAITING}
    assert said()[1].startswith(
        f"4 are still wrong: plan {plan.pk} of case {plan.case_id} would correct them"
    )
    approved(plan, approver)
    assert set(standings().values()) == {Standing.APPROVED}
    recalculate(ids[3], fee_percent=2, at=START + timedelta(days=1))
    applied(plan, engineer)
    recalculate(ids[2], fee_percent=5, at=plan.requested_at + timedelta(minutes=1), version="3.0.0")
    assert standings() == {"o-0": Standing.CORRECTED, "o-1": Standing.CORRECTED, "o-2": Standing.ANEW}
    revert = request_revert(plan.case, acting_user=engineer)
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    applied(approved(revert, approver), engineer)
    assert standings() == {"o-0": Standing.TAKEN_BACK, "o-1": Standing.TAKEN_BACK, "o-2": Standing.ANEW}
    again = request_revert(plan.case, acting_user=engineer, plan=revert)
    work_until_ended(again.jobs.get(kind="preview"))
    again.refresh_from_db()
    applied(approved(again, approver), engineer)
    assert standings()["o-0"] == Standing.CORRECTED
    row = next(row for walked in walk(the_store(), ALL) for row in walked.rows if row.reference == "o-0")
    assert (row.charged, row.right, row.now, row.plan) == (1010, 1020, 1020, again.pk)


def test_what_was_rejected_or_found_by_a_verification_is_told(engineer: User, approver: User) -> None:
    report(2)
    plan = previewed(engineer)
    reject(plan, digest(plan), comment="No.", acting_user=approver, confirmed=confirmed_by_operator(approver))
    assert set(standings().values()) == {Standing.REJECTED}
    assert said()[0].startswith("None of all 2 orders")
    report(1, first=10)
    verified(opened(engineer), engineer)
    assert standings()["o-10"] == Standing.DIFFERS
    assert answered().remaining == 1


def test_a_walk_in_pieces_meets_every_order_once(corrected: Plan) -> None:
    report(3, first=0x500, start=START - timedelta(seconds=0x500))  # all at one moment
    store, seen, after = the_store(), [], None
    while True:
        walked = walk_some(store, ALL, after=after, orders=2)
        seen += [row.reference for row in walked.rows]
        if walked.onward is None:
            break
        after = walked.onward
    assert seen == [row.reference for each in walk(store, ALL) for row in each.rows]
    assert len(seen) == len(set(seen)) == 5
    assert count_up_to(store, ALL, 4) == 4
    assert count_up_to(store, ALL, 100) == answered().orders == 11


def test_more_orders_take_no_more_queries(
    corrected: Plan, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    with django_assert_max_num_queries(12) as few:
        answered()
    report(60, first=1000)
    with django_assert_max_num_queries(len(few)):
        answered()
    assert ORDERS_AT_ONCE > 60


def test_the_page_says_it_and_lists_the_orders_behind_every_number(
    support: Client, corrected: Plan, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    address = f"/transactions/store/{the_store().pk}/"
    support.get(address)
    with django_assert_max_num_queries(30):
        page = support.get(address)
    assert page.context["sentences"] == answered().sentences()
    assert "Copy the answer" in page.content.decode()
    for group, _, rows_of_it, _ in page.context["group_lines"]:
        behind = support.get(f"{address}{rows_of_it}")
        assert len(behind.context["rows"]) == group.orders
    day = START.date()
    for asked, orders in (
        (f"from={day}&to={day}", 5),
        (f"to={day - timedelta(days=1)}", 0),
        (f"show=wrong&from={day}", 0),
    ):
        assert len(support.get(f"{address}?{asked}").context["rows"]) == orders, asked


@pytest.mark.parametrize("most", [4, 500])
def test_the_list_goes_on_page_by_page(
    support: Client, corrected: Plan, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(store_statement, "ROWS", 2)
    monkeypatch.setattr(store_statement, "AT_ONCE", most)
    address, seen = f"/transactions/store/{the_store().pk}/", []
    query = "?show=corrected"
    while query:
        page = support.get(address + query)
        seen += [row.reference for row in page.context["rows"]]
        query = page.context["next_rows"]
    assert seen == ["o-0", "o-1", "o-2", "o-50", "o-51"]


def test_a_store_of_very_many_orders_is_added_up_when_asked(
    support: Client, corrected: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_statement, "AT_ONCE", 4)
    store = the_store()
    page = support.get(f"/transactions/store/{store.pk}/")
    assert "more than 4 orders" in page.content.decode()
    assert "sentences" not in page.context
    part = support.get(f"/transactions/store/{store.pk}/answer/", headers={"HX-Request": "true"})
    whole = support.get(f"/transactions/store/{store.pk}/answer/")
    assert part.context["sentences"] == whole.context["sentences"] == answered().sentences()
    assert "<html" not in part.content.decode()


@pytest.mark.parametrize(
    "asked",
    [
        "from=yesterday",
        "from=2026-03-03&to=2026-03-02",
        "show=all",
        "after=x",
        "plan=x",
        "to=9999-12-31",
        "from=0001-01-01",
    ],
)
def test_what_cannot_be_asked_is_said(support: Client, corrected: Plan, asked: str) -> None:
    address = f"/transactions/store/{the_store().pk}/"
    page = support.get(f"{address}?{asked}")
    assert page.status_code == 200
    assert page.context["asked"].problems
    assert support.get(f"{address}statement/?{asked}").status_code == 404


def test_the_trail_tells_who_had_a_statement_shown_each_time_but_not_without_end(
    support: Client, corrected: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/transactions/store/{the_store().pk}/statement/"
    assert b"".join(support.get(f"{address}?from={START.date()}")).endswith(b"</html>\n")
    entry = AuditEntry.objects.get(event="store.statement_shown")
    assert (entry.actor_label, entry.subject_id) == ("test-support", the_store().pk)
    assert entry.data == {"begin": f"{START.date()}T00:00:00.000000Z", "end": ""}
    support.head(address)
    support.get(f"{address}?from=never")
    assert AuditEntry.objects.filter(event="store.statement_shown").count() == 1
    monkeypatch.setattr(statement, "SHOWN_LIMIT", Limit(a_subject=3, in_all=100))
    for _ in range(5):
        assert support.get(address).status_code == 200
    assert AuditEntry.objects.filter(event="store.statement_shown").count() == 3
    flood = AuditEntry.objects.get(event="trail.flooded")
    assert (flood.data["kind"], flood.data["of"]) == ("store.statement_shown", "test-support")


def test_the_statement_lists_each_correction_and_its_totals(support: Client, corrected: Plan) -> None:
    answer = support.get(f"/transactions/store/{the_store().pk}/statement/")
    assert answer.streaming
    shown = b"".join(answer.streaming_content).decode().replace(SPACE, " ")  # type: ignore[attr-defined]
    for reference in ("o-0", "o-1", "o-2", "o-50", "o-51"):
        assert f">{reference}</a>" in shown
    assert "o-100" not in shown
    assert "5 corrections, of 8 orders of the period." in shown
    assert bytes(corrected.digest or b"").hex() in shown
    assert shown.index("o-51") < shown.index("Totals") < shown.index("End of the statement.")
    assert "<!-- rows" not in shown
    assert "<!-- totals" not in shown


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(data.decode("utf-8-sig"))))


def test_the_file_has_every_correction_to_the_unit_and_stands_in_the_trail(
    support: Client, users: UserFactory, corrected: Plan
) -> None:
    store = the_store()
    answer = support.post(f"/transactions/store/{store.pk}/statement/csv/?from={START.date()}")
    assert answer["Content-Disposition"].startswith(f'attachment; filename="corrections-store-{store.pk}-')
    begun = AuditEntry.objects.get(event="store.statement_begun")
    assert (begun.subject_type, begun.subject_id) == ("transactions.store", store.pk)
    data = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    rows = read_csv(data)
    assert tuple(rows[0]) == COLUMNS
    assert [(each["reference"], each["before"], each["after"], each["change"]) for each in rows] == [
        ("o-0", "10.10", "10.20", "0.10"),
        ("o-1", "10.11", "10.21", "0.10"),
        ("o-2", "10.12", "10.22", "0.10"),
        ("o-50", "10.81", "10.71", "-0.10"),
        ("o-51", "10.82", "10.72", "-0.10"),
    ]
    assert {each["approved_by"] for each in rows} == {"test-approver"}
    assert {each["plan"] for each in rows} == {str(corrected.pk)}
    taken = AuditEntry.objects.get(event="store.statement_taken")
    assert (taken.data["rows"], taken.data["complete"], taken.data["begun"]) == (5, True, begun.pk)
    assert taken.data["begin"] == f"{START.date()}T00:00:00.000000Z"


def test_a_file_that_is_broken_off_is_told_as_not_complete(users: UserFactory, corrected: Plan) -> None:
    blocks = take_statement(the_store(), ALL, acting_user=users("support"))
    next(blocks)
    blocks.close()
    assert AuditEntry.objects.get(event="store.statement_taken").data["complete"] is False


def test_no_text_of_the_file_is_a_formula(users: UserFactory, engineer: User, approver: User) -> None:
    report(1, store="=1+1")
    applied(
        approved(previewed(engineer, selection=Selection("fee", versions=("1.0.0",))), approver), engineer
    )
    data = b"".join(take_statement(the_store("=1+1"), ALL, acting_user=users("support")))
    assert read_csv(data)[0]["store"] == "'=1+1"
    assert b",10.10,10.20,0.10," in data


def test_who_may_not_see_plans_takes_nothing_along(client: Client, corrected: Plan) -> None:
    stranger = User.objects.create_user("stranger", password="x", is_staff=True)
    with pytest.raises(NotPermitted):
        take_statement(the_store(), ALL, acting_user=stranger)
    client.force_login(stranger)
    address = f"/transactions/store/{the_store().pk}/"
    assert client.get(f"{address}statement/").status_code == 403
    assert client.post(f"{address}statement/csv/").status_code == 403
    assert client.get(f"{address}answer/").status_code == 403
