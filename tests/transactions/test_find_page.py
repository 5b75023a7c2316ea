"""Find, in the browser's own words: an address is a search."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from tests.conftest import UserFactory
from tests.remediation.incident import START, recalculate, report
from transactions.models import Release, Transaction

Finder = Callable[..., str]


@pytest.fixture
def support(client: Client, users: UserFactory, db: None) -> Client:
    client.force_login(users("support"))
    return client


def shown(client: Client, address: str = "", status: int = 200) -> str:
    """The page of an address below Find."""
    answer = client.get(f"/find/{address}")
    assert answer.status_code == status, answer.content.decode()
    return str(answer.content.decode())


def headline(page: str) -> str:
    """What the page says of how many match."""
    return page.split('<h2 class="count">')[1].split("</h2>")[0]


def addresses(page: str, text: str) -> list[str]:
    """Where links of that text lead."""
    return [
        part.rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
        for part in page.split(f">{text}")[:-1]
    ]


def test_everything_is_shown_where_nothing_is_asked_and_there_is_one_calculator(support: Client) -> None:
    report(3)
    report(2, service="checkout", first=3, store="s-2")
    page = shown(support)
    assert headline(page) == "5 transactions match"
    for index in range(5):
        known = Transaction.objects.get(reference=f"o-{index}")
        assert f'<a href="/transactions/transaction/{known.pk}/">o-{index}</a>' in page
        assert f'<a href="/transactions/store/{known.store_id}/">' in page


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("calculator=fee&service=checkout", 2),
        ("calculator=fee&version=1.0.0", 7),
        ("calculator=fee&version=1.0.0&version=9.9.9", 9),
        ("from=2026-03-02T08:00:01&to=2026-03-02T08:00:03", 2),
        ("from=2026-03-02T09:00:01&to=2026-03-02T09:00:03&zone=Europe/Zurich", 2),
        ("occurred_from=2026-03-02T08:00:04", 3),
        ("store=s-2", 2),
        ("store=s-1,+s-2", 9),
        ("country=us", 9),
        ("currency=jpy", 2),
        ("reference=o-1,o-3", 2),
        ("at_least=10.11&at_most=10.12&currency=USD", 2),
        ("at_least=1000", 2),
    ],
)
def test_every_field_narrows(support: Client, address: str, expected: int) -> None:
    report(5)
    report(2, service="checkout", first=5)
    report(
        2, first=100, store="s-2", currency="JPY", scale=0, version="9.9.9", start=START - timedelta(days=1)
    )
    assert headline(shown(support, f"?{address}")) == f"{expected} transactions match"


@pytest.mark.parametrize(
    ("address", "field", "remedy"),
    [
        ("calculator=tax", "Calculator", "Choose one of: fee."),
        ("calculator=fee&version=7", "Release", "Choose among: 1.0.0"),
        ("calculator=fee&service=nobody", "Service", "Choose among: payments"),
        ("from=yesterday", "Calculated from", "such as 2026-03-02T08:00"),
        ("to=2026-03-02T08:00&from=2026-03-02T09:00", "Calculated before", "Choose a later end."),
        ("window=fortnight", "Window", "Choose one of: hour, day, week, month."),
        ("zone=Mars/Olympus", "Time zone", "such as Europe/Zurich or UTC"),
        ("store=s-77", "Store", "in full"),
        ("country=Schweiz", "Country", "the two letters"),
        ("currency=francs", "Currency", "three-letter code"),
        ("reference=o-77,o-78", "Reference", "1 more is unknown."),
        ("at_least=1e3", "Total at least", "plain decimal"),
        ("at_most=lots", "Total at most", "such as 12.30"),
        ("target=7", "Target version", "Choose one of: "),
        ("colour=red", "", "take it out of the address"),
        ("after=nowhere", "", "begin at its first page"),
        ("at_least=5&at_most=4", "", "exchange the two"),
        ("store=%00", "", "nothing is named with"),
    ],
)
def test_what_cannot_be_asked_is_told_by_field_and_remedy_and_nothing_is_shown(
    support: Client, address: str, field: str, remedy: str
) -> None:
    report(2)
    page = shown(support, f"?{address}", status=400)
    assert (f"<strong>{field}:</strong>" in page) == bool(field)
    assert remedy in page
    assert "o-1</a>" not in page


def test_pages_follow_each_other_and_keep_what_was_asked(support: Client) -> None:
    report(120)
    seen: list[str] = []
    address = "?calculator=fee&service=payments"
    while address:
        page = shown(support, address)
        found = [part.partition("<")[0] for part in page.split('/">')[1:]]
        seen += [each for each in found if each.startswith("o-")]
        address = (addresses(page, "Next transactions") or [""])[0]
        assert not address or "service=payments" in address
    assert seen == [f"o-{index}" for index in range(120)]


def test_a_button_for_a_window_leads_to_its_address_without_other_times(support: Client) -> None:
    report(1)
    answer = support.get("/find/?calculator=fee&from=2026-03-02T08:00&zone=Asia/Tokyo&preset=week")
    assert parse_qs(urlsplit(answer["Location"]).query) == {
        "calculator": ["fee"],
        "window": ["week"],
        "zone": ["Asia/Tokyo"],
    }
    page = shown(support, "?calculator=fee&window=week")
    assert "No transaction stands on a calculation like that" in page
    cleared = support.get("/find/?calculator=fee&window=week&preset=all")
    assert parse_qs(urlsplit(cleared["Location"]).query) == {"calculator": ["fee"]}


def test_only_what_a_transaction_stands_on_is_found(support: Client) -> None:
    ids = report(3)
    recalculate(ids[0], fee_percent=3, at=START + timedelta(days=1), version="3.0.0")
    assert headline(shown(support, "?calculator=fee&version=1.0.0")) == "2 transactions match"


def test_a_live_answer_says_the_address_to_share(support: Client) -> None:
    report(1)
    answer = support.get(
        "/find/?calculator=fee&store=&from=&zone=UTC&at_least=1", headers={"HX-Request": "true"}
    )
    assert answer["HX-Push-Url"] == "/find/?calculator=fee&at_least=1"


@pytest.mark.usefixtures("db")
def test_who_may_not_look_at_transactions_may_not_find_them(client: Client, users: UserFactory) -> None:
    person = users("support")
    person.groups.clear()
    client.force_login(person)
    assert client.get("/find/").status_code == 403


def test_a_page_asks_few_questions(
    support: Client, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    report(60)
    with django_assert_max_num_queries(14):  # type: ignore[attr-defined]
        shown(support, "?calculator=fee&store=s-1&currency=USD&country=US&reference=o-1&version=1.0.0")


def test_a_release_leads_to_what_stands_on_it(support: Client) -> None:
    report(3)
    report(2, service="checkout", first=3)
    release = Release.objects.get(service="checkout")
    page = support.get(f"/transactions/release/{release.pk}/").content.decode()
    (address,) = addresses(page, "Find what stands on it")
    assert headline(shown(support, address.removeprefix("/find/"))) == "2 transactions match"


def test_times_of_an_address_mean_the_same_in_every_readers_zone(support: Client) -> None:
    report(5)
    support.cookies["amends_zone"] = "Asia/Tokyo"
    page = shown(support, "?from=2026-03-02T08:00:01")
    assert headline(page) == "4 transactions match"
    assert 'name="zone" value="UTC"' in page
    assert 'name="zone" value="Asia/Tokyo"' in shown(support)
    answer = support.get(
        "/find/?calculator=fee&zone=Asia/Tokyo&from=2026-03-02T17:00:01", headers={"HX-Request": "true"}
    )
    assert answer["HX-Push-Url"] == "/find/?calculator=fee&from=2026-03-02T17%3A00%3A01&zone=Asia%2FTokyo"


def test_charts_say_utc_and_mean_it_whatever_zone_the_reader_is_in(support: Client) -> None:
    report(1)
    support.cookies["amends_zone"] = "Asia/Tokyo"
    page = shown(support)
    assert "<title>2026-03-02 08:00 UTC: 1</title>" in page
    assert '<time datetime="2026-03-02T08:00:00+00:00">2026-03-02 08:00</time>' in page
