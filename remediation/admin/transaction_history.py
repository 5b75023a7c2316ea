"""What plans and jobs did to one transaction, told to its page."""

from collections.abc import Iterable, Iterator, Sequence

from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from remediation.dealings import Dealings, dealings_with
from remediation.models import Outcome, Plan
from remediation.moves import AppliedMove
from transactions.history import Happening, tells_history
from transactions.models import Calculation, Transaction
from transactions.templatetags.money import change_text


@tells_history
def corrections(transaction: Transaction, calculations: Sequence[Calculation]) -> Iterable[Happening]:
    """Proposals, what became of them, and conflicts. The number of queries does not depend on how many there are."""
    known = dealings_with(transaction)
    if known is None:
        return
    shown = {each.pk for each in calculations}
    for proposal in known.proposals:
        if proposal.pk in shown:
            yield _proposed(known, proposal)
    for move in known.applied:
        if move.to in shown:
            yield from _moved(known, move)
    for outcome in known.outcomes:
        yield Happening(
            outcome.recorded_at,
            _("%(kind)s in %(job)s: %(reason)s")
            % {
                "kind": capfirst(outcome.get_kind_display()),
                "job": outcome.job,
                "reason": outcome.reason,
            },
            link=reverse("admin:remediation_job_change", args=[outcome.job_id]),
        )


def _proposed(known: Dealings, proposal: Calculation) -> Happening:
    plan = known.plan_that_proposed(proposal)
    applied = any(move.plan == plan.pk for move in known.applied)
    conflict = any(
        each.kind == Outcome.Kind.CONFLICT and each.job.plan_id == plan.pk for each in known.outcomes
    )
    told = {
        "plan": plan,
        "total": known.money(proposal.total),
        "calculator": proposal.release.calculator,
        "version": proposal.release.version,
    }
    return Happening(
        proposal.calculated_at,
        _("%(plan)s proposed %(total)s with %(calculator)s %(version)s.") % told,
        proposal.pk,
        _status_of_proposal(plan, applied=applied, conflict=conflict),
        _page_of(plan),
    )


def _moved(known: Dealings, move: AppliedMove) -> Iterator[Happening]:
    plan, to = known.plans[move.plan], known.calculations[move.to]
    replaced = known.calculations[move.replaced] if move.replaced is not None else None
    told = {
        "person": move.by,
        "plan": plan,
        "total": known.money(to.total),
        "change": change_text(to.total - replaced.total if replaced else 0, known.transaction.scale),
    }
    sentence = _("%(person)s applied %(plan)s: the total became %(total)s (%(change)s).") % told
    yield Happening(move.at, sentence, to.pk, _status_after(plan), _page_of(plan))
    if plan.kind == Plan.Kind.REVERT and replaced is not None:
        numbers = {"source": plan.source_plan_id, "plan": plan.pk}
        yield Happening(
            move.at,
            _("Plan %(plan)s took plan %(source)s back.") % numbers,
            replaced.pk,
            _("applied by plan %(source)s, taken back by plan %(plan)s") % numbers,
            _page_of(plan),
        )


def _page_of(plan: Plan) -> str:
    return reverse("admin:remediation_plan_change", args=[plan.pk])


def _status_after(plan: Plan) -> str:
    if plan.kind == Plan.Kind.APPLY:
        return _("correction, applied by plan %(plan)s") % {"plan": plan.pk}
    if plan.kind == Plan.Kind.REVERT:
        return _("restored by plan %(plan)s") % {"plan": plan.pk}
    return _("correction, applied again by plan %(plan)s") % {"plan": plan.pk}


def _status_of_proposal(plan: Plan, *, applied: bool, conflict: bool) -> str:
    if applied:
        return _("proposed by %(plan)s, applied") % {"plan": plan}
    if conflict:
        return _("proposed by %(plan)s, left alone: it had changed since") % {"plan": plan}
    match plan.status:
        case Plan.Status.READY:
            return _("proposed by %(plan)s, waits for approval") % {"plan": plan}
        case Plan.Status.APPROVED:
            return _("proposed by %(plan)s, approved, not applied yet") % {"plan": plan}
        case Plan.Status.EXECUTING:
            return _("proposed by %(plan)s, being applied") % {"plan": plan}
        case Plan.Status.PREVIEWING:
            return _("proposed by %(plan)s, being previewed") % {"plan": plan}
        case _other:
            return _("proposed by %(plan)s, never applied (%(status)s)") % {
                "plan": plan,
                "status": plan.get_status_display(),
            }
