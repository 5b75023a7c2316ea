"""Everything in the trail that belongs to a case: about itself, its plans, its jobs, the chunks that those worked on, and audit samples."""

from collections.abc import Iterator

from django.db.models import QuerySet
from django.db.models.fields.json import KT

from audit.models import AuditEntry
from audit.threads import Branch, about, register_thread
from remediation.models import AuditSample, Job, Plan

CHUNKS = ("remediation.jobchunk", "remediation.planchunk")
"""Whose entries name their job in their data; the index auditentry_chunk_at holds them by it, in the order of time."""


def of_chunks(job: int) -> Branch:
    """The branch of the entries about a job's chunks and about the plan's chunks that it scanned."""

    def narrow(entries: "QuerySet[AuditEntry]") -> "QuerySet[AuditEntry]":
        return entries.alias(named_job=KT("data__job")).filter(subject_type__in=CHUNKS, named_job=str(job))

    return narrow


def branches(case: int) -> Iterator[Branch]:
    """The parts of the trail that belong to the case of that id, in three queries."""
    yield about("remediation.case", case)
    for plan in Plan.objects.filter(case=case).order_by("pk").values_list("pk", flat=True):
        yield about("remediation.plan", plan)
    for job in Job.objects.filter(case=case).order_by("pk").values_list("pk", flat=True):
        yield about("remediation.job", job)
        yield of_chunks(job)
    for sample in AuditSample.objects.filter(job__case=case).order_by("pk").values_list("pk", flat=True):
        yield about("remediation.auditsample", sample)


register_thread("case", branches)
