"""A second person's decision on exactly what was previewed."""

from collections.abc import Sequence
from hmac import compare_digest

from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.denied import note_denied
from audit.errors import Refused
from audit.permission import demand
from audit.step_up import Confirmation, demand_confirmation
from audit.trail import record
from remediation.events import PLAN_APPROVED, PLAN_REJECTED, PlanDecided
from remediation.models import Approval, Case, CaseRevision, Plan


class NotReady(Refused):
    """The plan does not wait for a decision."""


class OtherDigest(Refused):
    """The decision is on another digest than the plan's: it was made on something else than what would be applied."""


class OwnWork(Refused):
    """Whoever requested a plan or edited its case may not decide on it."""


class AlreadyDecided(Refused):
    """The person has decided on this plan already, otherwise."""


class NothingToApprove(Refused):
    """The plan proposes no correction."""


def approve(
    plan: Plan, digest: str, *, acting_user: User, confirmed: Confirmation, comment: str = ""
) -> Plan:
    """Approve exactly the rows that `digest` (hex) covers; with the last approval that the policy asks for the plan is approved.

    `confirmed` shows that it is `acting_user`: see `audit.step_up`. Asked twice it is one approval. Raises `NotPermitted`,
    `NotConfirmed`, `NotReady`, `OtherDigest`, `OwnWork`, `AlreadyDecided`, `NothingToApprove`.
    """
    return _decide(plan, Approval.Decision.APPROVE, digest, acting_user, confirmed, comment)


def reject(plan: Plan, digest: str, *, acting_user: User, confirmed: Confirmation, comment: str) -> Plan:
    """Say no to the plan; one no is enough. Raises what `approve` raises, and `Refused` without a `comment` that says why."""
    insist_on_comment(comment)
    return _decide(plan, Approval.Decision.REJECT, digest, acting_user, confirmed, comment)


def insist_on_comment(comment: str) -> None:
    """A rejection says why. Raises `Refused`."""
    if not comment.strip():
        raise Refused("Say why the plan is rejected: its requester needs to know what to change.")


def insist_decidable(plan: Plan, digest: str, *, acting_user: User) -> None:
    """Refuse what deciding would refuse whoever confirms it, so that nobody gives a password in vain. Raises what `approve` raises."""
    demand(acting_user, "remediation.approve_plan")
    if not plan.approvals.filter(decided_by_id=acting_user.pk).exists():
        _check(plan, digest, acting_user)


def valid_approvals(plan: Plan) -> int:
    """How many people's approvals of the plan's digest count now: not its requester's, nor an editor's of its case."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT amends_valid_approvals(%s)", [plan.pk])
        return int(cursor.fetchone()[0])


def why_not_decide(plan: Plan, user: User) -> str:
    """Why `user` may not decide on the plan, in a sentence; "" where nothing but a permission could stand against it."""
    if plan.status != Plan.Status.READY:
        return f"{plan} is {plan.get_status_display()}: only a plan that is ready can be decided on."
    if plan.requested_by_id == user.pk:
        return f"You asked for {plan} yourself: somebody else has to decide."
    if plan.case.revisions.filter(edited_by_id=user.pk).exists():
        return f"You edited {plan.case} yourself: somebody else has to decide."
    if not (plan.manifest or {}).get("proposed"):
        return f"{plan} proposes no correction: there is nothing to decide."
    return ""


def undecided_by(plans: Sequence[Plan], user: User) -> set[int]:
    """Ids of those of `plans` that wait for a decision which `user` may give, but for the permission, and has not given. Two queries."""
    edited = set(
        CaseRevision.objects.filter(case__in={plan.case_id for plan in plans}, edited_by=user).values_list(
            "case_id", flat=True
        )
    )
    decided = set(Approval.objects.filter(plan__in=plans, decided_by=user).values_list("plan_id", flat=True))
    return {
        plan.pk
        for plan in plans
        if plan.status == Plan.Status.READY
        and not plan.proposes_nothing
        and plan.requested_by_id != user.pk
        and plan.case_id not in edited
        and plan.pk not in decided
    }


def _decide(
    plan: Plan,
    decision: Approval.Decision,
    digest: str,
    acting_user: User,
    confirmed: Confirmation,
    comment: str,
) -> Plan:
    demand(acting_user, "remediation.approve_plan")
    demand_confirmation(confirmed, acting_user)
    with transaction.atomic():
        # One lock for decisions on a case and edits of it, the same one that the database's own trigger takes.
        Case.objects.select_for_update().get(pk=plan.case_id)
        plan = Plan.objects.select_for_update().select_related("case").get(pk=plan.pk)
        before = plan.approvals.filter(decided_by_id=acting_user.pk).first()
        if before is not None and before.decision == decision and plan.status != Plan.Status.SUPERSEDED:
            return plan
        if before is not None and plan.status != Plan.Status.SUPERSEDED:
            raise AlreadyDecided(f"You have decided on {plan} already: {before.get_decision_display()}.")
        _check(plan, digest, acting_user)
        Approval.objects.create(
            plan=plan, decision=decision, digest=plan.digest, decided_by_id=acting_user.pk, comment=comment
        )
        if decision == Approval.Decision.REJECT:
            plan.status = Plan.Status.REJECTED
        elif valid_approvals(plan) >= (plan.required_approvals or 1):
            plan.status = Plan.Status.APPROVED
        plan.save(update_fields=["status"])
        record(
            _EVENTS[decision],
            plan,
            PlanDecided(
                digest=digest.strip().lower(), comment=comment, status=plan.status, confirmed_by=confirmed.by
            ),
            actor=acting_user,
            reason=comment or plan.reason,
        )
    return plan


_EVENTS = {Approval.Decision.APPROVE: PLAN_APPROVED, Approval.Decision.REJECT: PLAN_REJECTED}


def _check(plan: Plan, digest: str, acting_user: User) -> None:
    reason = why_not_decide(plan, acting_user)
    if plan.status != Plan.Status.READY:
        raise NotReady(reason)
    if not (plan.manifest or {}).get("proposed"):
        raise NothingToApprove(reason)
    if reason:
        note_denied(acting_user, f"decide on own work: {plan}")
        raise OwnWork(reason)
    if plan.digest is None or not compare_digest(bytes(plan.digest).hex(), digest.strip().lower()):
        raise OtherDigest(
            f"That is not the digest of {plan}: look at the plan again, and decide on what it shows now."
        )
