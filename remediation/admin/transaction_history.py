"""What plans and jobs did to one transaction, told to its page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.urls import reverse

from remediation.models import Job, JobChunk, Outcome, Plan, PlanChunk, PlanMember
from transactions.history import Happening, tells_history
from transactions.models import Calculation, Transaction
from transactions.templatetags.money import change_text, money_text


@dataclass(frozen=True)
class Move:
    """A row of a plan: from which calculation to which it moves the transaction."""

    chunk: PlanChunk
    to: Calculation
    back_from: Calculation | None


@tells_history
def corrections(transaction: Transaction, calculations: Sequence[Calculation]) -> Iterable[Happening]:
    """Proposals, what became of them, and conflicts. The number of queries does not depend on how many there are."""
    moves = list(_moves(transaction, calculations))
    finished = _finished_chunks(moves)
    outcomes = list(Outcome.objects.filter(transaction=transaction).select_related("job"))
    in_conflict = {outcome.job_id for outcome in outcomes if outcome.kind == Outcome.Kind.CONFLICT}
    for move in moves:
        yield from _told(transaction, move, finished.get(move.chunk.pk, []), in_conflict)
    for outcome in outcomes:
        yield Happening(
            outcome.recorded_at,
            f"{outcome.get_kind_display().capitalize()} in {outcome.job}: {outcome.reason}",
            link=reverse("admin:remediation_job_change", args=[outcome.job_id]),
        )


def _moves(transaction: Transaction, calculations: Sequence[Calculation]) -> Iterator[Move]:
    by_id = {each.pk: each for each in calculations}
    chunk_ids = {each.plan_chunk_id for each in calculations if each.plan_chunk_id is not None}
    chunks = (
        PlanChunk.objects.select_related("plan__revision")
        .defer("causes", "plan__manifest")
        .in_bulk(chunk_ids)
    )
    for each in calculations:
        if each.plan_chunk_id is not None:
            yield Move(chunks[each.plan_chunk_id], each, by_id.get(each.replaces_id or 0))
    members = PlanMember.objects.filter(transaction=transaction).select_related(
        "plan_chunk__plan__source_plan"
    )
    for member in members:
        if member.calculation_id in by_id:
            yield Move(member.plan_chunk, by_id[member.calculation_id], by_id.get(member.replaces_id))


def _finished_chunks(moves: list[Move]) -> dict[int, list[JobChunk]]:
    """The finished chunks of apply jobs, by plan chunk."""
    found: dict[int, list[JobChunk]] = {}
    done = JobChunk.objects.filter(
        plan_chunk__in=[move.chunk.pk for move in moves],
        job__kind=Job.Kind.APPLY,
        status=JobChunk.Status.DONE,
    ).select_related("job__requested_by")
    for chunk in done:
        found.setdefault(chunk.plan_chunk_id or 0, []).append(chunk)
    return found


def _applied_in(
    transaction: Transaction, move: Move, finished: list[JobChunk], in_conflict: set[int]
) -> JobChunk | None:
    """The job's chunk that moved the transaction; None where none did."""
    for chunk in finished:
        if chunk.job_id in in_conflict:
            continue
        first, size = chunk.first_leaf or 0, chunk.leaf_count or 0
        if size == move.chunk.proposed or first <= _leaf_number(transaction, move.chunk) < first + size:
            return chunk
    return None


def _leaf_number(transaction: Transaction, chunk: PlanChunk) -> int:
    """The row's place among its plan chunk's, which are in transaction-id order. Asked only where a chunk was split."""
    if chunk.plan.kind == Plan.Kind.APPLY:
        return Calculation.objects.filter(plan_chunk_id=chunk.pk, transaction_id__lt=transaction.pk).count()
    return PlanMember.objects.filter(plan_chunk=chunk, transaction_id__lt=transaction.pk).count()


def _told(
    transaction: Transaction, move: Move, finished: list[JobChunk], in_conflict: set[int]
) -> Iterator[Happening]:
    plan = move.chunk.plan
    link = reverse("admin:remediation_plan_change", args=[plan.pk])
    total = money_text(move.to.total, transaction.currency, transaction.scale)
    applied = _applied_in(transaction, move, finished, in_conflict)
    if plan.kind == Plan.Kind.APPLY:
        conflict = any(chunk.job_id in in_conflict for chunk in finished)
        status = (
            "applied" if applied else "left alone: it had changed since" if conflict else _never_applied(plan)
        )
        yield Happening(
            move.to.calculated_at,
            f"{plan} proposed {total} with {move.to.release.calculator} {move.to.release.version}.",
            move.to.pk,
            f"proposed by {plan}, {status}",
            link,
        )
    if applied is None or applied.finished_at is None:
        return
    difference = move.to.total - move.back_from.total if move.back_from else 0
    sentence = (
        f"{applied.job.requested_by} applied {plan}: the total became {total} "
        f"({change_text(difference, transaction.scale)})."
    )
    yield Happening(applied.finished_at, sentence, move.to.pk, _status_after(plan), link)
    if plan.kind == Plan.Kind.REVERT and move.back_from is not None:
        yield Happening(
            applied.finished_at,
            f"{plan} took plan {plan.source_plan_id} back.",
            move.back_from.pk,
            f"applied by plan {plan.source_plan_id}, taken back by plan {plan.pk}",
            link,
        )


def _status_after(plan: Plan) -> str:
    if plan.kind == Plan.Kind.APPLY:
        return f"correction, applied by plan {plan.pk}"
    if plan.kind == Plan.Kind.REVERT:
        return f"restored by plan {plan.pk}"
    return f"correction, applied again by plan {plan.pk}"


_WHY_NOT_APPLIED = {
    Plan.Status.READY: "waits for approval",
    Plan.Status.APPROVED: "approved, not applied yet",
    Plan.Status.EXECUTING: "being applied",
    Plan.Status.PREVIEWING: "being previewed",
}


def _never_applied(plan: Plan) -> str:
    return _WHY_NOT_APPLIED.get(Plan.Status(plan.status), f"never applied ({plan.get_status_display()})")
