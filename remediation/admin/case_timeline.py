"""A case's life, told from the trail: from opened to verified or taken back, what its chunks did added up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import BigIntegerField, Count, Max, Min, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.models import AuditEntry
from audit.sentence import sentence
from remediation.exclusions import Exclusions
from remediation.models import AuditSample, Case, Job, Plan
from remediation.trail_of_a_case import CHUNKS
from transactions.selection import Selection
from transactions.templatetags.money import count

MOST_TOLD = 200
"""Entries that a page tells, the newest; the trail has all. What chunks did is one line for each job and kind, however many there were."""
_SUMMED = ("scanned", "proposed", "failed", "left_out", "applied", "conflicts")


@dataclass(frozen=True)
class Step:
    """One line of the timeline. `tone` is a badge's, "" for none; `until` is when the last of several ended."""

    at: datetime
    text: str
    link: str
    reason: str = ""
    tone: str = ""
    until: datetime | None = None


@dataclass(frozen=True)
class Timeline:
    """A case's steps, the earliest first; `more` where only the newest are told."""

    steps: list[Step]
    more: bool


def timeline_of(case: Case, plans: Sequence[Plan]) -> Timeline:
    """What happened to `case`, whose plans are known already. The number of queries does not depend on how much there was."""
    jobs = {job.pk: job for job in case.jobs.defer("result")}
    samples = AuditSample.objects.filter(job__in=list(jobs)).values_list("pk", flat=True)
    about = (
        Q(subject_type="remediation.case", subject_id=case.pk)
        | Q(subject_type="remediation.plan", subject_id__in=[plan.pk for plan in plans])
        | Q(subject_type="remediation.job", subject_id__in=list(jobs))
        | Q(subject_type="remediation.auditsample", subject_id__in=list(samples))
    )
    newest = list(AuditEntry.objects.filter(about).order_by("-occurred_at", "-id")[: MOST_TOLD + 1])
    told = [_step(entry, case) for entry in newest[:MOST_TOLD]]
    added_up = [step for step in _of_chunks(case, jobs) if len(newest) <= MOST_TOLD or step.at >= told[-1].at]
    return Timeline(sorted([*told, *added_up], key=lambda step: step.at), len(newest) > MOST_TOLD)


def _step(entry: AuditEntry, case: Case) -> Step:
    tone, addition = _MEANING.get(entry.event, _NOTHING)(entry.data)
    # On its own page a case needs no name.
    words = (
        sentence(entry).replace(str(case)[:254], _("the case"))
        if entry.subject_id == case.pk
        else sentence(entry)
    )
    return Step(
        entry.occurred_at,
        f"{words}{addition}.",
        reverse("admin:audit_auditentry_change", args=[entry.pk]),
        _said(entry, case),
        tone,
    )


def _said(entry: AuditEntry, case: Case) -> str:
    """What a person said at that step: entries of a plan and its jobs repeat why it was asked for, or why the case was opened."""
    if entry.event == "plan.preview_requested":
        return "" if entry.reason == case.reason else entry.reason
    if entry.event in ("plan.approved", "plan.rejected"):
        return str(entry.data["comment"])
    return entry.reason if entry.event in _REASONED else ""


def _of_chunks(case: Case, jobs: dict[int, Job]) -> Iterator[Step]:
    sums = {name: Sum(Cast(KT(f"data__{name}"), BigIntegerField()), default=0) for name in _SUMMED}
    groups = (
        AuditEntry.objects.alias(named_job=KT("data__job"))
        .filter(subject_type__in=CHUNKS, named_job__in=[str(pk) for pk in jobs])
        .order_by()
        .values("event", job=KT("data__job"))
        .annotate(chunks=Count("*"), first=Min("occurred_at"), last=Max("occurred_at"), **sums)
    )
    found: Iterator[dict[str, Any]] = (dict(each) for each in groups)
    for group in found:
        words = _CHUNKS.get(group["event"])
        if words is None:
            continue
        query = urlencode({"case": case.pk, "event": group["event"]})
        yield Step(
            group["first"],
            f"{jobs[int(group['job'])]}: {words(group)}.",
            f"{reverse('admin:audit_auditentry_changelist')}?{query}",
            until=group["last"] if group["chunks"] > 1 else None,
            tone="bad" if group["event"] == "chunk.quarantined" else "",
        )


