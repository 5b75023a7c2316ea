"""Drawing and showing audit samples by command."""

import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from audit.permission import NotPermitted
from remediation.audit_sample import conclude_sample, record_verdict
from remediation.command_line import Unknown
from remediation.models import AuditSample, AuditSampleVerdict, Job
from tests.commands import asked, told
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import report


@pytest.fixture
def auditor(committed_db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> User:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return users("auditor", name="cleo")


@pytest.fixture
def job(auditor: User, users: UserFactory) -> Job:
    """An apply of twenty corrections, by somebody else."""
    report(20)
    ada, ben = users("engineer", name="ada"), users("approver", name="ben")
    return applied(approved(previewed(ada), ben), ada)


def test_a_sample_is_drawn_and_shown_by_command(job: Job, auditor: User) -> None:
    number = str(job.pk)
    assert "No sample of it was drawn yet." in told("audit_sample", "show", number)
    answer = asked(
        "audit_sample",
        "draw",
        number,
        "--confidence",
        "95",
        "--tolerable",
        "10",
        "--seed",
        "dice 4 2 6",
        "--as",
        "cleo",
    )
    # Of 20 corrections 2 at least may not be wrong: (20-n)(19-n) / 380 is at most 5 % from n = 16 on (12/380).
    assert (answer["population"], answer["size"], answer["allowed_errors"]) == (20, 16, 0)
    assert (answer["seed"], answer["seed_chosen"], answer["drawn_by"]) == ("dice 4 2 6", True, "cleo")
    assert answer["drawn_again"] is True
    assert [item["number"] for item in answer["items"]] == list(range(1, 17))
    first = answer["items"][0]
    net = 1000 + int(first["reference"][2:])
    assert (first["before"], first["after"], first["difference"]) == (
        f"{(net + net // 100) / 100:.2f}",
        f"{(net + net * 2 // 100) / 100:.2f}",
        f"{(net * 2 // 100 - net // 100) / 100:.2f}",
    )
    assert (first["recomputed"], first["recomputed_total"], first["problems"], first["verdict"]) == (
        "agrees",
        first["after"],
        [],
        None,
    )
    shown = asked("audit_sample", "show", number, "--sample", str(answer["sample"]))
    assert shown == answer
    sample = AuditSample.objects.get()
    for item in sample.items.all():
        record_verdict(item, AuditSampleVerdict.Verdict.CORRECT, acting_user=auditor)
    conclude_sample(sample, acting_user=auditor)
    (line,) = asked("audit_sample", "show", number)["samples"]
    assert line["concluded"]["accepted"] is True
    assert line["report"]["in_words"].startswith("Accepted: 0 errors among 16 drawn of 20 corrections")
    words = told("audit_sample", "show", number, "--sample", str(sample.pk))
    assert "Concluded by cleo at" in words
    assert "seed chosen: dice 4 2 6" in words
    assert first["reference"] in words


def test_without_options_it_asks_for_95_and_1_percent(job: Job) -> None:
    answer = asked("audit_sample", "draw", str(job.pk), "--as", "cleo")
    assert (answer["confidence"], answer["tolerable"], answer["expected"]) == (
        "95\N{NO-BREAK SPACE}%",
        "1\N{NO-BREAK SPACE}%",
        "0\N{NO-BREAK SPACE}%",
    )
    # One in twenty is 5 %: with one error tolerable already too many, 19 of 20 leave a chance of 5 % to miss it.
    assert answer["size"] == 19


def test_wrong_usage_and_others_than_auditors_are_refused(job: Job) -> None:
    number = str(job.pk)
    with pytest.raises(NotPermitted):
        told("audit_sample", "draw", number, "--as", "ada")
    for wrong in (
        ("draw", number),
        ("draw", number, "--sample", "1", "--as", "cleo"),
        ("show", number, "--seed", "a"),
        ("draw", number, "--confidence", "much", "--as", "cleo"),
    ):
        with pytest.raises(CommandError):
            told("audit_sample", *wrong)
    with pytest.raises(Unknown, match="has no audit sample 99"):
        told("audit_sample", "show", number, "--sample", "99")
    assert not AuditSample.objects.exists()
