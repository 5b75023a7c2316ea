"""A case's life on its page: from opened to verified and taken back, chunks added up, what people said told."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.step_up import confirmed_by_operator
from remediation.admin import case_timeline
from remediation.admin.case_timeline import timeline_of
from remediation.apply import start_apply
from remediation.approval import approve, reject
from remediation.control import pause_job, resume_job
from remediation.models import Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, digest, previewed, verified, work_until_ended
from tests.remediation.incident import START, recalculate, report


def told(plan: Plan) -> list[str]:
    return [step.text for step in timeline_of(plan.case, list(plan.case.plans.all())).steps]


def test_a_case_is_told_from_opened_to_taken_back(db: None, users: UserFactory, settings: Any) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(6)
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    plan = previewed(ana)
    recalculate(ids[3], fee_percent=3, at=START + timedelta(days=1))
    plan = approve(
        plan,
        digest(plan),
        acting_user=ben,
        confirmed=confirmed_by_operator(ben),
        comment="As the contract says.",
    )
    job = applied(plan, ana)
    verified(plan.case, ana)
    revert = request_revert(plan.case, acting_user=ana, reason="The contract was read wrongly.")
    work_until_ended(revert.jobs.get())
    revert.refresh_from_db()
    applied(approved(revert, ben), ana)
    case, preview = plan.case, plan.jobs.get(kind="preview")
    check = case.jobs.get(kind="verify")
    reverted, read = revert.jobs.get(kind="apply"), revert.jobs.get(kind="preview")
    steps = timeline_of(case, list(case.plans.all())).steps
    assert [step.text for step in steps] == [
        "ana opened the case.",
        f"ana asked for {plan} to be previewed.",
        f"{preview}: 3 chunks scanned, 6 rows, 6 to correct.",
        f"Amends sealed {plan}: 6 corrections to decide on.",
        f"ana finished {preview}.",
        f"ben approved {plan}.",
        f"ana began to apply {job}.",
        f"{job}: 3 chunks applied, 5 transactions moved, 1 conflict left alone.",
        f"ana finished applying {plan}.",
        f"ana finished {job}.",
        f"ana began to verify {check}.",
        "ana verified the case: everything adds up, 1 still differs.",
        f"ana finished {check}.",
        f"ana asked for {revert} to be previewed.",
        f"{read}: 3 chunks scanned, 5 rows, 5 to correct.",
        f"Amends sealed {revert}: 5 corrections to decide on.",
        f"ana finished {read}.",
        f"ben approved {revert}.",
        f"ana began to apply {reverted}.",
        f"{reverted}: 3 chunks applied, 5 transactions moved.",
        f"ana finished applying {revert}.",
        f"ana finished {reverted}.",
    ]
    said = {step.reason for step in steps if step.reason}
    assert said == {"Fees were too low.", "As the contract says.", "The contract was read wrongly."}
    assert [step.at for step in steps] == sorted(step.at for step in steps)


def test_stops_and_noes_are_told_with_what_people_said(db: None, users: UserFactory) -> None:
    report(4)
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    first = previewed(ana)
    reject(
        first, digest(first), acting_user=ben, confirmed=confirmed_by_operator(ben), comment="Wait for legal."
    )
    again = request_preview(first.case, acting_user=ana, again=True)
    work_until_ended(again.jobs.get())
    again.refresh_from_db()
    job = start_apply(approved(again, ben), acting_user=ana)
    pause_job(job, acting_user=ben, reason="Customers call.")
    resume_job(job, acting_user=ana)
    steps = timeline_of(first.case, list(first.case.plans.all())).steps
    found = [(step.text, step.reason, step.tone) for step in steps]
    assert (f"ben rejected {first}.", "Wait for legal.", "bad") in found
    assert (f"ben asked to pause {job}.", "Customers call.", "") in found
    assert (f"ana resumed {job}.", "", "") in found
    assert found[-1][0] == f"ana resumed {job}."


def test_a_verification_says_how_it_ended(db: None, users: UserFactory) -> None:
    report(4)
    ana = users("engineer", name="ana")
    plan = approved(previewed(ana), users("approver", name="ben"))
    applied(plan, ana)
    verified(plan.case, ana)
    step = next(step for step in timeline_of(plan.case, [plan]).steps if "nothing is left" in step.text)
    assert (step.text, step.tone) == (
        "ana verified the case: everything adds up, and nothing is left.",
        "good",
    )


def test_the_page_shows_it_with_links_and_as_many_queries_for_more_steps(
    client: Client, users: UserFactory, db: None, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 1
    report(3)
    ana = users("engineer", name="ana")
    plan = approved(previewed(ana), users("approver", name="ben"))
    client.force_login(users("auditor"))
    with CaptureQueriesContext(connection) as few:
        client.get(f"/remediation/case/{plan.case_id}/")
    job = applied(plan, ana)
    with CaptureQueriesContext(connection) as many:
        page = client.get(f"/remediation/case/{plan.case_id}/").content.decode()
    assert f"{job}: 3 chunks applied, 3 transactions moved." in page
    assert f"/audit/auditentry/?case={plan.case_id}&amp;event=chunk.applied" in page
    with CaptureQueriesContext(connection) as life_few:
        timeline_of(plan.case, [plan])
    assert len(life_few) == 4
    assert len(many) <= 30
    assert len(many) - len(few) <= 3  # an apply's own lines on the page; the timeline adds none


def test_a_long_life_is_told_from_its_newest_end_and_says_so(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(case_timeline, "MOST_TOLD", 3)
    report(3)
    ana = users("engineer", name="ana")
    plan = approved(previewed(ana), users("approver", name="ben"))
    life = timeline_of(plan.case, [plan])
    assert life.more
    assert life.steps[-1].text == f"ben approved {plan}."
    assert not any("opened" in step.text for step in life.steps)
    client.force_login(users("auditor"))
    assert "Only the newest steps" in client.get(f"/remediation/case/{plan.case_id}/").content.decode()
