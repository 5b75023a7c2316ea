"""The auditors' pages in a real browser, wide and narrow, in light and dark: they fit, axe finds nothing, nothing complains."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction
from playwright.sync_api import Page, expect
from pytest_django import Settings

from audit.models import AuditEntry, Trail
from audit.seal import connect
from audit.sealer import seal_all, sign_and_publish
from audit.signing import make_key
from audit.trail import record
from audit.verification import VERIFIED, AuditVerified
from remediation.control import pause_job
from tests.browser.conftest import ReaderFactory
from tests.browser.incident_on_pages import Incident, incident
from tests.browser.looking import wrong_on_screens
from tests.conftest import UserFactory
from transactions.models import PersonalData

PERSON = {"name": "Adaline Mueller-Hohenstein", "email": "adaline@example.org", "plate": "ZH 123456"}


def auditors_incident(users: UserFactory) -> Incident:
    """The incident of all pages, with a person, a reason and a pause."""
    shown = incident(users)
    PersonalData.objects.create(transaction_id=shown.transaction, data=PERSON)
    pause_job(
        shown.running,
        acting_user=users("approver", name="ben"),
        reason="Customers call about the amounts on their receipts, and support asks us to wait until the shop has answered.",
    )
    return shown


@pytest.fixture
def sealed(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Seals, signs and publishes what there is, at a place that works."""
    settings.AMENDS_AUDIT_SIGNER = settings.AMENDS_AUDIT_KEY = ""
    settings.AMENDS_AUDIT_KEY_FILE = str(tmp_path / "key.pem")
    make_key(tmp_path / "key.pem")
    settings.AMENDS_AUDIT_PLACES = [(tmp_path / "apart").as_uri()]
    # The server that is started after this is a process of its own, and is to have the same place.
    monkeypatch.setenv("AMENDS_AUDIT_PLACES", settings.AMENDS_AUDIT_PLACES[0])

    def seal() -> None:
        with connect() as sealer:
            seal_all(sealer)
            sign_and_publish(sealer)

    return seal


def auditors_pages(shown: Incident) -> dict[str, str]:
    def entry(event: str) -> str:
        return f"/audit/auditentry/{AuditEntry.objects.filter(event=event).latest('id').pk}/"

    return {
        "home": "/",
        "integrity": "/audit/auditentry/integrity/",
        "trail": "/audit/auditentry/",
        "trail of a case": f"/audit/auditentry/?case={shown.case.pk}",
        "trail of a period": "/audit/auditentry/?from=2020-01-01T00:00&to=2040-01-01T00:00&zone=Asia/Kolkata&actor=ana",
        "trail without": "/audit/auditentry/?reason=nobody+said+that",
        "entry of a chunk": entry("chunk.applied"),
        "entry of a sealed plan": entry("plan.sealed"),
        "entry of a pause": entry("job.pausing"),
        "entry of an opened case": entry("case.opened"),
        "entry of a sign-in": entry("user.signed_in"),
        "case with its life": f"/remediation/case/{shown.case.pk}/",
        "transaction with a person": f"/transactions/transaction/{shown.transaction}/",
    }


def tampered_with() -> None:
    """What the trail says after a night in which somebody edited rows, and the place was full."""
    finding = {
        "kind": "tampered",
        "check": "calculations that came in",
        "subject": "calculation 17 of transaction shop/o-16",
        "problem": "its amounts, release, time or transaction are not those that came in",
    }
    data = AuditVerified("tampered", 0, 40, {"entries": 40}, 1, 0, [finding], [], 3)
    with transaction.atomic():
        record(VERIFIED, Trail.objects.get(), data, actor=None)
    with connect() as sealer:
        sealer.execute(
            "INSERT INTO audit_checkpointpublication (checkpoint_id, place, failure) SELECT max(number), %s, %s FROM audit_checkpoint",
            [os.environ["AMENDS_AUDIT_PLACES"], "No space left on device"],
        )


def test_auditors_pages_fit_and_axe_finds_nothing(
    sealed: Callable[[], None], signed_in: ReaderFactory, users: UserFactory
) -> None:
    shown = auditors_incident(users)
    sealed()
    reader = signed_in("auditor", name="carl")
    wrong: list[str] = []
    for name, path in auditors_pages(shown).items():
        wrong += wrong_on_screens(reader.open(path), name)
    tampered_with()
    for name, path in {
        "integrity with problems": "/audit/auditentry/integrity/",
        "home with problems": "/",
    }.items():
        wrong += wrong_on_screens(reader.open(path), name)
    page = reader.open(f"/transactions/transaction/{shown.transaction}/")
    page.get_by_label("Why you have to see it").fill("She asks what we know of her.")
    page.get_by_role("button", name="Show what is behind the dots").click()
    expect(page.get_by_text("Adaline Mueller-Hohenstein")).to_be_visible()
    wrong += wrong_on_screens(page, "person revealed")
    page.goto(f"{reader.address}/audit/auditentry/?actor=nobody-here&from=yesterday&zone=Middle/Earth")
    expect(page.get_by_role("alert")).to_contain_text("nobody-here")
    wrong += wrong_on_screens(page, "trail misunderstood")
    assert wrong == []
    reader.complaints[:] = [each for each in reader.complaints if "Failed to load resource" not in each]


def test_an_auditor_follows_a_correction_back_to_its_approval_without_javascript(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    shown = auditors_incident(users)
    carl = signed_in("auditor", name="carl", javascript=False)
    page = carl.open(f"/transactions/transaction/{shown.transaction + 1}/")
    page.get_by_role("link", name="ana applied Plan").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Plan {shown.applied.pk} (apply)")
    page.get_by_role("link", name=f"Case {shown.case.pk}").first.click()
    page.get_by_role("link", name=f"ben approved Plan {shown.applied.pk} (apply)").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"ben approved Plan {shown.applied.pk} (apply)")
    expect(page.get_by_text(bytes(shown.applied.digest or b"").hex(), exact=True)).to_be_visible()
    page.get_by_role("link", name="all entries about it").click()
    expect(page.get_by_role("list", name="Entries").locator("> li")).to_have_count(
        AuditEntry.objects.filter(subject_type="remediation.plan", subject_id=shown.applied.pk).count()
    )
    page.get_by_label("What happened").select_option("plan.approved")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("list", name="Entries").locator("> li")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="NDJSON, for programs").click()
    assert download.value.suggested_filename.endswith(".ndjson")
    assert Path(download.value.path()).read_text().count("\n") == 1
    assert AuditEntry.objects.get(event="trail.exported").data["rows"] == 1


def test_the_trail_prints_without_its_form(signed_in: ReaderFactory, users: UserFactory) -> None:
    auditors_incident(users)
    page: Page = signed_in("auditor", name="carl").open("/audit/auditentry/?about=job")
    expect(page.locator("dl.on-paper")).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator(".trail-form")).to_be_hidden()
    expect(page.locator("form.export")).to_be_hidden()
    expect(page.get_by_role("list", name="Entries")).to_be_visible()
    # What it is a list of is said where the form does not say it.
    expect(page.locator("dl.on-paper")).to_have_text("To whatjob")


def test_a_case_prints_without_what_can_be_done(signed_in: ReaderFactory, users: UserFactory) -> None:
    case = auditors_incident(users).case
    page: Page = signed_in("engineer").open(f"/remediation/case/{case.pk}/")
    expect(page.get_by_role("heading", name="What can be done")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", name="What can be done")).to_be_hidden()
    expect(page.get_by_role("heading", name="Its life")).to_be_visible()
    assert page.get_by_role("button").count() == 0
