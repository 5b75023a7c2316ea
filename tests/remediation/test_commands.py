"""The job as people and scripts ask for it: by command, answered in tables or as one JSON object."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from audit.errors import Refused
from audit.models import AuditEntry
from remediation.apply import NotApproved
from remediation.approval import OtherDigest, OwnWork
from remediation.command_line import StoppedWatching, Unknown
from remediation.following import JobFailed, NobodyWorks, follow
from remediation.models import Case, Job, JobChunk, Plan
from remediation.preview import request_preview
from remediation.progress import JobProgress, progress_of
from remediation.revert import NothingToRevert
from tests.commands import asked, told
from tests.conftest import PASSWORD, UserFactory, WorkerFactory
from tests.remediation.driving import opened
from tests.remediation.incident import START, fee, pointers, recalculate, report, totals
from tests.worker_process import ROOT

PREVIEW = (
    *("preview", "--calculator", "fee", "--service", "payments", "--release", "1.0.0"),
    *("--target", "2.0.0", "--reason", "Fees were too low.", "--ticket", "INC-7"),
)


@pytest.fixture(autouse=True)
def people(committed_db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> dict[str, User]:
    """“ada”, an engineer, and “ben”, an approver, whose password every command finds in its environment."""
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return {"ada": users("engineer", name="ada"), "ben": users("approver", name="ben")}


def test_the_whole_job_by_commands_with_exact_money() -> None:
    ids = report(20)
    before = pointers(ids)
    delta = sum(fee(1000 + i, 2) - fee(1000 + i, 1) for i in range(20))
    as_text = f"{delta // 100}.{delta % 100:02d}"

    plan = asked(*PREVIEW, "--as", "ada", "--work")
    assert (plan["scanned"], plan["unchanged"], plan["proposed"], plan["failed"]) == (20, 0, 20, 0)
    assert plan["delta"] == [{"currency": "USD", "scale": 2, "amount": as_text}]
    assert plan["status"] == "ready"
    assert plan["digest"] == bytes(Plan.objects.get(pk=plan["plan"]).digest or b"").hex()
    (cause,) = plan["causes"]
    assert (cause["cause"], cause["count"], cause["delta"]) == ("fee up, total up", 20, plan["delta"])
    net = 1000 + int(cause["example"]["reference"].removeprefix("o-"))
    assert cause["example"]["before"]["total"] == f"{fee(net, 1) / 100:.2f}"
    assert cause["example"]["after"]["total"] == f"{fee(net, 2) / 100:.2f}"
    assert pointers(ids) == before

    number = str(plan["plan"])
    assert asked("approve", number, "--digest", plan["digest"], "--as", "ben")["status"] == "approved"
    applied = asked("apply", number, "--as", "ada", "--work")
    assert (applied["applied"], applied["conflicts"], applied["failed"]) == (20, 0, 0)
    assert applied["delta"] == plan["delta"]
    assert totals(ids) == [fee(1000 + i, 2) for i in range(20)]
    assert AuditEntry.objects.get(event="chunk.applied").actor_label == "ada"

    case = str(plan["case"])
    verified = asked("verify", case, "--as", "ada", "--work")
    assert (verified["differing"], verified["reconciled"]) == (0, True)
    assert verified["classes"]["matches"]["rows"] == 20
    assert asked("show", case)["stage"] == "verified"

    revert = asked("revert", case, "--reason", "It was right.", "--as", "ada", "--work")
    assert (revert["kind"], revert["takes_back"], revert["proposed"]) == ("revert", plan["plan"], 20)
    assert revert["delta"] == [{"currency": "USD", "scale": 2, "amount": "-" + as_text}]
    assert pointers(ids) != before
    with pytest.raises(NotApproved):
        asked("apply", str(revert["plan"]), "--as", "ada", "--work")
    asked("approve", str(revert["plan"]), "--digest", revert["digest"], "--as", "ben")
    assert asked("apply", str(revert["plan"]), "--as", "ada", "--work")["delta"] == revert["delta"]
    assert pointers(ids) == before
    assert asked("show", case)["stage"] == "reverted"
    with pytest.raises(NothingToRevert):
        asked("revert", case, "--as", "ada", "--work")


def test_every_command_asked_again_gives_the_same_case_plan_decision_and_job() -> None:
    report(5)
    plan = asked(*PREVIEW, "--as", "ada", "--work")
    assert asked(*PREVIEW, "--as", "ada", "--work") == plan
    decision = ("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    assert asked(*decision) == asked(*decision)
    applied = asked("apply", str(plan["plan"]), "--as", "ada", "--work")
    assert asked("apply", str(plan["plan"]), "--as", "ada", "--work") == applied
    revert = asked("revert", str(plan["case"]), "--as", "ada", "--work")
    assert asked("revert", str(plan["case"]), "--as", "ada", "--work") == revert
    assert Case.objects.count() == 1
    assert Plan.objects.count() == 2
    assert AuditEntry.objects.filter(event="plan.approved").count() == 1


def test_previewing_again_makes_a_new_plan_and_the_old_digest_is_worth_nothing() -> None:
    report(5)
    old = asked(*PREVIEW, "--as", "ada", "--work")
    asked("approve", str(old["plan"]), "--digest", old["digest"], "--as", "ben")
    new = asked(*PREVIEW, "--as", "ada", "--work", "--again")
    assert new["plan"] != old["plan"]
    assert new["case"] == old["case"]
    assert new["digest"] != old["digest"]
    with pytest.raises(NotApproved, match="superseded"):
        asked("apply", str(old["plan"]), "--as", "ada", "--work")
    with pytest.raises(OtherDigest):
        asked("approve", str(new["plan"]), "--digest", old["digest"], "--as", "ben")


def test_a_rejected_plan_is_not_applied_and_says_why(people: dict[str, User]) -> None:
    ids = report(3)
    before = pointers(ids)
    plan = asked(*PREVIEW, "--as", "ada", "--work")
    with pytest.raises(Refused, match="why the plan is rejected"):
        asked("reject", str(plan["plan"]), "--digest", plan["digest"], "--comment", " ", "--as", "ben")
    rejected = asked(
        "reject", str(plan["plan"]), "--digest", plan["digest"], "--comment", "Wrong rate.", "--as", "ben"
    )
    assert rejected["status"] == "rejected"
    with pytest.raises(NotApproved, match="rejected"):
        asked("apply", str(plan["plan"]), "--as", "ada", "--work")
    assert pointers(ids) == before
    shown = asked("show", str(plan["case"]))
    assert shown["stage"] == "rejected"
    (decision,) = shown["approvals"]
    assert (decision["plan"], decision["decision"], decision["by"], decision["comment"]) == (
        *(plan["plan"], "reject", "ben"),
        "Wrong rate.",
    )


def test_nobody_approves_what_they_asked_for(users: UserFactory, people: dict[str, User]) -> None:
    report(3)
    people["ada"].groups.add(*people["ben"].groups.all())
    plan = asked(*PREVIEW, "--as", "ada", "--work")
    with pytest.raises(OwnWork):
        asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ada")


def test_conflicts_and_failures_are_listed_by_reason_with_an_example() -> None:
    ids = report(10)
    plan = asked(
        *("preview", "--calculator", "fee", "--release", "1.0.0", "--target", "raises-on-odd"),
        *("--reason", "Odd.", "--as", "ada", "--work"),
    )
    assert (plan["proposed"], plan["failed"]) == (5, 5)
    (failure,) = plan["failures"]
    assert failure["rows"] == 5
    assert "An odd net amount has no fee." in failure["reason"]
    assert failure["example"] == "o-1"
    asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    recalculate(ids[4], fee_percent=5, at=START.replace(hour=20))
    applied = asked("apply", str(plan["plan"]), "--as", "ada", "--work")
    assert (applied["applied"], applied["conflicts"], applied["failed"]) == (4, 1, 0)
    (reason,) = applied["conflict_reasons"]
    assert (reason["rows"], reason["example"]) == (1, "o-4")
    moved = sum(fee(1000 + i, 2) - fee(1000 + i, 1) for i in (0, 2, 6, 8))
    assert applied["delta"] == [{"currency": "USD", "scale": 2, "amount": f"{moved / 100:.2f}"}]
    assert totals(ids)[4] == fee(1004, 5)


def test_people_read_sentences_and_tables_with_money_and_what_comes_next() -> None:
    report(1200)
    text = told(*PREVIEW, "--as", "ada", "--work")
    plan = Plan.objects.get()
    digest = bytes(plan.digest or b"").hex()
    delta = sum(fee(1000 + i, 2) - fee(1000 + i, 1) for i in range(1200))
    assert f"1,200 transactions would change by +{delta / 100:,.2f} USD" in text
    assert "fee up, total up" in text
    assert f"manage.py approve {plan.pk} --digest {digest} --as" in text
    assert f"manage.py apply {plan.pk}" in told("approve", str(plan.pk), "--digest", digest, "--as", "ben")
    assert "1,200 transactions corrected by" in told("apply", str(plan.pk), "--as", "ada", "--work")
    text = told("verify", str(plan.case_id), "--as", "ada", "--work")
    assert "nothing differs from the target" in text
    assert "Reconciled" in text
    text = told("show", str(plan.case_id))
    assert "verified: nothing is left" in text
    assert "INC-7" in text
    assert digest[:12] in text


def test_a_failed_job_ends_the_command_with_its_reason(people: dict[str, User]) -> None:
    report(3)
    case = opened(people["ada"])
    plan = request_preview(case, acting_user=people["ada"])
    JobChunk.objects.filter(job__plan=plan).update(status="refused", failure="The disk is full.")
    with pytest.raises(JobFailed, match="The disk is full"):
        asked(*PREVIEW, "--as", "ada", "--work")
    assert asked("show", str(case.pk))["stage"] == "failed"


def test_without_work_and_without_workers_a_command_says_so_and_its_job_waits_for_the_next() -> None:
    ids = report(3)
    with pytest.raises(NobodyWorks, match="--work"):
        asked(*PREVIEW, "--as", "ada")
    job = Job.objects.get()
    assert (job.status, progress_of(job).chunks_done) == ("running", 0)
    assert asked(*PREVIEW, "--as", "ada", "--work")["proposed"] == len(ids)
    assert Job.objects.get().pk == job.pk


def test_workers_do_what_a_command_waits_for(worker_process: WorkerFactory) -> None:
    ids = report(30)
    worker_process()
    plan = asked(*PREVIEW, "--as", "ada")
    asked("approve", str(plan["plan"]), "--digest", plan["digest"], "--as", "ben")
    assert asked("apply", str(plan["plan"]), "--as", "ada")["applied"] == 30
    assert asked("verify", str(plan["case"]), "--as", "ada")["reconciled"] is True
    assert totals(ids) == [fee(1000 + i, 2) for i in range(30)]
    assert not JobChunk.objects.filter(worker__endswith=":command").exists()


def test_a_chunk_that_a_lost_worker_held_is_taken_back_by_whoever_follows(
    monkeypatch: pytest.MonkeyPatch, people: dict[str, User]
) -> None:
    report(3)
    monkeypatch.setattr("remediation.following.PATIENCE_SECONDS", 0.3)
    plan = request_preview(opened(people["ada"]), acting_user=people["ada"])
    JobChunk.objects.filter(job__plan=plan).update(
        status="leased", worker="lost", token="6e9a8b1e-93a5-4a57-8f0c-3a2f0a9a7d11", lease_until=START
    )
    job = follow(plan.jobs.get(), work_here=True, seen=lambda _: None)
    assert job.status == "finished"
    assert AuditEntry.objects.get(event="lease.reclaimed").data["worker"] == "lost"


def test_ctrl_c_stops_watching_and_not_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    report(3)

    def interrupted(*_: object, **__: object) -> Job:
        raise KeyboardInterrupt

    monkeypatch.setattr("remediation.command_line.follow", interrupted)
    with pytest.raises(StoppedWatching, match="It is not stopped"):
        asked(*PREVIEW, "--as", "ada", "--work")
    assert Job.objects.get().status == "running"


def test_progress_is_summed_from_chunks_and_counts_rows(settings: Any, people: dict[str, User]) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 7
    report(20)
    plan = request_preview(opened(people["ada"]), acting_user=people["ada"])
    seen: list[JobProgress] = []
    follow(plan.jobs.get(), work_here=True, seen=seen.append)
    assert [each.chunks_done for each in seen] == [0, 1, 2, 3]
    assert [each.rows for each in seen] == [0, 7, 14, 20]
    assert [each.rows_total for each in seen] == [None, 21, 21, 20]
    assert [each.ended for each in seen] == [False, False, False, True]
    assert seen[-1].seconds_left == 0.0
    assert seen[1].rate is not None


@pytest.mark.parametrize(
    "command",
    [
        ("show", "4711"),
        ("approve", "4711", "--digest", "00", "--as", "ben"),
        ("reject", "4711", "--digest", "00", "--comment", "No.", "--as", "ben"),
        ("apply", "4711", "--as", "ada"),
        ("verify", "4711", "--as", "ada"),
        ("revert", "4711", "--as", "ada"),
    ],
)
def test_a_number_that_nothing_has_is_refused(command: tuple[str, ...]) -> None:
    with pytest.raises(Unknown, match="4711"):
        asked(*command)


@pytest.mark.parametrize(
    ("command", "password"),
    [(PREVIEW, "wrong"), (("apply", "1"), "wrong"), (("verify", "1"), "wrong"), (("revert", "1"), "wrong")],
)
def test_a_wrong_password_changes_nothing(
    command: tuple[str, ...], password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(3)
    monkeypatch.setenv("AMENDS_PASSWORD", password)
    with pytest.raises(Refused, match="no active user"):
        asked(*command, "--as", "ada")
    assert not Case.objects.exists()


def test_a_preview_without_a_reason_or_with_a_time_without_offset_is_wrong_usage() -> None:
    with pytest.raises(CommandError, match="--reason"):
        told("preview", "--calculator", "fee", "--target", "2.0.0", "--as", "ada")
    with pytest.raises(CommandError, match="does not say its offset"):
        told(*PREVIEW, "--as", "ada", "--from", "2026-03-02T08:00:00")


def test_the_window_and_the_stores_narrow_what_is_previewed() -> None:
    report(10)
    report(5, first=10, store="s-2", currency="JPY", scale=0)
    window = ("--from", "2026-03-02T08:00:03Z", "--to", "2026-03-02T09:00:12+01:00")
    plan = asked(*PREVIEW, "--as", "ada", "--work", *window)
    assert plan["scanned"] == 9
    assert [each["currency"] for each in plan["delta"]] == ["JPY", "USD"]
    jpy = sum(fee(1000 + i, 2) - fee(1000 + i, 1) for i in (10, 11))
    assert plan["delta"][0] == {"currency": "JPY", "scale": 0, "amount": str(jpy)}
    assert asked(*PREVIEW, "--as", "ada", "--work", "--store", "s-2")["scanned"] == 5
    assert asked(*PREVIEW, "--as", "ada", "--work", "--currency", "USD")["scanned"] == 10


def run_as_scripts_do(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "backoffice.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_scripts_get_one_json_object_on_stdout_progress_on_stderr_and_exit_codes() -> None:
    report(3)
    done = run_as_scripts_do(*PREVIEW, "--as", "ada", "--work", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["proposed"] == 3
    assert "Preview, job" in done.stderr
    refused = run_as_scripts_do("apply", str(plan["plan"]), "--as", "ada", "--json")
    assert refused.returncode == 1
    assert "only an approved plan" in json.loads(refused.stdout)["refused"]
    assert "Refused: " in refused.stderr
    wrong = run_as_scripts_do("apply", "--as", "ada", "--json")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "PLAN" in wrong.stderr


def test_a_cause_is_left_out_and_taken_in_again_by_command() -> None:
    report(4)
    report(3, fee_percent=3, first=10)
    first = asked(*PREVIEW, "--as", "ada", "--work")
    assert (first["proposed"], first["left_out"], first["leaves_out"]) == (7, 0, [])
    down = "fee down, total down"
    plan = asked(
        *PREVIEW, "--leave-out-cause", down, "--leave-out-larger-than", "USD=5.00", "--as", "ada", "--work"
    )
    assert (plan["case"], plan["proposed"], plan["left_out"]) == (first["case"], 4, 3)
    assert plan["left_out_delta"] == [{"currency": "USD", "scale": 2, "amount": "-0.30"}]
    assert plan["leaves_out"] == [
        {"by": "cause", "name": down, "limit": None, "rows": 3, "delta": plan["left_out_delta"]},
        {"by": "larger_than", "name": "USD:2", "limit": 500, "rows": 0, "delta": []},
    ]
    shown = asked("show", str(plan["case"]))
    assert shown["leaves_out_in_words"] == f"the cause “{down}”, changes by more than 5.00 USD"
    again = asked(*PREVIEW, "--take-in-cause", down, "--take-in-larger", "USD", "--as", "ada", "--work")
    assert (again["proposed"], again["leaves_out"]) == (7, [])
