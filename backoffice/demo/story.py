"""The demo's story: the main job through the public functions, in front of the reader, each step safe to repeat."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.errors import Refused
from audit.step_up import confirmed_by_operator
from backoffice.demo.generator import (
    CALCULATOR,
    ROLLED_BACK,
    ROLLED_FORWARD,
    UPGRADE,
    UPGRADE_OF_PAYMENTS,
)
from backoffice.demo.narration import Narrator, shown
from backoffice.demo.people import Logins
from backoffice.demo.proof import DemoDoesNotAddUp, check_applied, check_books, standing_where_they_were
from remediation.answers import apply_answer, plan_answer
from remediation.apply import start_apply
from remediation.approval import approve
from remediation.case import open_case
from remediation.lifecycle import APPLIED_PLAN, OPEN_PLAN
from remediation.models import Approval, Case, Job, Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from remediation.verify import start_verify
from transactions.calculating import calculator_for
from transactions.models import Transaction
from transactions.selection import Selection

TARGET = "2.0.0"
CHUNK_ROWS = 500
"""Small, so that even a small incident is shared out among workers and shows progress."""
REHEARSAL_COUNTRY = "SE"

MISSED = Selection(
    CALCULATOR,
    services=("payments",),
    versions=("1.9.0",),
    calculated_from=UPGRADE,
    calculated_before=UPGRADE_OF_PAYMENTS,
)
"""What `payments` calculated while it should have run 2.0.0."""
REHEARSAL = Selection(
    CALCULATOR,
    services=("payments",),
    versions=("1.9.0",),
    calculated_from=UPGRADE,
    calculated_before=UPGRADE_OF_PAYMENTS,
    countries=(REHEARSAL_COUNTRY,),
)
ROLLBACK = Selection(
    CALCULATOR,
    services=("invoicing",),
    versions=("1.8.0",),
    calculated_from=ROLLED_BACK,
    calculated_before=ROLLED_FORWARD,
)
"""What `invoicing` calculated after a rollout had put it back to 1.8.0: left to the visitor."""


@dataclass(frozen=True)
class Incident:
    """A case of the demo: what it looks at, and the words it is opened with."""

    selection: Selection
    name: str
    reason: str
    ticket: str


INCIDENTS = {
    "rehearsal": Incident(
        REHEARSAL,
        "Rehearsal in Sweden: payments was forgotten in the upgrade",
        "Try the correction on one country first, and take it back.",
        "INC-2041",
    ),
    "missed upgrade": Incident(
        MISSED,
        "payments was forgotten in the upgrade to pricing 2.0.0",
        "payments ran pricing 1.9.0 for 41 hours after checkout had 2.0.0: tax was taken on prices before discount.",
        "INC-2041",
    ),
    "rollback": Incident(
        ROLLBACK,
        "invoicing was rolled back to pricing 1.8.0",
        "A rollout put invoicing back to pricing 1.8.0 for nine hours: shipping went untaxed, and tax was taken before discount.",
        "INC-2057",
    ),
}


class Story:
    """Does the main job on the demo's incident, as its people, and tells it. Raises `DemoDoesNotAddUp` where a number is wrong.

    Celery workers must be there or coming. A story that was broken off goes on where it was.
    """

    def __init__(self, narrator: Narrator, logins: Logins) -> None:
        self._tell = narrator
        self._engineer, self._approver = logins.user("engineer"), logins.user("approver")
        settings.AMENDS_PLAN_CHUNK_ROWS = CHUNK_ROWS  # in this process, which alone cuts the demo's plans

    def run(self) -> dict[str, Any]:
        """All of it, from find to the visitor's own incident. What was done, as plain values."""
        if not self.has_begun():
            self._rehearse()
        case, plan = self._correct()
        applied = self._count_again(plan)
        self._tell.heading(
            "One more incident is left for you: the engineer previews it, and it waits for the approver"
        )
        return self._told(case, plan) | self.leave_open() | {"applied": applied, "new": True}

    def has_begun(self) -> bool:
        """Whether the correction of the main incident was asked for already, so that a rehearsal would come too late."""
        case = find_case("missed upgrade")
        return case is not None and standing_plan(case, Plan.Kind.APPLY) is not None

    def told_before(self) -> dict[str, Any] | None:
        """What `run` answered when it ran to its end in this database; None where it never did."""
        case, left = find_case("missed upgrade"), self._left_open()
        plan = None if case is None else standing_plan(case, Plan.Kind.APPLY)
        if case is None or plan is None or plan.status != Plan.Status.EXECUTED or left is None:
            return None
        return self._told(case, plan) | told_open(left) | {"new": False}

    def open_plan_is_stale(self) -> bool:
        """Whether the plan left for the visitor has waited for so long that it could not be applied any more."""
        left = self._left_open()
        return left is not None and is_stale(left)

    def leave_open(self) -> dict[str, Any]:
        """Preview the visitor's incident, again where its plan is stale, and leave it waiting for approval."""
        return told_open(self._previewed(self._case("rollback"), "Preview"))

    def _left_open(self) -> Plan | None:
        """The visitor's newest plan that came to a digest, whatever became of it."""
        case = find_case("rollback")
        return None if case is None else case.plans.exclude(digest=None).order_by("-pk").first()

    def _told(self, case: Case, plan: Plan) -> dict[str, Any]:
        return {"case": case.pk, "plan": plan.pk}

    def _count_again(self, plan: Plan) -> int:
        sums = check_applied(plan)
        applied = sum(each.applied for each in sums)
        looked_at = check_books(
            applied, {f"{each.currency}:{each.scale}": each.applied_delta for each in sums}
        )
        self._tell.done(
            f"Counted again, by SQL that shares nothing with the engine, over all {looked_at:,} transactions: {applied:,} stand elsewhere "
            "than their services had put them, and the books have changed by exactly what was approved."
        )
        return applied

    def _rehearse(self) -> None:
        """A small slice goes the whole way and back, so that everybody has seen that it can be taken back."""
        self._tell.heading(f"Rehearse on one country ({REHEARSAL_COUNTRY}), and take it back")
        case = self._case("rehearsal")
        plan = self._previewed(case, "Preview")
        self._carry_out(plan, "Apply")
        revert = self._reverting(case)
        self._carry_out(revert, "Revert")
        back, corrected = standing_where_they_were(plan)
        if back != corrected:
            raise DemoDoesNotAddUp(
                f"{corrected - back} transactions do not stand where they stood before {plan}."
            )
        changed = ", ".join(
            f"{key[:3]} {shown(money['delta'], int(key[4:]))}"
            for key, money in (plan.manifest or {}).get("money", {}).items()
        )
        self._tell.done(
            f"{corrected} corrected ({changed}), then taken back by a plan that needed its own approval: "
            f"all {back} stand where they stood before."
        )

    def _correct(self) -> tuple[Case, Plan]:
        self._tell.heading("Preview: what would change, to the unit. Nobody sees any of it yet")
        case = self._case("missed upgrade")
        plan = self._previewed(case, "Preview")
        self._tell_plan(plan)
        self._tell.heading("Approve: a second person signs the digest of exactly these rows")
        self._refuse_own_approval(plan)
        approve(
            plan,
            digest_of(plan),
            acting_user=self._approver,
            confirmed=confirmed_by_operator(self._approver),
            comment="Agrees with the release notes of 2.0.0.",
        )
        self._tell.done(f"approver approved {digest_of(plan)[:16]}…")
        self._tell.heading(
            "Apply: workers move one pointer a transaction, if it still stands where the preview saw it"
        )
        job = self._carry_out(plan, "Apply")
        self._tell.heading("Verify: everything recomputed from rows and pointers, not from counters")
        verification = self._verified(case)
        self._tell_result(plan, job, verification)
        return case, plan

    # Steps. Each does what is not done yet.

    def _case(self, name: str) -> Case:
        incident = INCIDENTS[name]
        return open_case(
            incident.selection,
            TARGET,
            reason=incident.reason,
            incident=incident.name,
            ticket=incident.ticket,
            acting_user=self._engineer,
        )

    def _previewed(self, case: Case, description: str) -> Plan:
        plan = standing_plan(case, Plan.Kind.APPLY)
        if plan is None or is_stale(plan):
            plan = request_preview(case, acting_user=self._engineer, again=True)
        return self._scanned(plan, description)

    def _reverting(self, case: Case) -> Plan:
        plan = standing_plan(case, Plan.Kind.REVERT)
        if plan is None or is_stale(plan):
            plan = request_revert(
                case, acting_user=self._engineer, reason="The rehearsal is over.", again=True
            )
        return self._scanned(plan, "Preview of the revert")

    def _scanned(self, plan: Plan, description: str) -> Plan:
        self._tell.follow(plan.jobs.get(kind=Job.Kind.PREVIEW), description)
        plan.refresh_from_db()
        if plan.status == Plan.Status.FAILED:
            raise DemoDoesNotAddUp(f"{plan} failed: {plan.failure}")
        return plan

    def _carry_out(self, plan: Plan, description: str) -> Job:
        approve(
            plan,
            digest_of(plan),
            acting_user=self._approver,
            confirmed=confirmed_by_operator(self._approver),
            comment="Checked.",
        )
        return self._tell.follow(start_apply(plan, acting_user=self._engineer), description)

    def _verified(self, case: Case) -> dict[str, Any]:
        job = case.jobs.filter(kind=Job.Kind.VERIFY, status=Job.Status.FINISHED).order_by("-pk").first()
        job = self._tell.follow(job or start_verify(case, acting_user=self._engineer), "Verify")
        result: dict[str, Any] = job.result or {}
        if result["differing"] or not result["reconciled"]:
            raise DemoDoesNotAddUp(f"{result['differing']} differ; {' '.join(result['problems'])}")
        return result

    def _refuse_own_approval(self, plan: Plan) -> None:
        """The engineer who asked for the plan tries to approve it: by the function that pages and commands use, then by SQL."""
        try:
            approve(
                plan,
                digest_of(plan),
                acting_user=self._engineer,
                confirmed=confirmed_by_operator(self._engineer),
            )
        except Refused as refused:
            self._tell.refused("engineer, who asked for it", str(refused))
        else:
            raise DemoDoesNotAddUp("Somebody could approve their own plan.")
        reason = _insert_approval(plan, self._engineer)
        self._tell.refused("the same written straight into the database", reason)

    # Words.

    def _tell_plan(self, plan: Plan) -> None:
        answer = plan_answer(plan)
        self._tell.say(
            f"{answer['scanned']:,} scanned: {answer['unchanged']:,} right already, {answer['proposed']:,} to correct, "
            f"{answer['failed']:,} failed. Nothing has changed yet."
        )
        self._tell.table(
            ["", "before", "after", "difference"],
            [
                [key[:3], *(shown(money[name], int(key[4:])) for name in ("before", "after", "delta"))]
                for key, money in (plan.manifest or {}).get("money", {}).items()
            ],
        )
        self._tell.say("Why:")
        for cause in answer["causes"][:4]:
            self._tell.say(f"{cause['count']:>7,}  {cause['cause']}")
        if others := sum(cause["count"] for cause in answer["causes"][4:]):
            self._tell.say(f"{others:>7,}  otherwise")
        self._explain(answer["causes"][0]["example"]["transaction"])
        self._tell.say(f"Digest of it all: {answer['digest']}")

    def _explain(self, transaction_id: int) -> None:
        facts = Transaction.objects.select_related("store").get(pk=transaction_id)
        explained = []
        for version in ("1.9.0", TARGET):
            explain = calculator_for(CALCULATOR, version).explain
            assert explain is not None, "pricing explains itself"
            explained.append(explain(facts.inputs, facts.scale))
        self._tell.say(
            f"For example {facts.reference} of {facts.store} ({facts.store.country}, {facts.currency}):"
        )
        self._tell.explanation(["charged (1.9.0)", f"right ({TARGET})"], explained, facts.scale)

    def _tell_result(self, plan: Plan, job: Job, verification: dict[str, Any]) -> None:
        rows = []
        for each in check_applied(plan):
            amounts = (each.previewed_delta, each.applied_delta, each.conflicts_delta)
            rows.append(
                [
                    each.currency,
                    f"{each.previewed:,}",
                    *(shown(amount, each.scale) for amount in amounts),
                ]
            )
        self._tell.table(["", "transactions", "previewed", "= applied", "+ conflicts"], rows)
        answer = apply_answer(job)
        self._tell.done(
            f"{answer['applied']:,} applied, {answer['conflicts']:,} conflicts, {answer['failed']:,} failed; "
            f"{verification['differing']} differ from pricing {TARGET} now; sums reconcile in every currency."
        )


