"""The pages of stores, releases and transactions, as support staff use them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.admin import keyset_page
from audit.admin.keyset import PlaceUnreadable
from remediation.revert import request_revert
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, work_until_ended
from tests.remediation.incident import START, recalculate, report
from transactions.models import Release, Store, Transaction
from transactions.templatetags.money import change_text, money_text

LIST = "/transactions/transaction/"


@pytest.fixture
def support(db: None, client: Client, users: UserFactory) -> Client:
    client.force_login(users("support"))
    return client


def references(client: Client, address: str) -> list[str]:
    """The references on a page of the list, in its order."""
    answer = client.get(address)
    assert answer.status_code == 200, answer
    return [row.reference for row in answer.context["cl"].result_list]


def test_amounts_are_written_with_currency_sign_and_thousands() -> None:
    assert money_text(-123456, "USD", 2) == "USD\N{NO-BREAK SPACE}−1,234.56"
    assert money_text(1234567, "JPY", 0) == "JPY\N{NO-BREAK SPACE}1,234,567"
    assert money_text(5, "KWD", 3) == "KWD\N{NO-BREAK SPACE}0.005"
    assert money_text(2**63 - 1, "USD", 4) == "USD\N{NO-BREAK SPACE}922,337,203,685,477.5807"
    assert [change_text(amount, 2) for amount in (120, -5, 0)] == ["+1.20", "−0.05", "0.00"]


def test_the_list_shows_every_transaction_once_page_by_page_and_back(support: Client) -> None:
    report(120)
    first = support.get(LIST).context["cl"]
    assert first.first_page == first.previous_page == ""
    pages, address = [], LIST
    while True:
        shown = support.get(address).context["cl"]
        pages.append([row.reference for row in shown.result_list])
        if not shown.next_page:
            break
        address = LIST + shown.next_page
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [reference for page in pages for reference in page] == [
        f"o-{index}" for index in reversed(range(120))
    ]
    assert references(support, LIST + shown.previous_page) == pages[1]


def test_a_stores_transactions_are_listed_by_time_and_those_of_one_moment_once_each(support: Client) -> None:
    report(60)
    store = Store.objects.get()
    at_once = START + timedelta(days=1, microseconds=123)
    for index in range(500, 560):
        report(1, first=index, start=at_once - timedelta(seconds=index))
    address = f"{LIST}?store={store.pk}"
    seen = []
    while address:
        shown = support.get(address).context["cl"]
        seen += [row.reference for row in shown.result_list]
        address = LIST + shown.next_page if shown.next_page else ""
    assert len(seen) == len(set(seen)) == 120
    assert set(seen[:60]) == {f"o-{index}" for index in range(500, 560)}
    assert seen[60:] == [f"o-{index}" for index in reversed(range(60))]


def test_search_takes_a_reference_its_beginning_or_a_stores_reference(support: Client) -> None:
    report(12)
    report(2, first=900, store="tokyo-7")
    assert references(support, f"{LIST}?q=o-3") == ["o-3"]
    assert references(support, f"{LIST}?q=o-1") == ["o-1", "o-10", "o-11"]
    assert references(support, f"{LIST}?q=tokyo-7") == ["o-901", "o-900"]
    assert references(support, f"{LIST}?q=100%25") == []
    assert len(references(support, f"{LIST}?q=a%00b")) == 14, "what no text can hold is no search"


@pytest.mark.parametrize("lookup", ["currency=USD", "inputs__net=10.00", "store__country=US", "batch=1"])
def test_what_no_index_answers_cannot_be_asked_of_the_list(support: Client, lookup: str) -> None:
    assert support.get(f"{LIST}?{lookup}").status_code == 400


@pytest.mark.parametrize(
    "place",
    ["after=x", "after=WyJhIl0", "before=W10", "after=WzEsMl0", "after=WyIyMDI2eCJd", "after=WyJcdTAwMDAiXQ"],
)
def test_a_mistyped_place_leads_to_the_first_page(support: Client, place: str) -> None:
    report(3)
    answer = support.get(f"{LIST}?{place}", follow=True)
    assert answer.status_code == 200
    with pytest.raises(PlaceUnreadable):
        keyset_page(Transaction.objects.all(), ("-id",), 5, after="no place")


@pytest.mark.parametrize(
    "address",
    [LIST, f"{LIST}?q=o-", "/transactions/store/", "/transactions/calculation/", "/transactions/release/"],
)
def test_lists_neither_count_nor_skip_and_ask_no_more_for_more_rows(
    support: Client, django_assert_max_num_queries: Callable[..., Any], address: str
) -> None:
    report(10)
    support.get(address)  # what is asked once in a process is asked now
    with django_assert_max_num_queries(30) as few:
        support.get(address)
    report(50, first=10)
    for index in range(50):
        Store.objects.create(reference=f"more-{index}")
        Release.objects.create(service=f"service-{index}", calculator="fee", version="1.0.0")
    with django_assert_max_num_queries(len(few)) as many:
        support.get(address)
    _assert_plain(many)


@pytest.mark.parametrize(
    "address",
    [
        LIST,
        f"{LIST}?q=o-1",
        f"{LIST}?store={{store}}",
        f"{LIST}{{transaction}}/",
        "/transactions/store/?q=s-",
        "/transactions/store/{store}/",
        "/transactions/calculation/?release={release}",
        "/transactions/release/{release}/",
    ],
)
def test_an_index_answers_every_query_on_a_large_table(support: Client, address: str) -> None:
    # Enough of each that no other index, walked as a whole, costs less, whatever statistics an earlier test has left.
    (transaction, *_) = report(20)
    for number in range(1, 6):
        report(20, first=100 * number, store=f"s-{number + 1}", version=f"1.{number}.0")
    with connection.cursor() as cursor:
        cursor.execute("SELECT amends_refresh_statistics()")
    address = address.format(
        transaction=transaction,
        store=Store.objects.get(reference="s-1").pk,
        release=Release.objects.get(version="1.0.0").pk,
    )
    with CaptureQueriesContext(connection) as queries:
        assert support.get(address).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # what is scanned all the same has no index
        for query in queries:
            if not query["sql"].lstrip().upper().startswith("SELECT"):
                continue  # a savepoint, or a setting
            cursor.execute(f"EXPLAIN (FORMAT JSON) {query['sql']}")
            for scan in _scans(cursor.fetchone()[0][0]["Plan"]):
                # An index is begun at a place, or walked in its own order without leaving rows out.
                assert "Index Cond" in scan or ("Index Name" in scan and "Filter" not in scan), (
                    query["sql"],
                    scan,
                )


LARGE_TABLES = {
    f"transactions_{name}" for name in ("transaction", "calculation", "currentcalculation", "supersession")
}


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a query's plan that read a large table."""
    if plan.get("Relation Name") in LARGE_TABLES and plan["Node Type"] != "Bitmap Heap Scan":
        yield plan
    for below in plan.get("Plans", []):
        yield from _scans(below)


