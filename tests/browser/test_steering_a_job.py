"""Steering a job that a real worker does, in a real browser; and how its page looks in each state."""

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from remediation import gates
from remediation.apply import start_apply
from remediation.control import cancel_job, pause_job, resume_job, tune_job
from remediation.doorbell import ring
from remediation.lease import lease_chunk
from remediation.models import Job, JobChunk
from remediation.runner import work
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import wrong_on_screens
from tests.conftest import UserFactory, WorkerFactory
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import START, fee, recalculate, report, totals


def test_an_engineer_pauses_resumes_and_cancels_a_job_that_a_worker_does(
    signed_in: ReaderFactory, users: UserFactory, worker_process: WorkerFactory, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(400)
    ana = users("engineer", name="ana")
    job = start_apply(approved(previewed(ana), users("approver", name="ben")), acting_user=ana)
    tune_job(job, acting_user=ana, pause_milliseconds=200)
    reader = signed_in("engineer", name="ana")
    page = reader.open(f"/remediation/job/{job.pk}/")
    worker_process()
    ring(job.pk)
    expect(page.locator("#rows")).not_to_have_text("0 of 400", timeout=30_000)
    page.get_by_label("Why (may be empty)").fill("Customers call.")
    page.get_by_role("button", name=f"Pause {job}").click()
    expect(page.locator("#state")).to_contain_text("“Customers call.”")
    job.refresh_from_db()
    assert job.status == Job.Status.PAUSED
    done = JobChunk.objects.filter(job=job, status="done").count()
    page.evaluate("window.neverReloaded = true")
    page.wait_for_timeout(1500)
    assert JobChunk.objects.filter(job=job, status="done").count() == done
    assert page.evaluate("window.neverReloaded") is True

    # Somebody else lets it go on: the page that is open gets other buttons by itself.
    resume_job(job, acting_user=users("approver", name="ben"))
    expect(page.get_by_role("button", name=f"Pause {job}")).to_be_visible()
    page.get_by_role("button", name=f"Pause {job}").click()
    page.get_by_role("button", name=f"Let {job} go on").click()
    expect(page.get_by_text(f"{job} goes on.")).to_be_visible()

    page.get_by_label("Rows moved at once").fill("1")
    page.get_by_role("button", name="Change limits").click()
    expect(page.get_by_text("Rows moved at once: 1", exact=True)).to_be_visible()
    page.get_by_role("link", name=f"Cancel {job}").click()
    expect(page.get_by_text("stay where they are now")).to_be_visible()
    page.get_by_label("Why: whoever started it will ask").fill("The contract was read wrongly.")
    page.get_by_role("button", name=f"Cancel {job} for good").click()
    expect(page.get_by_text("Cancelled by ana: The contract was read wrongly.")).to_be_visible()
    expect(page.get_by_role("heading", name="Steer it")).to_have_count(0)
    job.refresh_from_db()
    assert (job.status, job.chunk_rows) == (Job.Status.CANCELLED, 1)
    moved = sum(now == fee(1000 + index, 2) for index, now in enumerate(totals(ids)))
    assert 0 < moved < 400
    assert sum(chunk.result["applied"] for chunk in job.chunks.all() if chunk.result) == moved


def test_a_job_is_steered_without_javascript(signed_in: ReaderFactory, users: UserFactory) -> None:
    report(4)
    ana = users("engineer", name="ana")
    job = start_apply(approved(previewed(ana), users("approver", name="ben")), acting_user=ana)
    page = signed_in("engineer", name="ana", javascript=False).open(f"/remediation/job/{job.pk}/")
    page.get_by_role("button", name=f"Pause {job}").click()
    expect(page.locator("#state")).to_contain_text("ana paused it")
    page.get_by_role("button", name=f"Let {job} go on").click()
    expect(page.get_by_role("button", name=f"Pause {job}")).to_be_visible()


def test_a_jobs_page_fits_in_each_state(
    signed_in: ReaderFactory, users: UserFactory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 100
    ids = report(400)
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    plan = approved(previewed(ana), ben)
    for known in ids[:3]:
        recalculate(known, fee_percent=5, at=START + timedelta(days=1))
    job = start_apply(plan, acting_user=ana, stages=[1, 100])
    reader = signed_in("engineer", name="ana")

    def look(state: str, path: str = f"/remediation/job/{job.pk}/") -> None:
        assert wrong_on_screens(reader.open(path), f"job {state}") == []

    JobChunk.objects.filter(job=job, stage=1).update(
        failure="Worker host-7:4711:ForkPoolWorker-2 was lost.", attempts=1
    )
    lease_chunk(job.pk, worker="worker-host-with-a-long-name.example.internal:4711:ForkPoolWorker-2")
    tune_job(job, acting_user=ben, workers=2, rows_per_second=5000)
    Job.objects.filter(pk=job.pk).update(
        throttle="Moving 500 rows at once: 2,000 took 1.1 s, 0.25 s is aimed at."
    )
    look("running")
    look("confirm cancel", f"/remediation/job/{job.pk}/confirm-cancel/")
    pause_job(job, acting_user=ben, reason="Customers call about the amounts on their receipts.")
    look("paused")
    resume_job(job, acting_user=ana)
    JobChunk.objects.filter(job=job, status="leased").update(status="waiting", token=None, lease_until=None)
    tune_job(job, acting_user=ben, rows_per_second=None)
    monkeypatch.setitem(gates._gates, "shadow", lambda *_: "The shadow checks of the last hour are red.")
    work(job.pk, worker="test")
    look("held by a gate")
    monkeypatch.delitem(gates._gates, "shadow")
    resume_job(job, acting_user=ana, reason="They are known.")
    look("going on")
    work(job.pk, worker="test")
    look("home", "/")
    job.refresh_from_db()
    if not job.ended:
        cancel_job(job, acting_user=ana, reason="Three conflicts are too many for today.")
    look("ended")
    look("plan to retry", f"/remediation/plan/{plan.pk}/")
