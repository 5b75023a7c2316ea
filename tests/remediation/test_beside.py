"""Two plans side by side: what differs, counted and listed."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from remediation.admin import beside as page_of_two
from remediation.beside import Difference, DifferingRow, difference_of, differing_rows
from remediation.exclusions import Exclusions
from remediation.leave_out import leave_out
from remediation.models import Plan
from tests.remediation.driving import previewed, work_until_ended
from tests.remediation.incident import report

pytestmark = pytest.mark.usefixtures("db")

DOWN = "fee down, total down"


@pytest.fixture
def plans(engineer: User, settings: Any) -> tuple[Plan, Plan, list[int]]:
    """A plan, one that leaves out what the first would correct downwards, and the transactions of that."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 3
    report(5)
    down = report(4, fee_percent=3, first=10, store="s-2")
    first = previewed(engineer)
    second = leave_out(first.case, Exclusions(causes=(DOWN,)), reason="Right.", acting_user=engineer)
    work_until_ended(second.jobs.get())
    second.refresh_from_db()
    first.refresh_from_db()
    return first, second, down


def test_rows_that_only_one_has_are_counted_and_listed(plans: tuple[Plan, Plan, list[int]]) -> None:
    first, second, down = plans
    assert difference_of(first, second) == Difference(only_one=4, only_other=0, otherwise=0)
    assert difference_of(second, first) == Difference(only_one=0, only_other=4, otherwise=0)
    found: list[DifferingRow] = []
    chunk, after, pages = 0, 0, 0
    while True:
        page = differing_rows(first, second, chunk=chunk, after=after, size=3)
        found += page.rows
        pages += 1
        if page.chunk is None:
            break
        chunk, after = page.chunk, page.after
    assert [row.transaction_id for row in found] == down
    assert [(row.total, row.other_total) for row in found] == [
        (1030, None),
        (1031, None),
        (1032, None),
        (1033, None),
    ]
    assert pages > 1
    assert differing_rows(second, first, chunk=0, after=0, size=50).rows == []


def test_the_page_says_what_differs_and_leads_to_the_rows(
    client: Client, engineer: User, plans: tuple[Plan, Plan, list[int]]
) -> None:
    first, second, _ = plans
    client.force_login(engineer)
    answer = client.get(
        f"/remediation/case/{first.case_id}/beside/?one={first.pk}&other={second.pk}", follow=True
    )
    assert answer.redirect_chain == [(f"/remediation/plan/{first.pk}/beside/{second.pk}/", 302)]
    lines = {line.label: (line.one, line.other) for line in answer.context["lines"] if line.differs}
    assert lines["To correct"] == ("9", "5")
    assert lines["Left out"] == ("0", "4")
    assert lines["Leaves out"] == ("nothing", f"the cause “{DOWN}”")
    (cause,) = [each for each in answer.context["causes"] if each.differs]
    assert (cause.cause, cause.one, cause.other) == (DOWN, 4, None)
    page = answer.content.decode()
    assert f"/remediation/plan/{first.pk}/beside/{second.pk}/rows/" in page
    rows = client.get(f"/remediation/plan/{first.pk}/beside/{second.pk}/rows/").content.decode()
    assert "not corrected" in rows


def test_many_rows_are_counted_only_when_asked(
    client: Client, engineer: User, plans: tuple[Plan, Plan, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = plans
    monkeypatch.setattr(page_of_two, "COUNTED_AT_ONCE", 10)
    client.force_login(engineer)
    address = f"/remediation/plan/{first.pk}/beside/{second.pk}/"
    assert client.get(address).context["difference"] is None
    assert "Hold 14 rows against each other" in client.get(address).content.decode()
    assert client.get(address, {"count": "all"}).context["difference"].only_one == 4


def test_the_page_takes_few_queries(
    client: Client, engineer: User, plans: tuple[Plan, Plan, list[int]]
) -> None:
    first, second, _ = plans
    client.force_login(engineer)
    for address in (
        f"/remediation/plan/{first.pk}/beside/{second.pk}/",
        f"/remediation/case/{first.case_id}/",
    ):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(address).status_code == 200
        assert len(asked) <= 30, [each["sql"][:120] for each in asked]


@pytest.mark.parametrize(
    "address", ["{one}/beside/{one}/", "{one}/beside/999/", "{one}/beside/{other}/rows/?chunk=x"]
)
def test_what_cannot_be_compared_is_not_found(
    client: Client, engineer: User, plans: tuple[Plan, Plan, list[int]], address: str
) -> None:
    client.force_login(engineer)
    at = address.format(one=plans[0].pk, other=plans[1].pk)
    assert client.get(f"/remediation/plan/{at}").status_code == 404
