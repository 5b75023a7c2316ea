"""A job's page, with its progress as it goes, and the list of all jobs."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.templatetags.reading import moment, page_of
from remediation.admin.actions import ActingAdmin, Action
from remediation.admin.audit_sample_draw import draw_view
from remediation.admin.badge import JOB_TONES, badge, link_to
from remediation.admin.job_controls import controls, press_cancel, press_pause, press_resume, press_tune
from remediation.admin.plan_summary import sums
from remediation.admin.progress import jobs_at_work, percent_of
from remediation.admin.workers import workers_urls
from remediation.models import Job, JobChunk, Outcome
from remediation.progress import JobProgress, applied_by, progress_of_jobs
from transactions.templatetags.money import count

MOST_TROUBLED_CHUNKS = 20
MOST_IN_HAND = 50


class UnderWay(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("under way")), ("ended", _("ended"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "open":
            return queryset.exclude(status__in=Job.ENDED)
        return queryset.filter(status__in=Job.ENDED) if self.value() == "ended" else queryset


@admin.register(Job)
class JobAdmin(ActingAdmin):
    list_display = ("name", "status_badge", "case_page", "progress", "rows_done", "asked_by", "requested")
    list_select_related = ("case", "requested_by")
    change_list_template = "remediation/job_list.html"
    list_filter = (UnderWay, "status", "kind")
    lookups: ClassVar = frozenset({"status__exact", "kind__exact", "case", "case__id__exact"})

    @admin.display(description=_("job"))
    def name(self, job: Job) -> str:
        return str(job)

    @admin.display(description=_("case"))
    def case_page(self, job: Job) -> str:
        return link_to(job.case)

    @admin.display(description=_("status"))
    def status_badge(self, job: Job) -> str:
        return badge(JOB_TONES[Job.Status(job.status)], job.get_status_display())

    @admin.display(description=_("asked for by"))
    def asked_by(self, job: Job) -> str:
        return str(job.requested_by)

    @admin.display(description=_("progress"))
    def progress(self, job: Job) -> str:
        return f"{percent_of(job.__dict__['progress'], job)} %"

    @admin.display(description=_("rows"))
    def rows_done(self, job: Job) -> str:
        found: JobProgress = job.__dict__["progress"]
        return count(found.rows)

    @admin.display(description=_("at"))
    def requested(self, job: Job) -> str:
        return moment(job.requested_at)

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        found = progress_of_jobs(job.pk for job in rows)
        for job in rows:
            job.__dict__["progress"] = found[job.pk]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("case", "plan", "requested_by")

    def buttons(self) -> dict[str, Action]:
        return {"pause": press_pause, "resume": press_resume, "cancel": press_cancel, "tune": press_tune}

    def others_concerned(self, subject: Job) -> list[Any]:
        return [subject] if subject.plan is None else [subject, subject.plan]

    def own_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            *super().own_urls(),
            path(
                "<int:pk>/live/",
                wrap(never_cache(require_safe(self.live_view))),
                name="remediation_job_live",
            ),
            path(
                "<int:pk>/confirm-cancel/",
                wrap(require_safe(self.confirm_cancel_view)),
                name="remediation_job_confirm_cancel",
            ),
            *workers_urls(self.admin_site, self.opts),
            path("<int:pk>/draw-sample/", wrap(draw_view(self)), name="remediation_job_draw_sample"),
        ]

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that moves, for a page that is open already, and its buttons where others make sense now."""
        job = self.subject(request, pk)
        context = self.page_context(request, job)
        context["new_controls"] = request.GET.get("shown", "") != context["shown_state"]
        return TemplateResponse(request, "remediation/job_live.html", {"subject": job, **context})

    def confirm_cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What cancelling would mean, before it is done. A job that has ended leads back to its page."""
        job = self.subject(request, pk)
        context = self.page_context(request, job)
        if not (context["may_control"] and context["can_cancel"]):
            return HttpResponseRedirect(page_of(job))
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Cancel %(job)s?") % {"job": job},
            "subject": job,
            "is_popup": False,
            **context,
        }
        return TemplateResponse(request, "remediation/job_cancel.html", shown)

    def page_context(self, request: HttpRequest, subject: Job) -> dict[str, Any]:
        applied = applied_by(subject) if subject.kind == Job.Kind.APPLY else None
        troubled = (
            subject.chunks.exclude(failure="").exclude(status=JobChunk.Status.DONE).order_by("position")
        )
        in_hand = subject.chunks.filter(status=JobChunk.Status.LEASED).order_by("leased_at")
        kinds = [kind for kind in Outcome.Kind if Outcome.objects.filter(job=subject, kind=kind).exists()]
        return {
            **super().page_context(request, subject),
            **controls(request, subject),
            "tone": JOB_TONES[Job.Status(subject.status)],
            "work": jobs_at_work([subject])[0],
            "applied": applied,
            "money": sums(applied.money) if applied else [],
            "outcome_kinds": kinds,
            "audit_samples": list(subject.audit_samples.all()) if applied and subject.ended else [],
            "in_hand": [] if subject.ended else list(in_hand[:MOST_IN_HAND]),
            "troubled": list(troubled.select_related("plan_chunk")[:MOST_TROUBLED_CHUNKS]),
        }
