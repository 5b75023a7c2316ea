"""A job's page, with its progress as it goes, and the list of all jobs."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.admin import ReadOnlyAdmin
from audit.templatetags.reading import moment
from remediation.admin.badge import JOB_TONES, badge, link_to
from remediation.admin.plan_summary import corrections_in_words, sums
from remediation.admin.progress import applied_by, jobs_at_work, percent_of
from remediation.models import Job, JobChunk, Outcome
from remediation.progress import JobProgress, progress_of_jobs
from transactions.templatetags.money import count

MOST_TROUBLED_CHUNKS = 20


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("name", "status_badge", "case_page", "progress", "rows_done", "asked_by", "requested")
    list_select_related = ("case", "requested_by")
    list_filter = ("status", "kind")
    lookups: ClassVar = frozenset({"status__exact", "kind__exact", "case", "case__id__exact"})

    @admin.display(description="job")
    def name(self, job: Job) -> str:
        return str(job)

    @admin.display(description="case")
    def case_page(self, job: Job) -> str:
        return link_to(job.case)

    @admin.display(description="status")
    def status_badge(self, job: Job) -> str:
        return badge(JOB_TONES[Job.Status(job.status)], job.get_status_display())

    @admin.display(description="asked for by")
    def asked_by(self, job: Job) -> str:
        return str(job.requested_by)

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        return f"{percent_of(job.__dict__['progress'], job)} %"

    @admin.display(description="rows")
    def rows_done(self, job: Job) -> str:
        found: JobProgress = job.__dict__["progress"]
        return count(found.rows)

    @admin.display(description="at")
    def requested(self, job: Job) -> str:
        return moment(job.requested_at)

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        found = progress_of_jobs(job.pk for job in rows)
        for job in rows:
            job.__dict__["progress"] = found[job.pk]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("case", "plan", "requested_by")

    def own_urls(self) -> list[URLPattern]:
        live = self.admin_site.admin_view(never_cache(require_safe(self.live_view)))
        return [path("<int:pk>/live/", live, name="remediation_job_live")]

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that moves, for a page that is open already."""
        job = self.subject(request, pk)
        return TemplateResponse(
            request, "remediation/job_live.html", {"subject": job, **self.page_context(request, job)}
        )

    def page_context(self, request: HttpRequest, subject: Job) -> dict[str, Any]:
        applied = applied_by(subject) if subject.kind == Job.Kind.APPLY else None
        troubled = (
            subject.chunks.exclude(failure="").exclude(status=JobChunk.Status.DONE).order_by("position")
        )
        kinds = [kind for kind in Outcome.Kind if Outcome.objects.filter(job=subject, kind=kind).exists()]
        return {
            "tone": JOB_TONES[Job.Status(subject.status)],
            "work": jobs_at_work([subject])[0],
            "applied": applied,
            "money": sums(applied.money) if applied else [],
            "outcome_kinds": kinds,
            "troubled": list(troubled.select_related("plan_chunk")[:MOST_TROUBLED_CHUNKS]),
            "corrections_in_words": corrections_in_words(subject.plan) if applied and subject.plan else "",
        }