def _scanned(group: dict[str, Any]) -> str:
    clauses = [
        ngettext("%(n)s chunk scanned", "%(n)s chunks scanned", group["chunks"]) % _n(group["chunks"]),
        ngettext("%(n)s row", "%(n)s rows", group["scanned"]) % _n(group["scanned"]),
        _("%(n)s to correct") % _n(group["proposed"]),
    ]
    if group["left_out"]:
        clauses.append(_("%(n)s left out") % _n(group["left_out"]))
    if group["failed"]:
        clauses.append(_("%(n)s could not be calculated") % _n(group["failed"]))
    return ", ".join(clauses)


def _applied(group: dict[str, Any]) -> str:
    clauses = [
        ngettext("%(n)s chunk applied", "%(n)s chunks applied", group["chunks"]) % _n(group["chunks"]),
        ngettext("%(n)s transaction moved", "%(n)s transactions moved", group["applied"])
        % _n(group["applied"]),
    ]
    if group["conflicts"]:
        clauses.append(
            ngettext("%(n)s conflict left alone", "%(n)s conflicts left alone", group["conflicts"])
            % _n(group["conflicts"])
        )
    return ", ".join(clauses)


def _n(number: int) -> dict[str, str]:
    return {"n": count(number)}


_CHUNKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "chunk.scanned": _scanned,
    "chunk.applied": _applied,
    "chunk.split": lambda group: (
        ngettext("%(n)s chunk split in two", "%(n)s chunks split in two", group["chunks"])
        % _n(group["chunks"])
    ),
    "chunk.quarantined": lambda group: (
        ngettext("%(n)s row quarantined", "%(n)s rows quarantined", group["chunks"]) % _n(group["chunks"])
    ),
    "lease.reclaimed": lambda group: (
        ngettext(
            "%(n)s chunk taken back from lost workers",
            "%(n)s chunks taken back from lost workers",
            group["chunks"],
        )
        % _n(group["chunks"])
    ),
}

_REASONED = frozenset(
    {
        "case.opened",
        "case.edited",
        "case.commented",
        "job.pausing",
        "job.resumed",
        "job.cancelling",
        "job.gate_failed",
        "job.tuned",
        "sample.verdict_recorded",
        "sample.concluded",
    }
)

Meaning = Callable[[dict[str, Any]], tuple[str, str]]
"""Takes an entry's data, and says the tone of the step and what is added to its sentence."""


def _toned(tone: str) -> Meaning:
    return lambda data: (tone, f": {data['failure']}".rstrip(".") if data.get("failure") else "")


def _sealed(data: dict[str, Any]) -> tuple[str, str]:
    words = ngettext(
        "%(n)s correction to decide on", "%(n)s corrections to decide on", data["proposed"]
    ) % _n(data["proposed"])
    return "", f": {words}"


def _edited(data: dict[str, Any]) -> tuple[str, str]:
    words = _("it looks at %(selection)s, is to be as of %(version)s, and leaves out %(left_out)s") % {
        "selection": Selection.from_criteria(data["criteria"]),
        "version": data["target_version"],
        "left_out": Exclusions.from_json(data["exclusions"]),
    }
    return "", f": {words}"


def _verified(data: dict[str, Any]) -> tuple[str, str]:
    left_out = (
        ngettext(", %(n)s is left out", ", %(n)s are left out", data["excluded"]) % _n(data["excluded"])
        if data.get("excluded")
        else ""
    )
    if not data["reconciled"]:
        return "bad", ": " + _("it does not add up")
    if data["differing"]:
        differing = ngettext(
            "everything adds up, %(n)s still differs",
            "everything adds up, %(n)s still differ",
            data["differing"],
        ) % _n(data["differing"])
        return "waiting", f": {differing}{left_out}"
    return "good", ": " + _("everything adds up, and nothing is left") + left_out


_NOTHING = _toned("")
_MEANING: dict[str, Meaning] = {
    "case.edited": _edited,
    "plan.sealed": _sealed,
    "plan.approved": _toned("good"),
    "plan.rejected": _toned("bad"),
    "plan.executed": _toned("good"),
    "plan.stopped": _toned("bad"),
    "plan.failed": _toned("bad"),
    "job.failed": _toned("bad"),
    "job.gate_failed": _toned("waiting"),
    "job.paused": _toned("waiting"),
    "job.cancelled": _toned("bad"),
    "case.verified": _verified,
}
