"""What people are refused, with the reason they read; and that asking twice is asking once."""

import pytest
from django.contrib.auth.models import User

from audit.errors import Refused
from audit.models import AuditEntry
from audit.permission import NotPermitted
from audit.step_up import confirmed_by_operator
from remediation.apply import NotApproved, Stale, Tampered, start_apply
from remediation.approval import (
    AlreadyDecided,
    NothingToApprove,
    NotReady,
    OtherDigest,
    OwnWork,
    approve,
    reject,
)
from remediation.case import ReasonMissing, open_case
from remediation.models import Approval, Case, Job, Plan
from remediation.preview import request_preview
from remediation.revert import NothingToRevert, request_revert
from remediation.runner import work
from remediation.scan import OtherCalculatorCode
from tests.conftest import UserFactory
from tests.remediation.driving import SELECTION, applied, approved, digest, opened, previewed
from tests.remediation.incident import report, totals
from tests.remediation.tampering import tamper
from transactions.calculating import TargetWithoutCode
from transactions.selection import InvalidSelection, Selection

pytestmark = pytest.mark.usefixtures("committed_db")


def test_asking_twice_gives_the_same_case_plan_job_and_approval(engineer: User, approver: User) -> None:
    report(10)
    case = opened(engineer)
    assert opened(engineer) == case
    plan = request_preview(case, acting_user=engineer)
    assert request_preview(case, acting_user=engineer) == plan
    work(plan.jobs.get().pk, worker="test")
    plan.refresh_from_db()
    approve(plan, digest(plan), acting_user=approver, confirmed=confirmed_by_operator(approver))
    approve(plan, digest(plan), acting_user=approver, confirmed=confirmed_by_operator(approver))
    assert Approval.objects.count() == 1
    job = start_apply(plan, acting_user=engineer)
    assert start_apply(plan, acting_user=engineer) == job
    told = AuditEntry.objects.filter(subject_type__startswith="remediation.").order_by("id")
    events = list(told.values_list("event", flat=True))
    assert events == [
        "case.opened",
        "plan.preview_requested",
        "chunk.scanned",
        "plan.sealed",
        "job.finished",
        "plan.approved",
        "plan.apply_started",
    ]


@pytest.mark.parametrize("role", ["support", "auditor", "approver", "administrator"])
def test_who_lacks_the_permission_opens_no_case(users: UserFactory, role: str) -> None:
    report(1)
    with pytest.raises(NotPermitted, match="open and edit cases"):
        opened(users(role))
    assert not Case.objects.exists()
    assert not AuditEntry.objects.filter(subject_type__startswith="remediation.").exists()


def test_who_lacks_the_permission_neither_approves_nor_applies(engineer: User, users: UserFactory) -> None:
    report(2)
    plan = previewed(engineer)
    for role in ("engineer", "support", "auditor", "administrator"):
        with pytest.raises(NotPermitted):
            approve(
                plan,
                digest(plan),
                acting_user=users(role, name=f"other-{role}"),
                confirmed=confirmed_by_operator(users(role, name=f"other-{role}")),
            )
    approved(plan, users("approver"))
    for role in ("approver", "support", "auditor", "administrator"):
        with pytest.raises(NotPermitted):
            start_apply(plan, acting_user=users(role, name=f"other-{role}"))
    assert not Job.objects.filter(kind="apply").exists()


def test_a_requester_who_may_approve_still_may_not_approve_their_own(engineer: User, approver: User) -> None:
    report(2)
    engineer.groups.add(*approver.groups.all())
    plan = previewed(User.objects.get(pk=engineer.pk))
    with pytest.raises(OwnWork, match="somebody else"):
        approve(
            plan,
            digest(plan),
            acting_user=User.objects.get(pk=engineer.pk),
            confirmed=confirmed_by_operator(User.objects.get(pk=engineer.pk)),
        )
    assert not Approval.objects.exists()


