"""Audit samples as plain JSON values: what the command prints."""

from fractions import Fraction
from typing import Any

from remediation.audit_sample import positions_of
from remediation.models import AuditSample, AuditSampleVerdict, Job
from remediation.recomputation import GoneItem, ItemCheck, check_items, in_english
from remediation.sample_report import percent, report_of
from transactions.money import format_amount

CHECKED_AT_A_TIME = 100
"""Corrections that are looked up and recomputed together."""


def samples_answer(job: Job) -> dict[str, Any]:
    """A job's samples, the newest first, each with what it says so far."""
    samples = job.audit_samples.select_related("drawn_by")
    return {"job": job.pk, "samples": [sample_line(sample) for sample in samples]}


def sample_line(sample: AuditSample) -> dict[str, Any]:
    """What was asked of a sample, what it says so far, and what was concluded last."""
    conclusion = sample.conclusions.select_related("concluded_by").order_by("-pk").first()
    report = report_of(sample)
    return {
        "sample": sample.pk,
        "job": sample.job_id,
        "confidence": percent(Fraction(sample.confidence)),
        "tolerable": percent(Fraction(sample.tolerable_rate)),
        "expected": percent(Fraction(sample.expected_rate)),
        "population": sample.population,
        "size": sample.size,
        "allowed_errors": sample.allowed_errors,
        "seed": sample.seed,
        "seed_chosen": sample.seed_chosen,
        "plan_digest": bytes(sample.plan_digest).hex(),
        "drawn_by": sample.drawn_by.get_username(),
        "drawn_at": sample.drawn_at.isoformat(),
        "report": report.as_json(),
        "concluded": None
        if conclusion is None
        else {
            "accepted": conclusion.accepted,
            "by": conclusion.concluded_by.get_username(),
            "at": conclusion.concluded_at.isoformat(),
            "comment": conclusion.comment,
            "out_of_date": conclusion.last_verdict_id != report.last_verdict,
        },
    }


def sample_answer(sample: AuditSample) -> dict[str, Any]:
    """A sample with all that was drawn, each checked now; `drawn_again` says whether its seed still leads to the same positions."""
    items = list(sample.items.select_related("sample"))
    newest = {
        verdict.item_id: verdict
        for verdict in AuditSampleVerdict.objects.filter(item__sample=sample)
        .order_by("item_id", "-pk")
        .distinct("item_id")
        .select_related("recorded_by")
    }
    checks = [
        check
        for start in range(0, len(items), CHECKED_AT_A_TIME)
        for check in check_items(items[start : start + CHECKED_AT_A_TIME])
    ]
    return sample_line(sample) | {
        "drawn_again": [item.position for item in items] == positions_of(sample),
        "items": [_item(check) | {"verdict": _verdict(newest.get(check.item.pk))} for check in checks],
    }


def _item(check: ItemCheck | GoneItem) -> dict[str, Any]:
    item = check.item
    placed = {
        "number": item.number,
        "position": item.position,
        "transaction": item.transaction_id,
        "leaf": bytes(item.leaf).hex(),
        "problems": [in_english(each) for each in check.problems],
    }
    if isinstance(check, GoneItem):
        return placed | {"gone": True}
    facts = check.transaction
    return placed | {
        "gone": False,
        "reference": facts.reference,
        "store": facts.store.reference,
        "currency": facts.currency,
        "scale": facts.scale,
        "before": format_amount(check.before.total, facts.scale),
        "after": format_amount(check.after.total, facts.scale),
        "difference": format_amount(check.delta, facts.scale),
        "recomputed": str(check.recomputed),
        "recomputed_total": None
        if check.amounts is None
        else format_amount(check.amounts["total"], facts.scale),
        "said": in_english(check.meaning),
        "stands": in_english(check.stands),
    }


def _verdict(verdict: AuditSampleVerdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "verdict": verdict.verdict,
        "wrong_by_smallest_units": verdict.wrong_by,
        "comment": verdict.comment,
        "by": verdict.recorded_by.get_username(),
        "at": verdict.recorded_at.isoformat(),
    }
