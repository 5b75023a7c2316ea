"""Was this transaction right? The answer in sentences that can be read aloud, from what plans proposed and did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from audit.templatetags.reading import spoken
from remediation.dealings import Dealings, name_of
from remediation.models import Approval, Outcome, Plan, PlanChunk
from remediation.moves import AppliedMove
from transactions.models import Calculation
from transactions.selection import Selection

_NOTHING_SAID = (Plan.Status.PREVIEWING, Plan.Status.SUPERSEDED, Plan.Status.FAILED)
PLANS_LOOKED_AT = 20
"""So many of the newest previews say whether a transaction that none of them would change was looked at."""


@dataclass(frozen=True)
class Verdict:
    """Whether a transaction is right: a word or three in the tone of a badge, the answer in whole sentences, and the plans they name."""

    tone: str
    in_a_word: str
    sentences: list[str]
    plans: list[Plan] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it, to be pasted."""
        return " ".join(self.sentences)


def verdict_of(known: Dealings) -> Verdict:
    """The answer for the transaction that `known` is about."""
    if not known.adds_up:
        return _unclear()
    corrected = _what_was_corrected(known)
    waiting = _what_is_proposed(known)
    if corrected is None:
        return waiting or _what_else_is_known(known)
    if waiting is None or waiting.tone == "calm":
        return corrected
    return Verdict(
        waiting.tone,
        waiting.in_a_word,
        [*corrected.sentences, *waiting.sentences],
        list(dict.fromkeys([*corrected.plans, *waiting.plans])),
    )


def _what_was_corrected(known: Dealings) -> Verdict | None:
    """What applied plans made of it, the last of them last; None where none moved it."""
    applied = [(number, move) for number, move in enumerate(known.moves) if isinstance(move, AppliedMove)]
    if not applied:
        return None
    number, last = applied[-1]
    plan = known.plans[last.plan]
    _number, first = _first_of_row(applied)
    charged, corrected_to = known.calculations[first.replaced or 0], _standing_correction(known, applied)
    sentences = [_charged(known, charged, corrected_to)]
    plans = [known.plans[first.plan]] if first.plan != last.plan else []
    if plan.kind == Plan.Kind.REVERT:
        back = known.calculations[last.to]
        sentences += [
            _corrected_by(known, known.plans[first.plan], first),
            _(
                "That was taken back on %(when)s by plan %(plan)s, which %(people)s approved: it stands on %(amount)s again."
            )
            % {
                "when": spoken(last.at),
                "plan": plan.pk,
                "people": known.who_approved(plan),
                "amount": known.money(back.total),
            },
        ]
        verdict = Verdict("calm", _("taken back"), sentences, [*plans, plan])
    elif plan.kind == Plan.Kind.REAPPLY:
        sentences.append(
            _(
                "It was corrected, that was taken back, and on %(when)s it was applied again by plan %(plan)s, which %(people)s approved."
            )
            % {"when": spoken(last.at), "plan": plan.pk, "people": known.who_approved(plan)}
        )
        verdict = Verdict("good", _("corrected"), sentences, [*plans, plan])
    else:
        sentences.append(_corrected_by(known, plan, last))
        sentences += _corrected_before(known, first, last)
        verdict = Verdict("good", _("corrected"), sentences, [*plans, plan])
    if number < len(known.moves) - 1:
        since = known.moves[-1]
        sentences.append(
            _("Since %(when)s it stands on %(amount)s, as %(service)s calculated it anew.")
            % {
                "when": spoken(since.at),
                "amount": known.money(known.current.total),
                "service": known.current.release.service,
            }
        )
        return Verdict("calm", _("corrected, then calculated anew"), sentences, verdict.plans)
    return verdict


def _corrected_before(known: Dealings, first: AppliedMove, last: AppliedMove) -> list[str]:
    """Of an order that several plans corrected one after the other: the first of them, and whether that was taken back."""
    if first.plan == last.plan or known.plans[first.plan].kind != Plan.Kind.APPLY:
        return []
    told = {"plan": first.plan, "when": spoken(first.at)}
    if known.calculations[last.replaced or 0].is_proposal:
        return [_("Plan %(plan)s had corrected it before, on %(when)s.") % told]
    return [_("Plan %(plan)s had corrected it before, on %(when)s, and that had been taken back.") % told]


def _first_of_row(applied: Sequence[tuple[int, AppliedMove]]) -> tuple[int, AppliedMove]:
    """The first of the plans' moves that follow each other to the last without the service having calculated anew between them."""
    first = applied[-1]
    for each in reversed(applied[:-1]):
        if each[0] != first[0] - 1:
            break
        first = each
    return first


