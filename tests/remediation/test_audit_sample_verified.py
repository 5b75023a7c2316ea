"""A verification of the trail draws every audit sample again and holds its verdicts and conclusions against the trail."""

import re
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from audit.verification import verify_everything
from remediation.audit_sample import conclude_sample, draw_sample, record_verdict
from remediation.models import AuditSample, AuditSampleVerdict
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import report
from tests.remediation.tampering import tamper

pytestmark = pytest.mark.usefixtures("committed_db")
Verdict = AuditSampleVerdict.Verdict

TAMPERED: dict[str, tuple[str, str]] = {
    "a sample's seed": (
        "UPDATE remediation_auditsample SET seed = 'another'",
        r"\[audit samples\] Audit sample \d+: its seed are not what entry \d+ of the trail says\.",
    ),
    "how many errors a sample allows": (
        "UPDATE remediation_auditsample SET allowed_errors = allowed_errors + 1",
        r"\[audit samples\] Audit sample \d+: its allowed errors are not what entry \d+ of the trail says\.",
    ),
    "a drawn correction deleted, with its verdicts": (
        "WITH gone AS (SELECT id FROM remediation_auditsampleitem WHERE number = 2), judged AS ("
        "DELETE FROM remediation_auditsampleverdict WHERE item_id IN (SELECT id FROM gone))"
        " DELETE FROM remediation_auditsampleitem WHERE id IN (SELECT id FROM gone)",
        r"\[audit samples\] Audit sample \d+: its corrections are not numbered from 1 to 3: some are gone\.",
    ),
    "a drawn correction put in place of another": (
        "UPDATE remediation_auditsampleitem SET calculation_id = calculation_id + 1 WHERE number = 1",
        r"\[audit samples\] Audit sample \d+: its corrections are not those that entry \d+ of the trail covers\.",
    ),
    "a drawn correction's leaf": (
        r"UPDATE remediation_auditsampleitem SET leaf = sha256('\x00') WHERE number = 1",
        r"\[audit samples\] Audit sample \d+, correction 1: its leaf is not the one that the plan keeps\.",
    ),
    "a verdict": (
        "UPDATE remediation_auditsampleverdict SET verdict = 'correct', wrong_by = NULL WHERE verdict = 'wrong'",
        r"\[audit samples\] Audit sample \d+, verdict 1: it is not what the trail says\.",
    ),
    "a conclusion": (
        "UPDATE remediation_auditsampleconclusion SET accepted = NOT accepted",
        r"\[audit samples\] Audit sample \d+, conclusion 1: it is not what the trail says\.",
    ),
    "a conclusion deleted": (
        "DELETE FROM remediation_auditsampleconclusion",
        r"\[audit samples\] Audit sample \d+: it has 0 conclusions, and the trail tells of 1\.",
    ),
}


@pytest.fixture
def sample(engineer: User, approver: User, users: UserFactory) -> AuditSample:
    """Three of six corrections drawn, the first found wrong, and concluded."""
    report(6)
    job = applied(approved(previewed(engineer), approver), engineer)
    auditor = users("auditor")
    drawn = draw_sample(
        job,
        acting_user=auditor,
        confidence=Decimal("0.9"),
        tolerable_rate=Decimal("0.4"),
        seed="dice 4 2 6",
    )
    first, *others = drawn.items.all()
    record_verdict(
        first,
        Verdict.WRONG,
        right_total=first.calculation.total - 5,
        comment="The fee is capped.",
        acting_user=auditor,
    )
    for item in others:
        record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    conclude_sample(drawn, acting_user=auditor, comment="One of three.")
    return drawn


def told() -> list[str]:
    return [f"[{each.check}] {each}" for each in verify_everything().findings]


def test_nothing_is_found_where_nothing_was_changed(sample: AuditSample) -> None:
    verification = verify_everything()
    assert verification.findings == []
    assert verification.rows["audit samples"] == sample.size == 3


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_of_a_sample_is_found_and_named(
    sample: AuditSample, owner_connection: "psycopg.Connection[Any]", what: str
) -> None:
    statement, named = TAMPERED[what]
    tamper(owner_connection, statement)
    assert any(re.fullmatch(named, line) for line in told()), told()
