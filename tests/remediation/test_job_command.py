"""Steering a job by command, and what commands say that follow a job which somebody stops."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError

from audit.errors import Refused
from audit.models import AuditEntry
from audit.permission import NotPermitted
from remediation.apply import start_apply
from remediation.command_line import Unknown
from remediation.control import JobEnded, LimitImpossible, ReasonMissing, cancel_job, pause_job
from remediation.following import JobStopped, follow
from remediation.models import Job
from remediation.progress import JobProgress, progress_of
from remediation.runner import work
from remediation.stages import StagesImpossible, stages_from
from tests.commands import asked, told
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import START, fee, recalculate, report, totals


@pytest.fixture(autouse=True)
def people(committed_db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> dict[str, User]:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return {"ada": users("engineer", name="ada"), "ben": users("approver", name="ben")}


@pytest.fixture
def job(people: dict[str, User], settings: Any) -> Job:
    """An apply of six rows in three chunks."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    report(6)
    return start_apply(approved(previewed(people["ada"]), people["ben"]), acting_user=people["ada"])


def test_a_job_is_paused_shown_tuned_resumed_and_cancelled_by_command(job: Job) -> None:
    number = str(job.pk)
    paused = asked("job", "pause", number, "--as", "ben", "--reason", "Customers call.")
    assert (paused["status"], paused["stopped_by"], paused["stuck"]) == ("paused", "ben", False)
    assert paused["stopped_because"].startswith(f"Job {job.pk} (apply) is paused, by ben at ")
    assert paused["stopped_because"].endswith("UTC: Customers call.")
    tuned = asked("job", "tune", number, "--as", "ada", "--workers", "1", "--rows-per-second", "500")
    assert tuned["limits"] == {
        "workers": 1,
        "chunk_rows": None,
        "pause_milliseconds": None,
        "rows_per_second": 500,
    }
    again = asked("job", "tune", number, "--as", "ada", "--rows-per-second", "none")
    assert (again["limits"]["workers"], again["limits"]["rows_per_second"]) == (1, None)
    shown = told("job", "show", number)
    assert "is paused: 0 of 6 rows, 0 of 3 chunks done." in shown
    assert "Customers call." in shown
    assert "Limits: workers 1." in shown
    assert asked("job", "resume", number, "--as", "ada")["status"] == "running"
    cancelled = asked("job", "cancel", number, "--as", "ada", "--reason", "Wrong contract.")
    assert (cancelled["status"], cancelled["failure"]) == ("cancelled", "Cancelled by ada: Wrong contract.")
    assert list(
        AuditEntry.objects.filter(event__startswith="job.").order_by("id").values_list("event", "actor_label")
    )[1:] == [
        ("job.pausing", "ben"),
        ("job.paused", AuditEntry.objects.get(event="job.paused").actor_label),
        ("job.tuned", "ada"),
        ("job.tuned", "ada"),
        ("job.resumed", "ada"),
        ("job.cancelling", "ada"),
        ("job.cancelled", AuditEntry.objects.get(event="job.cancelled").actor_label),
    ]


