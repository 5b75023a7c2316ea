"""A job's page: the truth about its state, and the buttons to steer it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from remediation import gates
from remediation.apply import start_apply
from remediation.control import cancel_job, pause_job, resume_job, tune_job
from remediation.lease import Lease, lease_chunk
from remediation.models import Job, Plan
from remediation.runner import work
from tests.conftest import UserFactory
from tests.page_text import words
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import START, recalculate, report

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def engineer(users: UserFactory) -> User:
    return users("engineer", name="ada")


@pytest.fixture
def job(engineer: User, users: UserFactory, settings: Any) -> Job:
    """An apply of six rows in three chunks, in stages of one row and all."""
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(6)
    plan = approved(previewed(engineer), users("approver", name="ben"))
    recalculate(ids[5], fee_percent=4, at=START + timedelta(days=1))
    return start_apply(plan, acting_user=engineer, stages=[1])


def page(client: Client, job: Job, part: str = "") -> str:
    answer = client.get(f"/remediation/job/{job.pk}/{part}")
    assert answer.status_code == 200, answer
    return words(answer.content.decode())


def press(client: Client, job: Job, button: str, **fields: Any) -> list[str]:
    answer = client.post(f"/remediation/job/{job.pk}/{button}/", fields, follow=True)
    assert answer.status_code == 200, answer
    return [str(message) for message in answer.context["messages"]]


def one_chunk(job: Job) -> None:
    turns = iter((True, False))
    work(job.pk, worker="test", heed=lambda: next(turns))


def test_a_job_is_paused_resumed_and_cancelled_by_its_buttons(
    client: Client, job: Job, engineer: User
) -> None:
    client.force_login(engineer)
    assert "Stage 1 of 2: through 1 of 6 rows, then its gates." in page(client, job)
    assert press(client, job, "pause", reason=" Customers call. ") == [
        f"{job} is paused: nothing of it commits until somebody lets it go on."
    ]
    shown = page(client, job)
    assert "ada paused it," in shown
    assert "“Customers call.”" in shown
    assert f"Pause {job}" not in shown
    stop = client.get(f"/remediation/job/{job.pk}/").context["stop"]
    assert press(client, job, "resume", stop=stop.entry) == [f"{job} goes on."]
    one_chunk(job)
    confirm = page(client, job, "confirm-cancel/")
    assert "1 of 6 transactions were moved so far" in confirm
    assert "USD +0.10" in confirm.replace("\N{NO-BREAK SPACE}", " ")
    assert "Say why the job is cancelled" in press(client, job, "cancel", reason=" ")[0]
    assert press(client, job, "cancel", reason="Wrong contract.") == [
        f"{job} is cancelled. What it did stands; nothing more of it will happen."
    ]
    job.refresh_from_db()
    assert (job.status, job.failure) == ("cancelled", "Cancelled by ada: Wrong contract.")
    assert job.plan is not None
    assert Plan.objects.get(pk=job.plan.pk).status == "stopped"
    assert "Steer it" not in page(client, job)
    assert client.get(f"/remediation/job/{job.pk}/confirm-cancel/").status_code == 302
    assert [
        (entry.event, entry.actor_label)
        for entry in AuditEntry.objects.filter(
            event__in=["job.pausing", "job.resumed", "job.cancelling"]
        ).order_by("id")
    ] == [("job.pausing", "ada"), ("job.resumed", "ada"), ("job.cancelling", "ada")]


@pytest.mark.parametrize("role", ["support", "auditor"])
def test_who_may_not_steer_sees_no_buttons_and_is_refused(
    client: Client, job: Job, users: UserFactory, role: str
) -> None:
    client.force_login(users(role))
    assert "Steer it" not in page(client, job)
    assert client.get(f"/remediation/job/{job.pk}/confirm-cancel/").status_code == 302
    for button in ("pause", "resume", "cancel", "tune"):
        assert "lacks the permission" in press(client, job, button, reason="x", workers="1")[0]
    job.refresh_from_db()
    assert (job.status, job.workers) == ("running", None)


def test_a_button_that_led_to_signing_in_says_that_it_did_nothing(
    client: Client, job: Job, engineer: User
) -> None:
    client.force_login(engineer)
    answer = client.get(f"/remediation/job/{job.pk}/pause/", follow=True)
    assert "the button did nothing" in str(next(iter(answer.context["messages"])))
    job.refresh_from_db()
    assert job.status == "running"


def test_buttons_need_the_forms_token(job: Job, engineer: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(engineer)
    assert client.post(f"/remediation/job/{job.pk}/pause/").status_code == 403
    job.refresh_from_db()
    assert job.status == "running"


def test_stale_buttons_answer_with_what_happened_meanwhile(
    client: Client, job: Job, engineer: User, users: UserFactory
) -> None:
    ben = users("approver", name="ben")
    client.force_login(engineer)
    seen = client.get(f"/remediation/job/{job.pk}/").context["newest_entry"]
    pause_job(job, acting_user=ben, reason="Lunch.")
    said = press(client, job, "pause", seen=seen)
    assert "by ben" in said[0]
    assert any("ben asked to pause" in each for each in said[1:])
    first_stop = client.get(f"/remediation/job/{job.pk}/").context["stop"].entry
    resume_job(job, acting_user=ben)
    assert press(client, job, "resume", stop=first_stop, seen=seen)[0] == f"{job} runs already."
    pause_job(job, acting_user=ben, reason="The tax office called.")
    said = press(client, job, "resume", stop=first_stop, seen=seen)
    assert "Something else stops the job" in said[0]
    assert "The tax office called." in said[0]
    job.refresh_from_db()
    assert job.status == "paused"
    cancel_job(job, acting_user=ben, reason="Enough.")
    for button in ("pause", "tune", "resume"):
        said = press(client, job, button, seen=seen, workers="3", stop="0", reason="x")
        assert "Cancelled by ben: Enough." in said[0] or "cancelled" in said[0]
    assert "by ben" in press(client, job, "cancel", reason="Me too.")[0]


def test_tuning_changes_only_what_the_reader_changed(
    client: Client, job: Job, engineer: User, users: UserFactory
) -> None:
    client.force_login(engineer)
    tune_job(job, acting_user=users("approver", name="ben"), workers=7)
    # The page was made before ben set a limit on workers.
    said = press(
        client, job, "tune", workers="", was_workers="", rows_per_second="2000", was_rows_per_second=""
    )
    assert said == [f"From its next chunks on, {job} has rows a second, all workers together: 2,000."]
    job.refresh_from_db()
    assert (job.workers, job.rows_per_second) == (7, 2000)
    shown = page(client, job)
    assert "Chunks in hand at a time: 7" in shown
    press(client, job, "tune", workers="", was_workers="7")
    job.refresh_from_db()
    assert job.workers is None
    for wrong in ("-1", "1.5", "many", "99999999999", "0"):
        assert press(client, job, "tune", workers=wrong, was_workers="")[0] != "No limit was changed."
    assert press(client, job, "tune", workers="", was_workers="") == ["No limit was changed."]
    job.refresh_from_db()
    assert job.workers is None


def test_a_gate_that_holds_is_shown_and_passed_only_with_a_reason(
    client: Client, job: Job, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        gates._gates,
        "test",
        lambda *_: "The shadow checks are red.",
    )
    work(job.pk, worker="test")
    client.force_login(engineer)
    shown = page(client, job)
    assert "A gate holds it" in shown
    assert "The shadow checks are red." in shown
    assert "going past that gate" in shown
    stop = client.get(f"/remediation/job/{job.pk}/").context["stop"]
    assert (stop.by, "test" in stop.gates) == ("", True)
    assert "A gate holds the job" in press(client, job, "resume", stop=stop.entry)[0]
    press(client, job, "resume", stop=stop.entry, reason="They are known.")
    job.refresh_from_db()
    assert (job.status, job.stage) == ("running", 1)


def test_the_page_says_who_holds_what_and_asks_no_more_for_more_chunks(
    client: Client, job: Job, engineer: User, settings: Any
) -> None:
    client.force_login(engineer)

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            shown = page(client, job)
        assert "Steer it" in shown
        return len(captured)

    assert "None holds a chunk right now." in page(client, job)
    without = queries()
    assert isinstance(lease_chunk(job.pk, worker="host:1:child"), Lease)
    assert "host:1:child" in page(client, job)
    with_one = queries()
    Job.objects.filter(pk=job.pk).update(stage=1)
    for number in range(2, 4):
        assert isinstance(lease_chunk(job.pk, worker=f"host:{number}:child"), Lease)
    assert "host:3:child" in page(client, job)
    assert queries() == with_one <= without + 1


def test_the_first_page_lists_paused_jobs_too(client: Client, job: Job, engineer: User) -> None:
    client.force_login(engineer)
    pause_job(job, acting_user=engineer, reason="Customers call.")
    answer = client.get("/")
    assert [work.job for work in answer.context["running"]] == [job]
    assert "Customers call." in answer.content.decode()


def test_live_parts_bring_other_buttons_only_where_the_state_changed(
    client: Client, job: Job, engineer: User
) -> None:
    client.force_login(engineer)
    state = client.get(f"/remediation/job/{job.pk}/").context["shown_state"]
    live = f"/remediation/job/{job.pk}/live/?shown="
    assert 'id="job-controls"' not in client.get(live + state).content.decode()
    pause_job(job, acting_user=engineer)
    changed = client.get(live + state).content.decode()
    assert 'id="job-controls" hx-swap-oob="true"' in changed
    assert f"Let {job} go on" in changed
    assert "csrfmiddlewaretoken" in changed


def test_a_pause_that_waits_for_a_commit_is_not_called_paused(
    client: Client, job: Job, engineer: User
) -> None:
    Job.objects.filter(pk=job.pk).update(status="pausing", pause_reason="Paused by ada.")
    client.force_login(engineer)
    shown = page(client, job)
    assert "it is not paused before that" in shown
    assert "Nothing of it commits until" not in shown
    Job.objects.filter(pk=job.pk).update(status="cancelling")
    assert "it is not cancelled before that" in page(client, job)
