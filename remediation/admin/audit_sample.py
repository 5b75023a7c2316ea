"""An audit sample's page: what it says of all, the conclusion, and every drawn correction recomputed; and the list of all samples."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.templatetags.reading import moment
from remediation.admin.actions import ActingAdmin, Action
from remediation.admin.audit_sample_draw import jobs_to_draw_from
from remediation.admin.audit_sample_item import item_view, judge_view, newest_verdicts
from remediation.admin.badge import badge, link_to
from remediation.audit_sample import PERMISSION, conclude_sample, positions_of, why_not_audit
from remediation.models import AuditSample, AuditSampleItem, AuditSampleVerdict
from remediation.recomputation import GoneItem, ItemCheck, check_items
from remediation.sample_report import SampleReport, percent, report_of
from transactions.models import Calculation, Transaction
from transactions.templatetags.money import count

ITEMS_PER_PAGE = 25


@dataclass(frozen=True)
class CheckedRow:
    """A drawn correction as the page lists it, with its newest verdict."""

    check: ItemCheck | GoneItem
    verdict: AuditSampleVerdict | None


@dataclass(frozen=True)
class ReportLine:
    """A drawn correction in the report; facts and calculations are None where their rows are gone."""

    item: AuditSampleItem
    facts: Transaction | None
    before: Calculation | None
    after: Calculation | None
    verdict: AuditSampleVerdict | None

    @property
    def changed_since(self) -> bool:
        """Whether its totals are others now than the verdict was given on, though calculations never change."""
        if (
            self.verdict is None
            or self.before is None
            or self.after is None
            or self.verdict.shown.get("gone")
        ):
            return False
        shown = self.verdict.shown
        return (shown["before"], shown["after"]) != (self.before.total, self.after.total)


@admin.register(AuditSample)
class AuditSampleAdmin(ActingAdmin):
    list_display = ("name", "state", "job_page", "drawn", "asked", "by", "at")
    lookups: ClassVar = frozenset({"job", "job__id__exact"})
    change_list_template = "remediation/auditsample_list.html"

    @admin.display(description=_("sample"))
    def name(self, sample: AuditSample) -> str:
        return gettext("Audit sample %(number)s") % {"number": sample.pk}

    @admin.display(description=_("state"))
    def state(self, sample: AuditSample) -> str:
        return badge(*state_of(report_of(sample)))

    @admin.display(description=_("job"))
    def job_page(self, sample: AuditSample) -> str:
        return link_to(sample.job)

    @admin.display(description=_("drawn"))
    def drawn(self, sample: AuditSample) -> str:
        return gettext("%(size)s of %(population)s") % {
            "size": count(sample.size),
            "population": count(sample.population),
        }

    @admin.display(description=_("confidence, tolerable"))
    def asked(self, sample: AuditSample) -> str:
        return f"{percent(Fraction(sample.confidence))}, {percent(Fraction(sample.tolerable_rate))}"

    @admin.display(description=_("by"))
    def by(self, sample: AuditSample) -> str:
        return str(sample.drawn_by)

    @admin.display(description=_("at"))
    def at(self, sample: AuditSample) -> str:
        return moment(sample.drawn_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("job__case", "job__plan", "drawn_by")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        offered = jobs_to_draw_from() if request.user.has_perm(PERMISSION) else []
        return super().changelist_view(request, {"jobs_to_draw_from": offered, **(extra_context or {})})

    def buttons(self) -> dict[str, Action]:
        return {"conclude": press_conclude}

    def own_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            *super().own_urls(),
            path(
                "<int:pk>/report/",
                wrap(require_safe(self.report_view)),
                name="remediation_auditsample_report",
            ),
            path(
                "<int:pk>/items/<int:number>/",
                wrap(never_cache(require_safe(item_view(self)))),
                name="remediation_auditsample_item",
            ),
            path(
                "<int:pk>/items/<int:number>/judge/",
                wrap(judge_view(self)),
                name="remediation_auditsample_judge",
            ),
        ]

    def report_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """All of it on one page, to be printed: what was asked, what was found of each correction, and the conclusion."""
        sample = self.subject(request, pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Report on %(sample)s") % {"sample": sample},
            "subject": sample,
            "is_popup": False,
            **_shared(sample),
            "lines": _lines(sample),
        }
        return TemplateResponse(request, "remediation/auditsample_report.html", context)

    def page_context(self, request: HttpRequest, subject: AuditSample) -> dict[str, Any]:
        after = _number(request.GET.get("after", "0"))
        items = list(subject.items.filter(number__gt=after).order_by("number")[:ITEMS_PER_PAGE])
        for item in items:
            item.sample = subject
        verdicts = newest_verdicts(subject)
        drawn = list(subject.items.order_by("number").values_list("pk", "number", "position"))
        waiting = next((number for pk, number, _ in drawn if pk not in verdicts), None)
        assert isinstance(request.user, User)
        return super().page_context(request, subject) | {
            **_shared(subject),
            "rows": [CheckedRow(check, verdicts.get(check.item.pk)) for check in check_items(items)],
            "drawn_again": [position for *_, position in drawn] == positions_of(subject),
            "others": subject.job.audit_samples.exclude(pk=subject.pk).count(),
            "waiting": waiting,
            "previous": None if after == 0 else max(after - ITEMS_PER_PAGE, 0),
            "following": items[-1].number if items and items[-1].number < subject.size else None,
            "may_audit": request.user.has_perm(PERMISSION),
            "why_not": why_not_audit(subject.job, request.user),
        }


def _lines(sample: AuditSample) -> list[ReportLine]:
    items = list(sample.items.all())
    verdicts = newest_verdicts(sample)
    facts = Transaction.objects.in_bulk([item.transaction_id for item in items])
    calculations = Calculation.objects.in_bulk(
        {known for item in items for known in (item.calculation_id, item.replaces_id)}
    )
    return [
        ReportLine(
            item,
            facts.get(item.transaction_id),
            calculations.get(item.replaces_id),
            calculations.get(item.calculation_id),
            verdicts.get(item.pk),
        )
        for item in items
    ]


def state_of(report: SampleReport) -> tuple[str, str]:
    """A tone and words for how far a sample is."""
    if report.accepted is None:
        return "waiting", gettext("%(judged)s of %(size)s judged") % {
            "judged": f"{report.judged:,}",
            "size": f"{report.sample.size:,}",
        }
    return ("good", gettext("accepted")) if report.accepted else ("bad", gettext("not accepted"))


def press_conclude(request: HttpRequest, sample: AuditSample, acting_user: User) -> AuditSample:
    """Record what the verdicts say."""
    conclude_sample(sample, acting_user=acting_user, comment=request.POST.get("comment", ""))
    messages.success(request, gettext("Concluded. %(said)s") % {"said": report_of(sample).in_words})
    return sample


def _shared(sample: AuditSample) -> dict[str, Any]:
    """What page and report both tell of a sample as a whole."""
    report = report_of(sample)
    conclusion = sample.conclusions.select_related("concluded_by").order_by("-pk").first()
    tone, state = state_of(report)
    return {
        "report": report,
        "tone": tone,
        "state": state,
        "confidence": percent(Fraction(sample.confidence)),
        "tolerable": percent(Fraction(sample.tolerable_rate)),
        "expected": percent(Fraction(sample.expected_rate)),
        "rate": percent(report.rate),
        "limit": None if report.limit is None else percent(report.limit, up=True),
        "limit_of_many": None if report.limit_of_many is None else percent(report.limit_of_many, up=True),
        "conclusion": conclusion,
        "out_of_date": conclusion is not None and conclusion.last_verdict_id != report.last_verdict,
    }


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Http404(gettext("“%(given)s” is no number of a drawn correction.") % {"given": text[:20]})
    return int(text)
