"""All that is known of one transaction: its calculations, what plans proposed for it, and what became of that."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from remediation.models import Approval, Outcome, Plan, PlanChunk
from remediation.moves import AppliedMove, applied_moves
from transactions.models import Calculation, CurrentCalculation, Transaction
from transactions.pointer_moves import MovesUnclear, PointerMove, moves_of
from transactions.templatetags.money import money_text


@dataclass(frozen=True)
class Dealings:
    """What is known of a transaction's calculations, of what plans proposed for it and of what became of that.

    `moves` are in order where all `adds_up`; else they are what plans applied, and do not lead to where it stands.
    """

    transaction: Transaction
    current: Calculation
    calculations: dict[int, Calculation]
    moves: list[PointerMove]
    adds_up: bool
    proposals: list[Calculation]
    plan_of_chunk: dict[int, Plan]
    plans: dict[int, Plan]
    approvals: dict[int, list[Approval]]
    outcomes: list[Outcome]

    def plan_that_proposed(self, proposal: Calculation) -> Plan:
        return self.plan_of_chunk[proposal.plan_chunk_id or 0]

    @property
    def applied(self) -> list[AppliedMove]:
        """What plans moved, the earliest first."""
        return [move for move in self.moves if isinstance(move, AppliedMove)]

    def money(self, amount: int) -> str:
        return money_text(amount, self.transaction.currency, self.transaction.scale)

    def who_approved(self, plan: Plan) -> str:
        """Names of those who approved: "Ben and Cleo"."""
        people = [
            name_of(each.decided_by)
            for each in self.approvals.get(plan.pk, [])
            if each.decision == Approval.Decision.APPROVE
        ]
        return get_text_list(people, _("and"))


def name_of(person: User) -> str:
    """A person as people call them."""
    return person.get_full_name() or person.get_username()


def dealings_with(transaction: Transaction) -> Dealings | None:
    """What is known of `transaction`; None where it stands on no calculation. The number of queries does not depend on how much that is,
    and of one object it is asked once: whoever wants to see what happened since reads the transaction again.
    """
    asked: dict[str, Dealings | None] = transaction.__dict__
    if "amends_dealings" not in asked:
        asked["amends_dealings"] = _read(transaction)
    return asked["amends_dealings"]


def _read(transaction: Transaction) -> Dealings | None:
    standing = (
        CurrentCalculation.objects.select_related("calculation__release")
        .filter(transaction=transaction)
        .first()
    )
    if standing is None:
        return None
    current = standing.calculation
    moves, adds_up = _moves(transaction)
    proposals = list(
        Calculation.objects.filter(transaction=transaction, batch__isnull=True)
        .select_related("release")
        .order_by("id")
    )
    calculations = {each.pk: each for each in (*proposals, current)}
    named = {move.to for move in moves} | {each.replaces_id for each in proposals if each.replaces_id}
    calculations |= Calculation.objects.select_related("release").in_bulk(named - calculations.keys())
    outcomes = (
        Outcome.objects.filter(transaction=transaction)
        .select_related("job__plan", "job__case")
        .order_by("id")
    )
    plan_of = dict(
        PlanChunk.objects.filter(pk__in={each.plan_chunk_id for each in proposals}).values_list("pk", "plan")
    )
    applied = {move.plan for move in moves if isinstance(move, AppliedMove)}
    plans = (
        Plan.objects.select_related("case", "revision")
        .defer("manifest", "policy")
        .in_bulk({*plan_of.values(), *applied})
    )
    approvals: dict[int, list[Approval]] = {}
    for each in Approval.objects.filter(plan__in=list(plans)).select_related("decided_by").order_by("id"):
        approvals.setdefault(each.plan_id, []).append(each)
    return Dealings(
        transaction,
        current,
        calculations,
        moves,
        adds_up,
        proposals,
        {chunk: plans[plan] for chunk, plan in plan_of.items()},
        plans,
        approvals,
        list(outcomes),
    )


def _moves(transaction: Transaction) -> tuple[list[PointerMove], bool]:
    try:
        return moves_of(transaction), True
    except MovesUnclear:
        return list(applied_moves([transaction.pk]).get(transaction.pk, [])), False