def _standing_correction(known: Dealings, applied: Sequence[tuple[int, AppliedMove]]) -> Calculation:
    """The last correction that stood, whether or not it was taken back since."""
    return next(
        known.calculations[move.to]
        for _number, move in reversed(applied)
        if known.calculations[move.to].is_proposal
    )


def _charged(known: Dealings, charged: Calculation, right: Calculation) -> str:
    difference = charged.total - right.total
    told = {
        "charged": known.money(charged.total),
        "right": known.money(right.total),
        "by": known.money(abs(difference)),
    }
    if difference > 0:
        return (
            _("This order was charged %(charged)s; it should have been %(right)s, which is %(by)s less.")
            % told
        )
    if difference < 0:
        return (
            _("This order was charged %(charged)s; it should have been %(right)s, which is %(by)s more.")
            % told
        )
    return (
        _(
            "This order was charged %(charged)s, which is the right total; some of what it is made up of was wrong."
        )
        % told
    )


def _corrected_by(known: Dealings, plan: Plan, move: AppliedMove) -> str:
    return _(
        "It was corrected on %(when)s by plan %(plan)s, which %(people)s approved (case %(case)s: %(incident)s)."
    ) % {
        "when": spoken(move.at),
        "plan": plan.pk,
        "people": known.who_approved(plan),
        "case": plan.case_id,
        "incident": plan.case.incident,
    }


def _what_is_proposed(known: Dealings) -> Verdict | None:
    """What the newest plan says that would change what it stands on now; None where there is none, or it was done and taken back."""
    for proposal in reversed(known.proposals):
        plan = known.plan_that_proposed(proposal)
        if proposal.replaces_id != known.current.pk or plan.status in _NOTHING_SAID:
            continue
        return _proposed(known, plan, proposal)
    return None


def _proposed(known: Dealings, plan: Plan, proposal: Calculation) -> Verdict | None:
    told: dict[str, Any] = {
        "plan": plan.pk,
        "case": plan.case_id,
        "now": known.money(known.current.total),
        "right": known.money(proposal.total),
        "people": known.who_approved(plan),
    }
    match plan.status:
        case Plan.Status.READY:
            text = _(
                "It stands on %(now)s. Plan %(plan)s of case %(case)s would correct it to %(right)s, and waits for approval."
            )
            tone, word = "waiting", _("waits for approval")
        case Plan.Status.APPROVED:
            text = _(
                "It stands on %(now)s. Plan %(plan)s, which %(people)s approved, will correct it to %(right)s; it is not applied yet."
            )
            tone, word = "waiting", _("approved, not corrected yet")
        case Plan.Status.EXECUTING:
            text = _(
                "It stands on %(now)s. Plan %(plan)s, which %(people)s approved, is being applied now and corrects it to %(right)s."
            )
            tone, word = "working", _("being corrected")
        case Plan.Status.REJECTED:
            return _rejected(known, plan, proposal)
        case _other if any(isinstance(move, AppliedMove) and move.plan == plan.pk for move in known.moves):
            return None  # it was applied, and taken back since
        case _other:
            text = _(
                "It stands on %(now)s. Plan %(plan)s was to correct it to %(right)s, but ended before that: it is still wrong."
            )
            tone, word = "bad", _("still wrong")
    return Verdict(tone, word, [text % told], [plan])


def _rejected(known: Dealings, plan: Plan, proposal: Calculation) -> Verdict:
    no = next(
        (each for each in known.approvals.get(plan.pk, []) if each.decision == Approval.Decision.REJECT), None
    )
    told = {
        "plan": plan.pk,
        "now": known.money(known.current.total),
        "right": known.money(proposal.total),
        "person": name_of(no.decided_by) if no else "",
        "when": spoken(no.decided_at) if no else "",
    }
    text = _("It stands on %(now)s. Plan %(plan)s would have made it %(right)s, and was rejected.")
    if no is not None:
        text = _(
            "It stands on %(now)s. Plan %(plan)s would have made it %(right)s; %(person)s rejected that on %(when)s."
        )
    return Verdict("calm", _("proposed and rejected"), [text % told], [plan])


