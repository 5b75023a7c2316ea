"""A verification finds edits of cases and comments that were changed, put in or taken out behind the application's back."""

from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Group, User

from audit.verification import verify_everything
from remediation.case import edit_case
from remediation.comment import comment_on
from remediation.exclusions import Exclusions
from remediation.models import Plan
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed_with_left_out
from tests.remediation.tampering import assert_tampering_is_found, tamper

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def edited(engineer: User, settings: Any) -> Plan:
    """A plan of a case that leaves a cause out, with a comment; it needs two approvals."""
    settings.AMENDS_APPROVAL_POLICY = {"approvals": 2, "approvals_for_large": 2}
    plan = previewed_with_left_out(engineer, editor=engineer)
    comment_on(plan.case, "Agreed with the shop.", acting_user=engineer)
    return plan


def test_an_approval_by_who_edited_the_case_counts_for_nothing(
    engineer: User, approver: User, users: UserFactory, owner_connection: "psycopg.Connection[Any]"
) -> None:
    editor = users("engineer", name="editor")
    plan = previewed_with_left_out(engineer, editor=editor)
    applied(approved(plan, approver), engineer)
    approver.groups.add(Group.objects.get(name="engineer"))
    later = Exclusions(stores=("s-1",))
    edit_case(plan.case, reason="Later.", acting_user=User.objects.get(pk=approver.pk), leave_out=later)
    assert [str(each) for each in verify_everything().findings] == []
    tamper(owner_connection, f"UPDATE remediation_approval SET decided_by_id = {editor.pk}")
    found = [str(each) for each in verify_everything().findings]
    assert f"{plan}: was applied with 0 approvals by others and needed 1." in found


TAMPERED: dict[str, tuple[str, str]] = {
    "what a case leaves out": (
        """UPDATE remediation_caserevision SET exclusions = '{"stores": ["s-1"]}' WHERE number = 2""",
        r"\[plans and approvals\] Case \d+, revision 2: its editor, criteria, target or what it leaves out",
    ),
    "the exclusions of a case as it was opened": (
        """UPDATE remediation_caserevision SET exclusions = '{"stores": ["s-1"]}' WHERE number = 1""",
        r"\[plans and approvals\] Case \d+: its reason, ticket, opener",
    ),
    "an edit nobody made": (
        "INSERT INTO remediation_caserevision (case_id, number, criteria, exclusions, target_version, edited_by_id)"
        " SELECT case_id, 3, criteria, exclusions, target_version, edited_by_id FROM remediation_caserevision WHERE number = 2",
        r"\[plans and approvals\] Case \d+, revision 3: no entry of the trail tells of it",
    ),
    "an edit taken out": (
        "UPDATE remediation_caserevision SET number = 5 WHERE number = 2",
        r"\[plans and approvals\] Case \d+, revision 2: is gone; entry \d+ \(case.edited\)",
    ),
    "how many approvals a plan needs": (
        "UPDATE remediation_plan SET required_approvals = 1 WHERE status = 'ready'",
        r"\[plans and approvals\] Plan \d+ \(apply\): its policy asks for 2 approvals, and it is said to need 1",
    ),
    "the policy that a plan was previewed under": (
        "UPDATE remediation_plan SET policy = policy || '{\"approvals\": 1}' WHERE status = 'ready'",
        r"\[plans and approvals\] Plan \d+ \(apply\): itself, its case or its chunks are not what its manifest says \(policy\)",
    ),
    "how many rows a plan left out": (
        "UPDATE remediation_planchunk SET left_out = left_out - 1, scanned = scanned - 1 WHERE left_out > 0",
        r"\[plans and approvals\] Plan \d+ \(apply\): itself, its case or its chunks are not what its manifest says",
    ),
    "the money of what a plan left out": (
        "UPDATE remediation_planchunk SET left_out_sums = jsonb_set(left_out_sums, '{money,USD:2,delta}', '-1') WHERE left_out > 0",
        r"\[plans and approvals\] Plan \d+ \(apply\): itself, its case or its chunks are not what its manifest says",
    ),
    "a comment": (
        "UPDATE remediation_casecomment SET text = 'Refused by the shop.'",
        r"\[plans and approvals\] Case \d+, comment \d+: is not what entry \d+ of the trail says",
    ),
    "a comment deleted": (
        "DELETE FROM remediation_casecomment",
        r"\[plans and approvals\] Case \d+, comment \d+: is not what entry \d+ of the trail says",
    ),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_tampered_with_is_found_and_named(
    kind: str, edited: Plan, owner_connection: "psycopg.Connection[Any]"
) -> None:
    assert_tampering_is_found(owner_connection, *TAMPERED[kind])