def standing_plan(case: Case, kind: str) -> Plan | None:
    """The case's newest plan of that kind that is open or was applied."""
    return case.plans.filter(kind=kind, status__in=(*OPEN_PLAN, *APPLIED_PLAN)).order_by("-pk").first()


def is_stale(plan: Plan) -> bool:
    """Whether a plan that was not applied yet was previewed too long ago, or by other code than runs now."""
    if plan.status not in (Plan.Status.READY, Plan.Status.APPROVED):
        return False
    code = calculator_for(CALCULATOR, TARGET).code_digest
    return (plan.fresh_until or timezone.now()) <= timezone.now() or plan.calculator_digest not in ("", code)


def told_open(plan: Plan) -> dict[str, Any]:
    """The plan left for the visitor, as the demo answers it."""
    return {
        "open_case": plan.case_id,
        "open_plan": plan.pk,
        "open_status": plan.status,
        "open_digest": digest_of(plan),
    }


def digest_of(plan: Plan) -> str:
    """The digest of a sealed plan in hex, as people hand it on."""
    return bytes(plan.digest or b"").hex()


def find_case(name: str) -> Case | None:
    """The demo's case of that name in `INCIDENTS`, if it was opened."""
    return Case.objects.filter(incident=INCIDENTS[name].name, opened_by__username="engineer").first()


def _insert_approval(plan: Plan, user: User) -> str:
    """Try to insert an approval as the application, past every check in Python. What the database answers. Raises `DemoDoesNotAddUp`."""
    try:
        with transaction.atomic():
            Approval.objects.create(
                plan=plan, decision=Approval.Decision.APPROVE, digest=plan.digest, decided_by=user
            )
    except DatabaseError as error:
        return str(error).partition("\n")[0]
    raise DemoDoesNotAddUp("The database let somebody approve their own plan.")