def _what_else_is_known(known: Dealings) -> Verdict:
    """Of a transaction that no plan changed or would change: what a job said of it, or that it was looked at, or that nobody has."""
    newest = known.outcomes[-1] if known.outcomes else None
    stands = _(
        "This order was charged %(amount)s, as %(service)s calculated it with %(calculator)s %(version)s."
    ) % {
        "amount": known.money(known.current.total),
        "service": known.current.release.service,
        "calculator": known.current.release.calculator,
        "version": known.current.release.version,
    }
    if newest is not None:
        return _by_outcome(stands, newest)
    checked = _unchanged_by(known)
    if checked is not None:
        plan, when = checked
        right = _(
            "It is right: on %(when)s plan %(plan)s calculated it again, to version %(version)s, and came to the same amounts."
        ) % {
            "when": spoken(when),
            "plan": plan.pk,
            "version": plan.revision.target_version,
        }
        return Verdict("good", _("right"), [stands, right], [plan])
    return Verdict(
        "calm",
        _("not looked at"),
        [stands, _("No plan has looked at it, so that nothing says whether that is right.")],
    )


def _by_outcome(stands: str, outcome: Outcome) -> Verdict:
    job = outcome.job
    told = {"job": job.pk, "case": job.case_id, "when": spoken(outcome.recorded_at), "why": outcome.reason}
    plans = [job.plan] if job.plan is not None else []
    match outcome.kind:
        case Outcome.Kind.CONFLICT:
            text = _("Case %(case)s was to correct it, and left it alone on %(when)s. %(why)s")
            return Verdict("waiting", _("left alone"), [stands, text % told], plans)
        case Outcome.Kind.FAILED:
            text = _(
                "On %(when)s case %(case)s could not calculate it, so that nobody can say what is right yet. %(why)s"
            )
            return Verdict("bad", _("could not be calculated"), [stands, text % told], plans)
        case Outcome.Kind.EXCLUDED:
            text = _(
                "It differs from what case %(case)s takes for right, and the case leaves it out. %(why)s"
            )
            return Verdict("waiting", _("left out"), [stands, text % told], plans)
        case _other:
            text = _(
                "On %(when)s the verification of case %(case)s found it wrong: no plan corrects it yet. %(why)s"
            )
            return Verdict("bad", _("still wrong"), [stands, text % told], plans)


def _unchanged_by(known: Dealings) -> tuple[Plan, Any] | None:
    """The newest plan that calculated what it stands on again and came to the same, and when. Where a plan leaves something out, or asks
    for more than this can tell, it says nothing.
    """
    current = known.current
    plans = (
        Plan.objects.filter(kind=Plan.Kind.APPLY, retries=None, manifest__isnull=False)
        .select_related("revision", "case")
        .defer("manifest", "policy")
        .order_by("-pk")[:PLANS_LOOKED_AT]
    )
    by_id = {plan.pk: plan for plan in plans}
    chunks = PlanChunk.objects.filter(
        plan__in=list(by_id),
        release=current.release_id,
        scanned_at__isnull=False,
        through_at__gte=current.calculated_at,
    ).defer("causes", "money", "left_out_sums")
    for chunk in sorted(chunks, key=lambda chunk: -chunk.plan_id):
        plan = by_id[chunk.plan_id]
        place = (current.calculated_at, current.pk)
        after = (chunk.after_at, chunk.after_id) if chunk.after_at is not None else None
        if (
            place <= (chunk.through_at, chunk.through_id)
            and (after is None or after < place)
            and current.pk <= plan.high_water
            and not plan.revision.exclusions
            and _is_within(Selection.from_criteria(plan.revision.criteria), known)
        ):
            return plan, chunk.scanned_at
    return None


def _is_within(selection: Selection, known: Dealings) -> bool:
    """Whether a selection takes in the transaction as it stands: what only its facts tell."""
    transaction, at = known.transaction, known.current.calculated_at
    limits: Iterable[bool] = (
        not selection.calculated_from or at >= selection.calculated_from,
        not selection.calculated_before or at < selection.calculated_before,
        not selection.occurred_from or transaction.occurred_at >= selection.occurred_from,
        not selection.occurred_before or transaction.occurred_at < selection.occurred_before,
        not selection.stores or transaction.store.reference in selection.stores,
        not selection.countries or transaction.store.country in selection.countries,
        not selection.currencies or transaction.currency in selection.currencies,
        not selection.references or transaction.reference in selection.references,
        selection.total_from is None and selection.total_to is None,
    )
    return all(limits)


def _unclear() -> Verdict:
    """The answer where the moves that are known do not lead to where a transaction stands."""
    return Verdict(
        "bad",
        _("does not add up"),
        [
            _(
                "What is known to have moved this order does not lead to where it stands. Have the trail verified before saying anything."
            )
        ],
    )
