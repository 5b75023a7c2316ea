"""Why a plan's rows differ: its causes, whether they are proved, and each explained by examples and a sample."""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from remediation.admin.actions import newest_entry
from remediation.admin.plan_summary import CauseRow, Sum, cause_rows, causes_of
from remediation.cause_proof import (
    SAMPLE_SIZE,
    Proof,
    example_proposals,
    proof_of,
    prove_causes,
    prove_sample,
)
from remediation.causes import parts_of
from remediation.models import Plan
from transactions.explanation import Comparison, explain_all, side_by_side
from transactions.models import Transaction

if TYPE_CHECKING:
    from remediation.admin.plan import PlanAdmin

MOST_CAUSES = 30
"""Causes that a plan's page lists and proves, the most frequent; a cause is what changes which way, so that there are seldom more."""


@dataclass(frozen=True)
class ExplainedExample:
    """One of a cause's examples, calculated line by line before and after."""

    transaction: Transaction
    comparison: Comparison


@dataclass(frozen=True)
class ProvedCause:
    """A cause as the page lists it; `proof` is None as long as nobody has asked."""

    row: CauseRow
    proof: Proof | None


@dataclass(frozen=True)
class CauseMoney:
    """What a cause's totals change by in one currency, and the largest single change (None where it was not kept); smallest units."""

    currency: str
    scale: int
    delta: int
    largest: int | None


def listed_causes(plan: Plan, *, prove: bool) -> dict[str, Any]:
    """The plan's causes as `plan_causes.html` lists them, with what their examples prove where that is asked for."""
    merged = causes_of(plan)
    shown = merged[:MOST_CAUSES]
    proofs = prove_causes(plan, shown) if prove else {}
    rows = cause_rows(plan, shown)
    return {
        "causes": rows,
        "listed_causes": [ProvedCause(row, proofs.get(row.cause)) for row in rows],
        "more_causes": len(merged) - len(shown),
        "proving": not prove and any(row.can_be_explained for row in rows),
    }


def causes_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """What the examples of a plan's causes prove, for the cells of a page that lists them already."""

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        plan = model_admin.subject(request, pk)
        return TemplateResponse(request, "remediation/plan_proofs.html", listed_causes(plan, prove=True))

    return view


def cause_view(model_admin: "PlanAdmin") -> Callable[..., HttpResponse]:
    """The page of one cause: `?cause=tax down, total down`, and with `&sample=1` a random sample of its rows, `&seed=…` the same again."""

    @require_safe
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        plan = model_admin.subject(request, pk)
        name = request.GET.get("cause", "")
        cause = next((each for each in causes_of(plan) if each["cause"] == name and parts_of(name)), None)
        if cause is None:
            raise Http404(f"{plan} has no such cause.")
        (row,) = cause_rows(plan, [cause])
        examples = (
            [] if "sample" in request.GET and request.headers.get("HX-Request") else _explained(plan, cause)
        )
        sample = prove_sample(plan, name, seed=_seed(request)) if "sample" in request.GET else None
        context = model_admin.admin_site.each_context(request) | {
            "opts": model_admin.opts,
            "title": row.in_words,
            "subject": plan,
            "newest_entry": newest_entry(),
            "row": row,
            "money": [
                CauseMoney(each.currency, each.scale, each.amount, _largest(row, each)) for each in row.delta
            ],
            "examples": examples,
            "proof": proof_of(each.comparison.before for each in examples if each.comparison.before),
            "sample": sample,
            "low_percent": floor(sample.share.low * 100) if sample and sample.share else None,
            "sample_size": min(SAMPLE_SIZE, row.count),
        }
        part = sample is not None and request.headers.get("HX-Request")
        template = "remediation/cause_sample.html" if part else "remediation/plan_cause.html"
        return TemplateResponse(request, template, context)

    return view


def _explained(plan: Plan, cause: dict[str, Any]) -> list[ExplainedExample]:
    proposals = example_proposals(plan, [cause])
    found = [proposals[known] for known, _, _ in cause["examples"] if known in proposals]
    pairs = [(each, each.replaces) for each in found if each.replaces is not None]
    told = {
        each.calculation.pk: each
        for each in explain_all([calculation for after, before in pairs for calculation in (before, after)])
    }
    return [
        ExplainedExample(after.transaction, side_by_side(told[before.pk], told[after.pk]))
        for after, before in pairs
    ]


def _largest(row: CauseRow, of: Sum) -> int | None:
    return next(
        (each.amount for each in row.largest if (each.currency, each.scale) == (of.currency, of.scale)), None
    )


def _seed(request: HttpRequest) -> int | None:
    given = request.GET.get("seed", "")
    if not given:
        return None
    if not given.isdecimal() or len(given) > 10:
        raise Http404(_("“%(seed)s” is no seed: it is a whole number.") % {"seed": given})
    return int(given)