def test_a_case_needs_a_reason_a_selection_that_exists_and_a_target_with_code(engineer: User) -> None:
    report(1)
    with pytest.raises(ReasonMissing):
        opened(engineer, reason="  ")
    with pytest.raises(InvalidSelection, match=r"payments · fee 1\.0\.0"):
        open_case(Selection("fee", services=("nobody",)), "2.0.0", reason="x", acting_user=engineer)
    case = opened(engineer, target="9.9.9")
    with pytest.raises(TargetWithoutCode, match=r"fee 2\.0\.0"):
        request_preview(case, acting_user=engineer)
    assert not Plan.objects.exists()


def test_an_unapproved_a_rejected_and_a_superseded_plan_are_not_applied(
    engineer: User, approver: User
) -> None:
    ids = report(5)
    plan = previewed(engineer)
    with pytest.raises(NotApproved, match="ready for approval"):
        start_apply(plan, acting_user=engineer)
    approved(plan, approver)
    again = request_preview(plan.case, acting_user=engineer, again=True)
    assert again != plan
    with pytest.raises(NotApproved, match="superseded"):
        start_apply(plan, acting_user=engineer)
    work(again.jobs.get().pk, worker="test")
    again.refresh_from_db()
    with pytest.raises(NotReady, match="superseded"):
        approve(plan, digest(plan), acting_user=approver, confirmed=confirmed_by_operator(approver))
    with pytest.raises(Refused, match="Say why"):
        reject(
            again, digest(again), acting_user=approver, confirmed=confirmed_by_operator(approver), comment=""
        )
    reject(
        again,
        digest(again),
        acting_user=approver,
        confirmed=confirmed_by_operator(approver),
        comment="Not the right window.",
    )
    with pytest.raises(NotApproved, match="rejected"):
        start_apply(again, acting_user=engineer)
    assert totals(ids) == [1010, 1011, 1012, 1013, 1014]
    assert AuditEntry.objects.get(event="plan.rejected").reason == "Not the right window."


def test_a_decision_is_on_the_digest_that_was_shown(engineer: User, approver: User) -> None:
    report(2)
    plan = previewed(engineer)
    with pytest.raises(OtherDigest):
        approve(plan, "00" * 32, acting_user=approver, confirmed=confirmed_by_operator(approver))
    approve(
        plan, digest(plan).upper() + "\n", acting_user=approver, confirmed=confirmed_by_operator(approver)
    )
    with pytest.raises(AlreadyDecided):
        reject(
            plan,
            digest(plan),
            acting_user=approver,
            confirmed=confirmed_by_operator(approver),
            comment="On second thoughts.",
        )


def test_a_plan_that_proposes_nothing_cannot_be_approved(engineer: User, approver: User) -> None:
    report(3)
    plan = previewed(engineer, target="1.0.0")
    assert plan.manifest["unchanged"] == 3
    with pytest.raises(NothingToApprove):
        approve(plan, digest(plan), acting_user=approver, confirmed=confirmed_by_operator(approver))


def test_a_stale_plan_is_not_applied(engineer: User, approver: User, settings) -> None:  # type: ignore[no-untyped-def]
    settings.AMENDS_APPROVAL_POLICY = {"fresh_hours": 0}
    ids = report(3)
    plan = approved(previewed(engineer), approver)
    with pytest.raises(Stale, match="Preview again"):
        start_apply(plan, acting_user=engineer)
    assert totals(ids) == [1010, 1011, 1012]


