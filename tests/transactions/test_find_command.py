"""`manage.py find`, for people and for scripts."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError

from audit.errors import Refused
from tests.commands import asked, told
from tests.remediation.incident import START, report
from tests.worker_process import ROOT


@pytest.mark.django_db
def test_scripts_get_counts_by_release_and_hour_and_no_estimate_unless_asked() -> None:
    report(3)
    answer = asked(
        "find", "--calculator", "fee", "--from", "2026-03-02T09:00:01+01:00", "--to", "2026-03-03T00:00:00Z"
    )
    assert answer["matched"] == 2
    assert answer["by_release"] == [
        {"service": "payments", "calculator": "fee", "version": "1.0.0", "count": 2}
    ]
    assert answer["by_hour"] == [{"hour": "2026-03-02T08:00:00+00:00", "count": 2}]
    assert answer["estimate"] is None


@pytest.mark.django_db
def test_an_estimate_gives_exact_money_in_currency_units() -> None:
    report(3)
    estimate = asked("find", "--calculator", "fee", "--target", "2.0.0", "--seed", "4")["estimate"]
    assert (estimate["exact"], estimate["wrong"], estimate["share_wrong"]["estimate"]) == (True, 3, 1.0)
    assert estimate["money"] == [
        {"currency": "USD", "scale": 2, "estimate": "0.30", "low": "0.30", "high": "0.30"}
    ]


@pytest.mark.django_db
def test_people_read_a_count_the_releases_the_hours_and_the_estimate() -> None:
    report(3)
    text = told("find", "--calculator", "fee", "--target", "2.0.0")
    assert "3 transactions match" in text
    assert "2026-03-02 08:00" in text
    assert "100.00% wrong" in text


@pytest.mark.django_db
def test_a_number_from_a_sample_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    report(30)
    assert asked("find", "--calculator", "fee", "--currency", "USD")["exact"] is True
    monkeypatch.setattr("transactions.finder.EXACT_TO", 10)
    assert asked("find", "--calculator", "fee", "--currency", "USD")["exact"] is False
    assert asked("find", "--calculator", "fee")["exact"] is True
    text = " ".join(told("find", "--calculator", "fee", "--currency", "USD").split())
    assert text.startswith("About 30 transactions match.")
    assert "from a random sample" in text


@pytest.mark.django_db
def test_people_are_told_that_rows_which_cannot_be_calculated_count_as_not_wrong() -> None:
    report(4)
    text = " ".join(told("find", "--calculator", "fee", "--target", "raises-on-odd").split())
    assert "2 of 4 cannot be calculated by raises-on-odd: they count as not wrong" in text
    assert "cannot be calculated" not in told("find", "--calculator", "fee", "--target", "2.0.0")


@pytest.mark.django_db
def test_people_read_days_where_hours_would_be_too_many() -> None:
    for hour in range(80):
        report(1, first=hour, start=START + timedelta(hours=hour) - timedelta(seconds=hour))
    text = told("find", "--calculator", "fee")
    assert [line.split()[:2] for line in text.splitlines() if "█" in line] == [
        ["2026-03-02", "16"],
        ["2026-03-03", "24"],
        ["2026-03-04", "24"],
        ["2026-03-05", "16"],
    ]
    assert len(asked("find", "--calculator", "fee")["by_hour"]) == 80


@pytest.mark.django_db
def test_a_selection_that_means_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="Known releases: none yet"):
        told("find", "--calculator", "fee")


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--calculator", "fee", "--from", "2026-03-02T09:00:00"], 2, "does not say its offset"),
        (["--calculator", "fee", "--sample", "0"], 2, "--sample"),
        (["--calculator", "pricing", "--target", "9.9.9"], 1, "pricing 1.9.0, pricing 2.0.0"),
        ([], 2, "--calculator"),
        (["--calculator", "nothing"], 1, "No release matches"),
    ],
)
def test_exit_codes_tell_usage_from_refusal(arguments: list[str], code: int, says: str) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "backoffice.settings"}
    done = subprocess.run(
        [sys.executable, "manage.py", "find", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--to", "2026-03-02", "does not say its offset"),
        ("--from", "yesterday", "no ISO 8601 time"),
        ("--occurred-from", "2026-03-02T09:00:00", "does not say its offset"),
        ("--sample", "100001", "--sample must be"),
        ("--seed", "-1", "--seed must be"),
    ],
)
def test_what_cannot_be_asked_for_says_why(option: str, value: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        told("find", "--calculator", "fee", f"{option}={value}")
