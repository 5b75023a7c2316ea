"""An auditor's way from a job to a printed report, in a browser without JavaScript; every state fits wide and narrow, light and dark."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from remediation.audit_sample import conclude_sample, draw_sample, record_verdict
from remediation.models import AuditSample, AuditSampleVerdict, Job
from tests.browser.conftest import ReaderFactory
from tests.browser.looking import picture, wrong_on_screens
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import START, recalculate, report
from tests.remediation.tampering import tamper

Verdict = AuditSampleVerdict.Verdict


def corrected(users: UserFactory) -> Job:
    """Corrections in three currencies, in stores with long names, and a conflict."""
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    ids = report(45)
    report(25, first=100, currency="JPY", scale=0, store="tokyo-7", start=START + timedelta(hours=1))
    report(
        25,
        first=123456000,
        currency="KWD",
        scale=3,
        store="kuwait-city-flagship-store-12",
        start=START + timedelta(hours=2) - timedelta(seconds=123456000),
    )
    plan = approved(previewed(ana, reason="Checkout charged one percent where the contract says two."), ben)
    recalculate(ids[3], fee_percent=3, at=START + timedelta(days=1))
    return applied(plan, ana)


def sampled(job: Job, auditor: User, seed: str) -> AuditSample:
    return draw_sample(
        job, acting_user=auditor, confidence=Decimal("0.95"), tolerable_rate=Decimal("0.05"), seed=seed
    )


def judged(sample: AuditSample, auditor: User, *, wrong: bool) -> None:
    for item in sample.items.all():
        record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    if wrong:
        first, second, third = sample.items.all()[:3]
        for item, off in ((first, 7), (second, -3)):
            record_verdict(
                item,
                Verdict.WRONG,
                right_total=item.calculation.total - off,
                comment="The contract caps the fee, and the calculator does not know it.",
                acting_user=auditor,
            )
        record_verdict(third, Verdict.CANNOT_TELL, comment="The contract is lost.", acting_user=auditor)
    conclude_sample(sample, acting_user=auditor, comment="As the contracts of March say.")


def pages(job: Job, accepted: AuditSample, refused: AuditSample, waiting: AuditSample) -> dict[str, str]:
    return {
        "sample job": f"/remediation/job/{job.pk}/",
        "sample draw": f"/remediation/job/{job.pk}/draw-sample/",
        "sample draw impossible": f"/remediation/job/{job.pk}/draw-sample/?confidence=100&tolerable=1&expected=0&seed=x",
        "sample list": "/remediation/auditsample/",
        "sample accepted": f"/remediation/auditsample/{accepted.pk}/",
        "sample not accepted": f"/remediation/auditsample/{refused.pk}/",
        "sample waiting": f"/remediation/auditsample/{waiting.pk}/",
        "sample waiting page 2": f"/remediation/auditsample/{waiting.pk}/?after=25",
        "sample item judged": f"/remediation/auditsample/{refused.pk}/items/1/",
        "sample item differs": f"/remediation/auditsample/{waiting.pk}/items/1/",
        "sample item gone": f"/remediation/auditsample/{waiting.pk}/items/2/",
        "sample report": f"/remediation/auditsample/{refused.pk}/report/",
        "sample trail": f"/audit/auditentry/?subject_type=remediation.auditsample&subject_id={refused.pk}",
    }


def test_every_page_of_a_sample_fits_in_every_state(
    signed_in: ReaderFactory, users: UserFactory, owner_connection: "psycopg.Connection[Any]"
) -> None:
    job, cleo = corrected(users), users("auditor", name="cleo")
    accepted, refused = sampled(job, cleo, "dice 4 2 6 1 1 5"), sampled(job, cleo, "dice 6 6 1 2 3 4")
    judged(accepted, cleo, wrong=False)
    judged(refused, cleo, wrong=True)
    waiting = sampled(job, cleo, "w" * 120)
    differs, gone = waiting.items.all()[:2]
    tamper(
        owner_connection,
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{total}', '77777'), total = 77777"
        f" WHERE id = {differs.calculation_id}",
    )
    tamper(owner_connection, f"DELETE FROM transactions_transaction WHERE id = {gone.transaction_id}")
    reader = signed_in("auditor", name="cleo")
    for name, path in pages(job, accepted, refused, waiting).items():
        assert wrong_on_screens(reader.open(path), name) == []
    page = reader.open(pages(job, accepted, refused, waiting)["sample report"])
    page.emulate_media(media="print", color_scheme="light")
    page.set_viewport_size({"width": 720, "height": 1000})  # about A4 with its margins
    expect(page.locator("#header")).to_be_hidden()
    # Printed pages do not scroll: whatever is wider would be cut off.
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    picture(page, "sample report printed")
    assert wider <= 0


def test_without_javascript_an_auditor_gets_from_a_job_to_a_conclusion(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    report(4)
    job = applied(approved(previewed(ana), ben), ana)
    reader = signed_in("auditor", name="cleo", javascript=False)
    page = reader.open(f"/remediation/job/{job.pk}/")
    page.get_by_role("link", name="Draw an audit sample").click()
    page.get_by_label("Tolerable error rate, in percent").fill("50")
    page.get_by_label("Seed").fill("dice 3 3")
    page.get_by_role("button", name="Work out the size").click()
    # Two of four wrong: three drawn show at least one for certain, two leave C(2,2) / C(4,2) = 1/6.
    expect(page.locator("#size")).to_have_text("3")
    page.get_by_role("button", name="Draw 3 corrections").click()
    page.get_by_role("link", name="Go on with correction 1").click()
    for number in (1, 2):
        page.get_by_label("Correct", exact=True).check()
        page.get_by_role("button", name=f"Record the verdict on correction {number}").click()
    page.get_by_label("Wrong", exact=True).check()
    page.get_by_label("Where it is wrong").fill("9.99")
    page.get_by_label("What is wrong").fill("The fee is capped.")
    page.get_by_role("button", name="Record the verdict on correction 3").click()
    expect(page.locator("p.headline .badge")).to_have_text("not accepted")
    page.get_by_role("button", name="Conclude: not accepted").click()
    expect(page.locator("#conclusion")).to_contain_text("cleo concluded")
    page.get_by_role("link", name="Report to print").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Report on Audit sample")
    assert AuditSample.objects.get().conclusions.get().accepted is False


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_a_verdict_is_given_by_keyboard_alone(
    signed_in: ReaderFactory, users: UserFactory, color_scheme: str
) -> None:
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    report(4)
    job = applied(approved(previewed(ana), ben), ana)
    sample = sampled(job, users("auditor", name="cleo"), "keys")
    page = signed_in("auditor", name="cleo", color_scheme=color_scheme).open(
        f"/remediation/auditsample/{sample.pk}/items/1/"
    )
    page.get_by_label("Correct", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Correction 1: correct.")).to_be_visible()
