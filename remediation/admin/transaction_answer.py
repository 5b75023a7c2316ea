"""What a transaction's page says of corrections: the answer in sentences, and which cases and entries of the trail touch it."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from audit.admin.entry import subject_page
from audit.models import AuditEntry
from audit.sentence import sentence
from remediation.dealings import Dealings, dealings_with
from remediation.models import Case, Plan
from remediation.moves import AppliedMove
from remediation.verdict import verdict_of
from transactions.admin.parts import shows_on_page_of
from transactions.models import Calculation, Transaction

MOST_ENTRIES = 50


@shows_on_page_of(
    Transaction, top="remediation/transaction_answer.html", bottom="remediation/transaction_touched_by.html"
)
def answer(request: HttpRequest, transaction: Transaction) -> dict[str, Any]:
    """The verdict, and what touches the transaction."""
    if not request.user.has_perm("remediation.view_plan"):
        return {}
    known = dealings_with(transaction)
    if known is None:
        return {}
    return {
        "verdict": verdict_of(known),
        "touching_cases": _cases(known),
        "touching_entries": _entries(request, transaction, known.applied),
        "most_entries": MOST_ENTRIES,
    }


def _cases(known: Dealings) -> list[tuple[Case, list[Plan]]]:
    """The cases that looked at it, with the plans that would change it, did, or failed to."""
    cases: dict[int, tuple[Case, list[Plan]]] = {}
    plans = {plan.pk: plan for plan in known.plans.values()}
    plans |= {each.job.plan.pk: each.job.plan for each in known.outcomes if each.job.plan is not None}
    for outcome in known.outcomes:
        cases.setdefault(outcome.job.case_id, (outcome.job.case, []))
    for plan in plans.values():
        if plan.case_id in cases or plan.pk in known.plans:
            cases.setdefault(plan.case_id, (plan.case, []))[1].append(plan)
    return [
        (case, sorted(of, key=lambda plan: plan.pk))
        for case, of in sorted(cases.values(), key=lambda each: each[0].pk)
    ]


def _entries(
    request: HttpRequest, transaction: Transaction, moved: Sequence[AppliedMove]
) -> list[tuple[AuditEntry, str, str]]:
    """Entries about the transaction itself, about the imports that it came with, about what moved it and who approved that; the newest
    first, each with its sentence and the page of what it is about.
    """
    if not request.user.has_perm("audit.view_auditentry"):
        return []
    batches = Calculation.objects.filter(transaction=transaction, plan_chunk_id__isnull=True).values_list(
        "batch", flat=True
    )
    touching = (
        Q(subject_type="transactions.transaction", subject_id=transaction.pk)
        | Q(subject_type="transactions.ingestbatch", subject_id__in={*batches, transaction.batch_id})
        | Q(
            subject_type="remediation.jobchunk",
            subject_id__in={each.job_chunk for each in moved},
            event="chunk.applied",
        )
        | Q(
            subject_type="remediation.plan",
            subject_id__in={each.plan for each in moved},
            event="plan.approved",
        )
    )
    found = AuditEntry.objects.filter(touching).order_by("-occurred_at", "-id")[:MOST_ENTRIES]
    return [(entry, sentence(entry), subject_page(entry, request.user)) for entry in found]