def test_large_plans_need_as_many_approvals_as_the_policy_says(
    engineer: User, users: UserFactory, settings
) -> None:  # type: ignore[no-untyped-def]
    settings.AMENDS_APPROVAL_POLICY = {"approvals": 1, "approvals_for_large": 2, "large_count": 2}
    report(3)
    plan = approved(previewed(engineer), users("approver"))
    assert plan.status == Plan.Status.READY
    with pytest.raises(NotApproved):
        start_apply(plan, acting_user=engineer)
    assert approved(plan, users("approver", name="second")).status == Plan.Status.APPROVED


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE transactions_calculation SET amounts = '{\"total\": 1}', total = 1 WHERE plan_chunk_id IS NOT NULL",
        "UPDATE transactions_calculation SET amounts = amounts || '{\"fee\": 9}' WHERE plan_chunk_id IS NULL",
        "UPDATE transactions_transaction SET facts_hash = sha256('x') WHERE reference = 'o-1'",
        "UPDATE remediation_planchunkleaves SET leaves = sha256('x') || sha256('y') || sha256('z')",
        "UPDATE remediation_planchunk SET money = '{}'",
        "UPDATE remediation_plan SET manifest = manifest || '{\"proposed\": 1}'",
        "DELETE FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL",
    ],
)
def test_a_tampered_plan_is_not_applied(
    engineer: User, approver: User, owner_connection, tampering: str
) -> None:  # type: ignore[no-untyped-def]
    ids = report(3)
    plan = approved(previewed(engineer), approver)
    tamper(owner_connection, tampering)
    with pytest.raises(Tampered):
        start_apply(plan, acting_user=engineer)
    assert not Job.objects.filter(kind="apply").exists()
    assert totals(ids) == [1010, 1011, 1012]


def test_a_large_tampered_plan_stops_at_the_tampered_chunk(
    engineer: User,
    approver: User,
    owner_connection,
    settings,  # type: ignore[no-untyped-def]
) -> None:
    settings.AMENDS_CHECK_ROWS_BEFORE_APPLY = 0
    settings.AMENDS_PLAN_CHUNK_ROWS = 2
    ids = report(6)
    plan = approved(previewed(engineer), approver)
    tamper(
        owner_connection,
        "UPDATE transactions_calculation SET amounts = '{\"total\": 1}', total = 1"
        f" WHERE plan_chunk_id IS NOT NULL AND transaction_id = {ids[2]}",
    )
    job = applied(plan, engineer)
    plan.refresh_from_db()
    assert (job.status, plan.status) == (Job.Status.FAILED, Plan.Status.STOPPED)
    assert "not the ones that were previewed and approved" in job.failure
    assert totals(ids)[2:4] == [1012, 1013]
    assert AuditEntry.objects.filter(event="plan.stopped").count() == 1
    revert = request_revert(plan.case, acting_user=engineer)
    work(revert.jobs.get().pk, worker="test")
    revert.refresh_from_db()
    assert revert.status == Plan.Status.READY, revert.failure
    applied(approved(revert, approver), engineer)
    assert totals(ids) == [1010, 1011, 1012, 1013, 1014, 1015]


def test_other_calculator_code_than_was_previewed_applies_nothing(
    engineer: User, approver: User, owner_connection
) -> None:  # type: ignore[no-untyped-def]
    report(2)
    case = opened(engineer)
    plan = request_preview(case, acting_user=engineer)
    tamper(owner_connection, "UPDATE remediation_plan SET calculator_digest = repeat('0', 64)")
    work(plan.jobs.get().pk, worker="test")
    plan.refresh_from_db()
    assert plan.status == Plan.Status.FAILED
    assert OtherCalculatorCode.__name__ in plan.failure


def test_there_is_nothing_to_revert_before_anything_was_applied(engineer: User) -> None:
    report(2)
    plan = previewed(engineer)
    with pytest.raises(NothingToRevert):
        request_revert(plan.case, acting_user=engineer)
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY


def test_a_plan_is_taken_back_once(engineer: User, approver: User) -> None:
    report(2)
    plan = approved(previewed(engineer), approver)
    applied(plan, engineer)
    revert = request_revert(plan.case, acting_user=engineer)
    assert request_revert(plan.case, acting_user=engineer) == revert
    work(revert.jobs.get().pk, worker="test")
    revert.refresh_from_db()
    applied(approved(revert, approver), engineer)
    with pytest.raises(NothingToRevert):
        request_revert(plan.case, acting_user=engineer)


def test_an_unknown_calculator_of_the_selection_is_refused(engineer: User) -> None:
    report(1)
    with pytest.raises(InvalidSelection):
        open_case(Selection("nothing"), "1.0.0", reason="x", acting_user=engineer)
    assert SELECTION.to_criteria() == {"calculator": "fee", "services": ["payments"], "versions": ["1.0.0"]}
