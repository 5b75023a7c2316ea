"""The page on which an auditor says how sure they want to be, sees how many that takes, and draws."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.errors import Refused
from audit.templatetags.reading import page_of
from remediation.attribute_sampling import (
    LARGEST_SAMPLE,
    SamplingImpossible,
    allowed_errors,
    sample_size,
    sample_size_of_many,
)
from remediation.audit_sample import LONGEST_SEED, PERMISSION, draw_sample, why_not_audit
from remediation.drawing import AppliedCorrections
from remediation.models import Job

if TYPE_CHECKING:
    from remediation.admin.job import JobAdmin

JOBS_OFFERED = 5
_USUAL = {"confidence": "95", "tolerable": "1", "expected": "0"}


@dataclass(frozen=True)
class Asked:
    """What the form says: percents as typed, and the seed."""

    confidence: str
    tolerable: str
    expected: str
    seed: str

    @classmethod
    def by(cls, fields: QueryDict) -> "Asked":
        """What was typed, or what is usual."""
        typed = {name: fields.get(name, usual).strip() for name, usual in _USUAL.items()}
        return cls(**typed, seed=fields.get("seed", "").strip())

    def share(self, name: str) -> Decimal:
        """One of the percents as a share of 1. Raises `SamplingImpossible`."""
        typed = str(getattr(self, name)).removesuffix("%").strip()
        try:
            found = Decimal(typed) / 100
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite():
            raise SamplingImpossible(f"“{typed[:40]}” is no number of percent, such as 95 or 0.5.")
        return found


def jobs_to_draw_from() -> list[Job]:
    """The newest applies that have ended, each with `samples`, how many were drawn from it. Read along the jobs' numbers."""
    jobs = Job.objects.filter(kind=Job.Kind.APPLY, status__in=Job.ENDED).select_related("case")
    return list(jobs.annotate(samples=Count("audit_samples")).order_by("-pk")[:JOBS_OFFERED])


def draw_view(model_admin: "JobAdmin") -> Callable[..., HttpResponse]:
    """The page “Draw an audit sample of job N”: asked again with other figures it says what those take, and its button draws."""

    def view(request: HttpRequest, pk: int) -> HttpResponse:
        job = model_admin.subject(request, pk)
        assert isinstance(request.user, User)
        if request.method == "POST":
            return _draw(request, job, request.user)
        if job.kind != Job.Kind.APPLY or not job.ended:
            messages.error(
                request,
                _("%(job)s has no corrections to draw from: only an apply that has ended has.")
                % {"job": job},
            )
            return HttpResponseRedirect(page_of(job))
        asked = Asked.by(request.GET)
        context = {
            **model_admin.admin_site.each_context(request),
            "opts": model_admin.opts,
            "title": _("Draw an audit sample of %(job)s") % {"job": job},
            "subject": job,
            "asked": asked,
            "longest_seed": LONGEST_SEED,
            "largest": LARGEST_SAMPLE,
            "samples": job.audit_samples.select_related("drawn_by"),
            "may_audit": request.user.has_perm(PERMISSION),
            "why_not": why_not_audit(job, request.user),
            "is_popup": False,
            **_outlook(job, asked),
        }
        return TemplateResponse(request, "remediation/auditsample_draw.html", context)

    return view


def _draw(request: HttpRequest, job: Job, acting_user: User) -> HttpResponse:
    asked = Asked.by(request.POST)
    try:
        sample = draw_sample(
            job,
            acting_user=acting_user,
            confidence=asked.share("confidence"),
            tolerable_rate=asked.share("tolerable"),
            expected_rate=asked.share("expected"),
            seed=asked.seed,
        )
    except Refused as refused:
        messages.error(request, str(refused))
        typed = {name: getattr(asked, name) for name in (*_USUAL, "seed")}
        return HttpResponseRedirect(
            f"{reverse('admin:remediation_job_draw_sample', args=[job.pk])}?{urlencode(typed)}"
        )
    messages.success(
        request,
        ngettext(
            "%(sample)s: %(size)s of %(population)s correction. Each waits for your verdict.",
            "%(sample)s: %(size)s of %(population)s corrections. Each waits for your verdict.",
            sample.population,
        )
        % {"sample": sample, "size": f"{sample.size:,}", "population": f"{sample.population:,}"},
    )
    return HttpResponseRedirect(page_of(sample))


def _outlook(job: Job, asked: Asked) -> dict[str, Any]:
    """How many there are to draw from, and how many are to be drawn; or why none can be."""
    population = len(AppliedCorrections(job))
    try:
        rates = {name: Fraction(asked.share(name)) for name in ("confidence", "tolerable")}
        expected = Fraction(asked.share("expected"))
        size = sample_size(population, **rates, expected=expected)
        allowed = allowed_errors(population, size, **rates)
    except SamplingImpossible as impossible:
        return {"population": population, "size": None, "impossible": str(impossible)}
    try:
        of_many: int | None = sample_size_of_many(**rates, expected=expected)
    except SamplingImpossible:
        of_many = None
    return {"population": population, "size": size, "allowed": allowed, "of_many": of_many}