def _assert_plain(queries: CaptureQueriesContext) -> None:
    for query in queries:
        assert "COUNT(" not in query["sql"].upper()
        assert "OFFSET" not in query["sql"].upper()


def test_nothing_can_be_added_changed_or_deleted(support: Client, users: UserFactory) -> None:
    transaction_id = report(1)[0]
    root = users("administrator")
    root.is_superuser = True
    root.save()
    support.force_login(root)
    for address in (f"{LIST}add/", f"{LIST}{transaction_id}/delete/", f"{LIST}{transaction_id}/change/"):
        assert support.get(address).status_code == 404
    for address in (LIST, f"{LIST}{transaction_id}/"):
        assert (
            support.post(
                address, {"action": "delete_selected", "_selected_action": transaction_id}
            ).status_code
            == 405
        )
    assert Transaction.objects.filter(pk=transaction_id).exists()


def test_pages_that_are_not_there_answer_404_and_strangers_sign_in_first(
    support: Client, client: Client
) -> None:
    for number in ("1", "9223372036854775808", "99999999999999999999"):
        assert support.get(f"{LIST}{number}/").status_code == 404
    client.logout()
    assert client.get(LIST).headers["Location"] == f"/login/?next={LIST}"


@pytest.mark.usefixtures("committed_db")
def test_a_transactions_page_tells_what_was_proposed_applied_and_taken_back(
    client: Client, users: UserFactory
) -> None:
    ids = report(3)
    engineer, approver = users("engineer"), users("approver")
    discarded = previewed(engineer, target="3.0.0", reason="Tried first.")
    plan = approved(previewed(engineer), approver)
    recalculate(ids[1], fee_percent=3, at=START + timedelta(days=1))
    applied(plan, engineer)
    revert = request_revert(plan.case, acting_user=engineer)
    work_until_ended(revert.jobs.get())
    revert.refresh_from_db()
    applied(approved(revert, approver), engineer)

    client.force_login(users("support"))
    context = client.get(f"{LIST}{ids[0]}/").context
    assert context["components"] == ["fee", "net", "total"]
    assert [
        (row.calculation.total, [cell.difference for cell in row.cells], row.is_current, row.status)
        for row in context["rows"]
    ] == [
        (1010, [None, None, None], True, f"restored by plan {revert.pk}"),
        (1030, [20, 0, 20], False, f"proposed by {discarded}, waits for approval"),
        (1020, [10, 0, 10], False, f"applied by plan {plan.pk}, taken back by plan {revert.pk}"),
    ]
    told = [each.text for each in context["history"]]
    assert told[0] == "payments calculated USD\N{NO-BREAK SPACE}10.10 with fee 1.0.0."
    assert f"test-engineer applied {plan}: the total became USD\N{NO-BREAK SPACE}10.20 (+0.10)." in told
    assert f"test-engineer applied {revert}: the total became USD\N{NO-BREAK SPACE}10.10 (−0.10)." in told

    context = client.get(f"{LIST}{ids[1]}/").context
    current = next(row for row in context["rows"] if row.is_current)
    assert (current.calculation.total, current.status) == (1031, "reported by its service")
    proposal = next(row for row in context["rows"] if row.calculation.total == 1021)
    assert proposal.status == f"proposed by {plan}, left alone: it had changed since"
    assert any("Conflict in Job" in each.text for each in context["history"])


@pytest.mark.usefixtures("committed_db")
def test_a_transactions_page_asks_no_more_for_more_calculations(
    client: Client, users: UserFactory, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    transaction_id = report(1)[0]
    previewed(users("engineer"))
    recalculate(transaction_id, fee_percent=3, at=START + timedelta(hours=1))
    client.force_login(users("support"))
    with django_assert_max_num_queries(30) as few:
        client.get(f"{LIST}{transaction_id}/")
    for number in range(20):
        recalculate(transaction_id, fee_percent=3, at=START + timedelta(days=1, seconds=number))
    with django_assert_max_num_queries(len(few)):
        client.get(f"{LIST}{transaction_id}/")