def test_what_cannot_be_is_refused_with_the_reason(job: Job, users: UserFactory) -> None:
    number = str(job.pk)
    users("support", name="sam")
    with pytest.raises(NotPermitted):
        asked("job", "pause", number, "--as", "sam")
    with pytest.raises(ReasonMissing):
        asked("job", "cancel", number, "--as", "ada")
    with pytest.raises(LimitImpossible, match="workers is 0"):
        asked("job", "tune", number, "--as", "ada", "--workers", "0")
    with pytest.raises(Unknown, match="There is no job 4711"):
        asked("job", "show", "4711")
    asked("job", "cancel", number, "--as", "ada", "--reason", "No.")
    with pytest.raises(JobEnded):
        asked("job", "pause", number, "--as", "ada")
    assert Job.objects.get(pk=job.pk).workers is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "1"),
        ("pause", "1", "--as", "ada", "--workers", "2"),
        ("tune", "1", "--as", "ada"),
        ("tune", "1", "--as", "ada", "--workers", "many"),
        ("stop", "1", "--as", "ada"),
    ],
)
def test_wrong_usage_is_not_done(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as error:
        told("job", *arguments)
    assert not isinstance(error.value, Refused)


@pytest.mark.parametrize("work_here", [True, False])
def test_a_command_that_follows_a_job_says_who_paused_it_and_what_to_do(
    job: Job, people: dict[str, User], work_here: bool
) -> None:
    def seen(progress: JobProgress) -> None:
        if progress.status == Job.Status.RUNNING:
            pause_job(job, acting_user=people["ben"], reason="Lunch")

    with pytest.raises(
        JobStopped, match=r"is paused, by ben at .* UTC: Lunch\. .*manage.py job resume"
    ) as stopped:
        follow(job, work_here=work_here, seen=seen)
    assert isinstance(stopped.value, Refused)
    assert "--as … lets" not in str(stopped.value)
    assert job.plan is not None
    with pytest.raises(JobStopped, match="by ben"):
        asked("apply", str(job.plan.pk), "--as", "ada", "--work")


def test_a_command_that_follows_a_job_says_who_cancelled_it(job: Job, people: dict[str, User]) -> None:
    def seen(progress: JobProgress) -> None:
        if progress.chunks_done == 1:
            cancel_job(job, acting_user=people["ben"], reason="The contract was read wrongly.")

    with pytest.raises(
        JobStopped, match=r"was cancelled, by ben at .*: The contract was read wrongly\. What"
    ):
        follow(job, work_here=True, seen=seen)
    assert progress_of(job).rows == 2


def test_apply_goes_in_the_stages_that_are_asked_for_and_stops_at_the_gate(
    people: dict[str, User], settings: Any
) -> None:
    ids = report(200)
    plan = approved(previewed(people["ada"]), people["ben"])
    for known in ids[:3]:
        recalculate(known, fee_percent=5, at=START + timedelta(days=1))
    with pytest.raises(JobStopped, match="a gate holds it") as stopped:
        asked("apply", str(plan.pk), "--as", "ada", "--work", "--stages", "1,1%,5%,10")
    job = plan.jobs.get(kind="apply")
    assert job.stages == [1, 2, 10, 200]
    assert f"manage.py job resume {job.pk} --as … --reason …" in str(stopped.value)
    shown = asked("job", "show", str(job.pk))
    assert (shown["held_by_gate"], shown["stopped_by"]) == (True, None)
    with pytest.raises(ReasonMissing):
        asked("job", "resume", str(job.pk), "--as", "ada")
    while shown["status"] != "finished":
        asked("job", "resume", str(job.pk), "--as", "ada", "--reason", "Three known ones.")
        work(job.pk, worker="test")
        shown = asked("job", "show", str(job.pk))
    assert shown["rows"] == 200
    assert totals(ids)[3:] == [fee(1000 + index, 2) for index in range(3, 200)]


def test_one_stage_is_asked_for_by_none(people: dict[str, User], settings: Any) -> None:
    settings.AMENDS_STAGES_ABOVE_ROWS = 2
    report(20)
    plan = approved(previewed(people["ada"]), people["ben"])
    assert asked("apply", str(plan.pk), "--as", "ada", "--work", "--stages", "none")["applied"] == 20
    assert plan.jobs.get(kind="apply").stages == [20]


def test_stages_are_read_as_people_write_them() -> None:
    assert stages_from("1,100,1%", 400_000) == [1, 100, 4000]
    assert stages_from("1, 0.5%, 50%", 1000) == [1, 5, 500]
    assert stages_from("1%", 7) == [1]
    assert stages_from("none", 7) == []
    for wrong in ("", "1,,2", "1.5", "-1", "0", "x%", "1,2;3"):
        with pytest.raises(StagesImpossible):
            stages_from(wrong, 100)


def test_a_job_that_nobody_works_on_is_stuck_and_one_that_rests_or_is_paused_is_not(
    job: Job, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not progress_of(job).stuck
    monkeypatch.setattr("remediation.progress.STUCK_SECONDS", 0.0)
    assert progress_of(job).stuck
    assert "It is stuck: nobody is at it." in told("job", "show", str(job.pk))
    asked("job", "tune", str(job.pk), "--as", "ada", "--pause-milliseconds", "60000")
    turns = iter((True, False))
    monkeypatch.setattr("remediation.runner._rest_after_chunk", lambda _: None)
    work(job.pk, worker="test", heed=lambda: next(turns))
    assert not progress_of(job).stuck
    paused = pause_job(job, acting_user=people["ada"])
    assert (progress_of(paused).stuck, progress_of(paused).ended) == (False, False)
    assert progress_of(paused).seconds_left is None
