"""What can be asked of a search: an estimate, an onset; and keeping it."""

from datetime import timedelta
from functools import partial

import pytest
from django.test import Client

from audit.models import AuditEntry
from tests.conftest import UserFactory
from tests.remediation.incident import START, report
from transactions.estimate import estimate
from transactions.models import Release, SavedSearch
from transactions.searches import (
    SearchNameTaken,
    SearchOfAnother,
    SearchTooLong,
    SearchUnnamed,
    forget_search,
    save_search,
)


@pytest.fixture
def support(client: Client, users: UserFactory, db: None) -> Client:
    client.force_login(users("support"))
    return client


def shown(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(f"/find/{address}")
    assert answer.status_code == status, answer.content.decode()
    return " ".join(answer.content.decode().replace("\xa0", " ").split())


def test_a_small_search_is_estimated_exactly(support: Client) -> None:
    report(4)
    report(4, first=4, fee_percent=2)
    page = shown(support, "estimate/?calculator=fee&target=2.0.0")
    assert (
        "<strong>50.0%</strong> are wrong: 4 of the 8 transactions that match. All of them were looked at."
        in page
    )
    assert "+0.40" in page
    assert "Nothing was left to chance." in page


def test_a_large_search_is_estimated_from_a_sample_that_its_address_draws_again(
    support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(300)
    monkeypatch.setattr("transactions.admin.find.answers.estimate", partial(estimate, sample_size=50))
    page = shown(support, "estimate/?calculator=fee&target=2.0.0&seed=7")
    assert "About <strong>100.0%</strong> are wrong: by 95% between" in page
    assert "From a random sample of 50 for the share" in page
    assert "seed 7." in page
    assert "estimate/?calculator=fee&amp;target=2.0.0&amp;seed=7" in page


def test_what_the_target_cannot_calculate_is_told(support: Client) -> None:
    report(4)
    assert "2 of the 4 cannot be calculated by raises-on-odd: they count as not wrong" in shown(
        support, "estimate/?calculator=fee&target=raises-on-odd"
    )


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("estimate/?calculator=fee", "Choose the version whose amounts would be right."),
        ("estimate/?calculator=fee&target=7", "There is no code for version “7”. Choose one of:"),
        ("estimate/?calculator=fee&target=2.0.0&seed=x", "“x” is no seed"),
        (
            "onset/?calculator=fee&target=2.0.0",
            "Choose one release of one service: payments · fee 1.0.0, checkout",
        ),
        ("onset/?calculator=fee&target=2.0.0&release=77777", "There is no such release"),
        ("onset/?calculator=fee&target=2.0.0&release=x", "There is no such release"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(support: Client, address: str, remedy: str) -> None:
    report(1)
    report(1, first=1, service="checkout")
    assert remedy in shown(support, address, status=400)


def test_an_onset_offers_its_window_and_the_window_finds_just_what_was_wrong_in_between(
    support: Client,
) -> None:
    report(30, fee_percent=2)
    report(20, first=30)
    report(30, first=50, fee_percent=2, start=START)
    report(5, first=80, service="checkout")
    release = Release.objects.get(service="payments")
    page = shown(support, f"onset/?calculator=fee&target=2.0.0&release={release.pk}&zone=Asia/Tokyo")
    assert "It began at <time" in page
    assert "2026-03-02 08:00:30 UTC" in page
    assert "2026-03-02 17:00:30 JST" in page
    assert "It ended at" in page
    assert "All 80 transactions that match were recalculated." in page
    address = (
        page.split(">Take this window")[0]
        .rpartition('href="/find/')[2]
        .partition('"')[0]
        .replace("&amp;", "&")
    )
    assert "20 transactions match" in shown(support, address)


def test_an_onset_without_an_end_says_so(support: Client) -> None:
    report(30, fee_percent=2)
    report(20, first=30)
    page = shown(support, "onset/?calculator=fee&target=2.0.0")
    assert "Wrong up to its last transactions in the window." in page
    assert "It ended at" not in page
    assert "are right" in shown(support, "onset/?calculator=fee&target=2.0.0&to=2026-03-02T08:00:30")


def test_a_search_is_kept_listed_shared_and_forgotten_and_the_trail_says_so(
    client: Client, users: UserFactory, db: None
) -> None:
    report(2)
    ana, ben = users("support", name="ana"), users("auditor", name="ben")
    client.force_login(ana)
    kept = client.post("/find/save/", {"name": " My  week ", "query": "calculator=fee&store=&at_least=1"})
    assert kept["Location"] == "/find/?calculator=fee&at_least=1"
    client.post("/find/save/", {"name": "For all", "query": "calculator=fee&window=week", "shared": "yes"})
    page = shown(client, "")
    assert 'href="/find/?calculator=fee&amp;at_least=1">My week</a>' in page
    assert "yours, shared with all" in page
    mine, theirs = SavedSearch.objects.get(name="My week"), SavedSearch.objects.get(name="For all")
    entry = AuditEntry.objects.get(event="search.saved", subject_id=mine.pk)
    assert (entry.actor_id, entry.data) == (ana.pk, {"query": "calculator=fee&at_least=1", "shared": False})

    client.force_login(ben)
    page = shown(client, "")
    assert "My week" not in page
    assert "shared by ana" in page
    assert client.post(f"/find/forget/{mine.pk}/").status_code == 404
    client.post(f"/find/forget/{theirs.pk}/")
    assert SavedSearch.objects.count() == 2, "somebody else's"

    client.force_login(ana)
    client.post(f"/find/forget/{mine.pk}/")
    assert list(SavedSearch.objects.values_list("name", flat=True)) == ["For all"]
    assert AuditEntry.objects.get(event="search.forgotten").data == {"query": "calculator=fee&at_least=1"}


def test_what_cannot_be_searched_cannot_be_kept(support: Client) -> None:
    report(1)
    answer = support.post("/find/save/", {"name": "x", "query": "calculator=tax"}, follow=True)
    assert "That search cannot be kept: There is no calculator “tax”." in answer.content.decode()
    assert not SavedSearch.objects.exists()


@pytest.mark.usefixtures("db")
def test_keeping_a_search_twice_keeps_it_once_and_its_name_means_one_search(users: UserFactory) -> None:
    ana, ben = users("support", name="ana"), users("support", name="ben")
    first = save_search("week", "calculator=fee", shared=False, acting_user=ana)
    assert save_search("week", "calculator=fee", shared=False, acting_user=ana) == first
    assert AuditEntry.objects.filter(event="search.saved").count() == 1
    with pytest.raises(SearchNameTaken, match="another search named “week”"):
        save_search("week", "calculator=tax", shared=False, acting_user=ana)
    assert save_search("week", "calculator=tax", shared=False, acting_user=ben) != first
    for name in ("", " \0 ", "x" * 101):
        with pytest.raises(SearchUnnamed):
            save_search(name, "", shared=False, acting_user=ana)
    with pytest.raises(SearchTooLong):
        save_search("long", "x" * 8001, shared=False, acting_user=ana)
    with pytest.raises(SearchOfAnother):
        forget_search(first, acting_user=ben)


def test_answers_ask_few_questions(support: Client, django_assert_max_num_queries) -> None:
    report(40, start=START + timedelta(hours=1))
    with django_assert_max_num_queries(14):
        shown(support, "estimate/?calculator=fee&target=2.0.0&country=US")
    with django_assert_max_num_queries(14):
        shown(support, "onset/?calculator=fee&target=2.0.0&country=US")
