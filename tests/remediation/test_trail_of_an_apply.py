"""What the trail says of an applied chunk: which rows, and which of them were conflicts."""

from datetime import timedelta
from hashlib import sha256

import pytest

from audit.models import AuditEntry
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import START, recalculate, report

pytestmark = pytest.mark.usefixtures("committed_db")


def test_the_entry_names_the_range_and_covers_which_transactions_were_conflicts(users: UserFactory) -> None:
    engineer, approver = users("engineer"), users("approver")
    ids = report(5)
    plan = approved(previewed(engineer), approver)
    for each in (ids[3], ids[1]):
        recalculate(each, fee_percent=5, at=START + timedelta(days=1))
    applied(plan, engineer)
    data = AuditEntry.objects.get(event="chunk.applied").data
    assert (data["first_leaf"], data["leaf_count"], data["applied"], data["conflicts"]) == (0, 5, 3, 2)
    conflicting = b"".join(each.to_bytes(8, "big") for each in (ids[1], ids[3]))
    assert data["conflicts_digest"] == sha256(conflicting).hexdigest()


def test_without_conflicts_their_digest_is_empty(users: UserFactory) -> None:
    engineer, approver = users("engineer"), users("approver")
    report(2)
    applied(approved(previewed(engineer), approver), engineer)
    data = AuditEntry.objects.get(event="chunk.applied").data
    assert (data["leaf_count"], data["conflicts"], data["conflicts_digest"]) == (2, 0, "")
