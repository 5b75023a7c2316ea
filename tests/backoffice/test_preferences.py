"""Times in the reader's zone, colours and shortcuts: kept in cookies, whatever else those hold."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.templatetags.reading import moment
from backoffice.preferences import DEVICE_ZONE_COOKIE, KEYS_COOKIE, THEME_COOKIE, ZONE_COOKIE

SUMMER = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


@pytest.fixture
def reader(db: None, client: Client, engineer: User) -> Client:
    client.force_login(engineer)
    return client


def test_times_are_shown_in_the_readers_zone_with_utc_as_their_title() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        assert moment(SUMMER) == (
            '<time datetime="2026-07-01T22:30:00+00:00" title="2026-07-01 22:30:00 UTC">2026-07-02 00:30:00 CEST</time>'
        )
    with timezone.override(ZoneInfo("America/Sao_Paulo")):
        assert ">2026-07-01 19:30:00 UTC-03:00</time>" in moment(SUMMER)
    assert moment(SUMMER) == '<time datetime="2026-07-01T22:30:00+00:00">2026-07-01 22:30:00 UTC</time>'


def test_a_zone_that_was_asked_for_stands_first_and_utc_beside_it() -> None:
    assert moment(SUMMER, ZoneInfo("Asia/Kolkata")) == (
        '<time datetime="2026-07-01T22:30:00+00:00">2026-07-02 04:00:00 IST</time>'
        ' <span class="local">(2026-07-01 22:30:00 UTC)</span>'
    )


@pytest.mark.parametrize(
    ("cookies", "zone"),
    [
        ({}, "UTC"),
        ({DEVICE_ZONE_COOKIE: "Europe%2FBerlin"}, "Europe/Berlin"),
        ({DEVICE_ZONE_COOKIE: "Europe/Berlin", ZONE_COOKIE: "Asia/Tokyo"}, "Asia/Tokyo"),
        ({DEVICE_ZONE_COOKIE: "../../etc/passwd"}, "UTC"),
        ({ZONE_COOKIE: "<script>", DEVICE_ZONE_COOKIE: "Asia/Tokyo"}, "Asia/Tokyo"),
    ],
)
def test_the_chosen_zone_goes_before_the_devices_and_nonsense_counts_as_nothing(
    reader: Client, cookies: dict[str, str], zone: str
) -> None:
    reader.cookies.load(cookies)
    answer = reader.get("/audit/auditentry/")
    assert answer.status_code == 200
    assert f'id="zone">{zone}</strong>' in answer.content.decode()
    # The form of the trail begins with the same.
    assert f'name="zone" value="{zone}"' in answer.content.decode()


def test_what_is_chosen_is_kept_and_leads_back(reader: Client) -> None:
    answer = reader.post(
        "/preferences/", {"zone": "Asia/Tokyo", "theme": "dark", "keys": "off", "next": "/remediation/job/"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "/remediation/job/")
    kept = {name: morsel.value for name, morsel in reader.cookies.items()}
    assert (kept[ZONE_COOKIE], kept[THEME_COOKIE], kept[KEYS_COOKIE]) == ("Asia/Tokyo", "dark", "off")
    page = reader.get("/remediation/job/").content.decode()
    assert 'dark.css" media="screen"' in page
    assert 'data-keys="off"' in page
    reader.post("/preferences/", {"zone": "", "theme": "system", "keys": "on"})
    assert reader.cookies[ZONE_COOKIE].value == ""
    page = reader.get("/remediation/job/").content.decode()
    assert 'dark.css" media="screen and (prefers-color-scheme: dark)"' in page


def test_one_button_changes_one_thing(reader: Client) -> None:
    reader.post("/preferences/", {"zone": "Asia/Tokyo"})
    reader.post("/preferences/", {"theme": "light"})
    assert reader.cookies[ZONE_COOKIE].value == "Asia/Tokyo"
    assert 'dark.css" media="not all"' in reader.get("/").content.decode()


def test_a_zone_that_is_none_is_refused_in_words_and_nobody_is_led_elsewhere(reader: Client) -> None:
    answer = reader.post(
        "/preferences/", {"zone": "Mars/Olympus", "next": "https://evil.example/"}, follow=True
    )
    assert answer.redirect_chain == [("/", 302)]
    assert "“Mars/Olympus” is no time zone" in answer.content.decode()
    assert ZONE_COOKIE not in reader.cookies


def test_preferences_need_no_account(db: None, client: Client) -> None:
    assert client.get("/preferences/").status_code == 200
    assert "preferences/" in client.get("/login/").content.decode()


def test_the_shortcuts_lead_only_where_the_reader_may_go_and_do_nothing_dangerous(reader: Client) -> None:
    page = reader.get("/keyboard/").content.decode()
    listed = dict(re.findall(r'data-shortcut="([^"]+)" data-href="([^"]+)"', page))
    assert listed["g j"] == "/remediation/job/"
    for address in listed.values():
        assert reader.get(address).status_code == 200, address
    acts = set(re.findall(r'data-act="([^"]+)"', page))
    assert acts == {"search", "next-row", "previous-row", "next-page", "previous-page", "help"}
