"""Cases, plans and jobs can be looked up by their numbers: “case 3”, or 3 alone."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from remediation.models import Case, Job, Plan
from transactions.lookup import Hit, Kind, can_be_looked_up, number_of


def _by_number(rows: QuerySet[Any], told: Callable[[Any], Hit]) -> Callable[[str], Iterable[Hit]]:
    def find(text: str) -> Iterable[Hit]:
        number = number_of(text)
        return [told(each) for each in rows.filter(pk=number)] if number is not None else []

    return find


def _case(case: Case) -> Hit:
    return Hit(case, _("Case %(number)s") % {"number": case.pk}, case.incident, case.opened_at, exact=True)


def _plan(plan: Plan) -> Hit:
    detail = _("%(status)s, of case %(case)s: %(incident)s") % {
        "status": plan.get_status_display(),
        "case": plan.case_id,
        "incident": plan.case.incident,
    }
    return Hit(plan, _("Plan %(number)s") % {"number": plan.pk}, detail, plan.requested_at, exact=True)


def _job(job: Job) -> Hit:
    detail = _("%(kind)s, %(status)s, of case %(case)s: %(incident)s") % {
        "kind": job.get_kind_display(),
        "status": job.get_status_display(),
        "case": job.case_id,
        "incident": job.case.incident,
    }
    return Hit(job, _("Job %(number)s") % {"number": job.pk}, detail, job.requested_at, exact=True)


def _kind(model: type[Model], **told: Any) -> Kind:
    word = str(model._meta.model_name)
    return Kind(words=(word,), permission=f"remediation.view_{word}", **told)


can_be_looked_up(
    _kind(
        Case,
        name=gettext_lazy("Cases"),
        asked_by=gettext_lazy("a case, by its number"),
        examples=("case 3",),
        find=_by_number(Case.objects.all(), _case),
    )
)
can_be_looked_up(
    _kind(
        Plan,
        name=gettext_lazy("Plans"),
        asked_by=gettext_lazy("a plan, by its number"),
        examples=("plan 4",),
        find=_by_number(Plan.objects.select_related("case").defer("manifest", "policy", "targets"), _plan),
    )
)
can_be_looked_up(
    _kind(
        Job,
        name=gettext_lazy("Jobs"),
        asked_by=gettext_lazy("a job, by its number"),
        examples=("job 8",),
        find=_by_number(Job.objects.select_related("case"), _job),
    )
)
