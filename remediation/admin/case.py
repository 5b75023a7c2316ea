"""A case's page: how far it is, what was looked at, its plans, what verification found, and the buttons to go on."""

from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryFile
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.templatetags.reading import moment
from remediation.admin.actions import ActingAdmin, Action, ChangedMeanwhile
from remediation.admin.badge import PLAN_TONES, badge
from remediation.admin.beside import choose_view
from remediation.admin.case_edit import edit_fields, press_edit
from remediation.admin.case_timeline import timeline_of
from remediation.admin.criteria import CRITERIA
from remediation.admin.left_out import left_out_rows, press_leave_out, press_take_in
from remediation.admin.plan_summary import Sum, change_in_words, plan_change_in_words, sums
from remediation.admin.stage import Outlook, outlooks_of
from remediation.comment import comment_on
from remediation.evidence.pack import write_evidence
from remediation.lifecycle import APPLIED_PLAN, OPEN_PLAN
from remediation.models import Case, CaseRevision, Job, Plan
from remediation.preview import request_preview
from remediation.progress import Applied, applied_by
from remediation.revert import request_revert
from remediation.verification import CLASSES
from remediation.verify import start_verify

LATEST_JOBS = 10


@dataclass(frozen=True)
class ClassRow:
    """Transactions that a verification found alike: how many, and what the target calculator would add to their totals."""

    name: str
    meaning: str
    rows: int
    money: list[Sum]


@dataclass(frozen=True)
class Revertible:
    """What can be taken back: a plan, what its job did, and by how much taking it back changes totals, in words."""

    plan: Plan
    applied: Applied
    back_in_words: str


_TIMES = frozenset({"calculated_from", "calculated_before", "occurred_from", "occurred_before"})


@admin.register(Case)
class CaseAdmin(ActingAdmin):
    list_display = ("name", "incident", "stage", "opened_by", "opened")
    list_select_related = ("opened_by",)

    @admin.display(description=gettext_lazy("case"))
    def name(self, case: Case) -> str:
        return _("Case %s") % case.pk

    @admin.display(description=gettext_lazy("stage"))
    def stage(self, case: Case) -> str:
        outlook: Outlook = case.__dict__["outlook"]
        return badge(outlook.tone, str(outlook.stage.label))

    @admin.display(description=gettext_lazy("opened"))
    def opened(self, case: Case) -> str:
        return moment(case.opened_at)

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        outlooks = outlooks_of(rows)
        for case in rows:
            case.__dict__["outlook"] = outlooks[case.pk]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("opened_by")

    def own_urls(self) -> list[URLPattern]:
        beside = self.admin_site.admin_view(choose_view(self))
        return [*super().own_urls(), path("<int:pk>/beside/", beside, name="remediation_case_beside")]

    def buttons(self) -> dict[str, Action]:
        return {
            "preview": press_preview,
            "verify": press_verify,
            "revert": press_revert,
            "evidence": press_evidence,
            "comment": press_comment,
            "edit": standing_as_shown(press_edit),
            "leave_out": standing_as_shown(press_leave_out),
            "take_in": standing_as_shown(press_take_in),
        }

    def others_concerned(self, subject: Case) -> list[Any]:
        return [subject, *subject.plans.defer("manifest"), *subject.jobs.defer("result")]

    def page_context(self, request: HttpRequest, subject: Case) -> dict[str, Any]:
        plans = list(subject.plans.select_related("requested_by", "source_plan"))
        verification = subject.jobs.filter(kind=Job.Kind.VERIFY).select_related("requested_by").first()
        revision = subject.revisions.select_related("edited_by").latest("number")
        jobs = list(subject.jobs.select_related("requested_by").defer("result")[:LATEST_JOBS])
        return super().page_context(request, subject) | {
            "outlook": outlooks_of([subject])[subject.pk],
            "revision": revision,
            "criteria": _criteria(revision),
            "plans": plans,
            "left_out": left_out_rows(revision, newest_of_revision(plans, revision)),
            "left_out_case": subject.pk,
            "plan_lines": [
                (plan, PLAN_TONES[Plan.Status(plan.status)], plan_change_in_words(plan)) for plan in plans
            ],
            "open_plan": next((plan for plan in plans if plan.status in OPEN_PLAN), None),
            "in_scope": next(
                (
                    plan.manifest["scanned"]
                    for plan in plans
                    if plan.manifest and plan.kind == "apply" and not plan.retries_id
                ),
                None,
            ),
            "verification": verification,
            "classes": _classes(verification),
            "applied_since": _applied_since(verification),
            "revertible": _revertible(plans),
            "jobs": jobs,
            "under_way": any(not job.ended for job in jobs),
            "life": timeline_of(subject, plans),
            "may_preview": request.user.has_perm("remediation.preview_plan"),
            "may_take_evidence": request.user.has_perm("audit.export_trail"),
            "edit_fields": edit_fields(revision),
            "any_left_out": any((plan.manifest or {}).get("left_out") for plan in plans),
            "plans_to_compare": comparable(plans),
            "currencies": _currencies(plans),
            "arrived_since": _arrived_since(verification),
            "comments": list(subject.comments.select_related("written_by")),
            "may_comment": request.user.has_perm("remediation.comment_on_case"),
            "may_take_in": request.user.has_perms(("remediation.open_case", "remediation.preview_plan")),
            "may_verify": request.user.has_perm("remediation.verify_case"),
        }


def _criteria(revision: CaseRevision) -> list[tuple[str, str]]:
    return [
        (str(label), _in_words(name, value))
        for name, label in CRITERIA.items()
        if (value := revision.criteria.get(name))
    ]


def _in_words(name: str, value: Any) -> str:
    """A criterion's value; times in the reader's zone, as all times on pages are."""
    if name in _TIMES:
        return moment(datetime.fromisoformat(value))
    return ", ".join(value) if isinstance(value, list) else str(value)


def _classes(verification: Job | None) -> list[ClassRow]:
    if verification is None or verification.result is None:
        return []
    return [
        ClassRow(
            name.replace("_", " "),
            CLASSES[name],
            found["rows"],
            [each for each in sums(found["money"]) if each.amount],
        )
        for name in CLASSES
        if (found := verification.result["classes"].get(name)) is not None
        if found["rows"] or name in ("matches", "differs")
    ]


def _applied_since(verification: Job | None) -> Job | None:
    """An apply that was started after the verification, so that it says nothing of how things stand now."""
    if verification is None:
        return None
    later = Job.objects.filter(case_id=verification.case_id, kind=Job.Kind.APPLY, pk__gt=verification.pk)
    return later.select_related("plan").first()


def _revertible(plans: list[Plan]) -> Revertible | None:
    """The newest applied plan that nothing has taken back; the same choice as `request_revert` makes, reverts included.

    After a revert that was stopped it is the revert's source again: the rest of it is still to be taken back.
    """
    applied = [plan for plan in plans if plan.status in APPLIED_PLAN]
    taken_back = {plan.source_plan_id for plan in applied if plan.status == Plan.Status.EXECUTED}
    source = next(
        (
            plan
            for plan in applied
            if plan.pk not in taken_back
            and not (plan.kind == Plan.Kind.REVERT and plan.status == Plan.Status.STOPPED)
        ),
        None,
    )
    job = source.jobs.filter(kind=Job.Kind.APPLY).first() if source else None
    if source is None or job is None:
        return None
    done = applied_by(job)
    back = {key: -amount for key, amount in done.money.items()}
    return Revertible(source, done, change_in_words(back))


def _insist_standing(request: HttpRequest, case: Case) -> None:
    """The open plan must be the one that the page showed. Raises `ChangedMeanwhile`: nobody is to push aside a plan they never saw."""
    standing = Plan.objects.filter(case=case, status__in=OPEN_PLAN).only("pk", "kind").first()
    shown = request.POST.get("standing", "")
    if (str(standing.pk) if standing else "") != shown:
        raise ChangedMeanwhile(
            _("The case is not as your page showed it: %s is open now. Nothing was done; look again.")
            % standing
            if standing
            else _(
                "The case is not as your page showed it: the plan that was open is so no more. Nothing was done; look again."
            )
        )


def newest_of_revision(plans: list[Plan], revision: CaseRevision) -> Plan | None:
    """The newest plan of `plans` (newest first) that corrects as `revision` says, retries aside."""
    return next(
        (
            plan
            for plan in plans
            if plan.revision_id == revision.pk and plan.kind == Plan.Kind.APPLY and not plan.retries_id
        ),
        None,
    )


def standing_as_shown(press: Action) -> Action:
    """The same button, refused where another plan is open than the page showed."""

    def pressed(request: HttpRequest, case: Case, acting_user: User) -> Any:
        _insist_standing(request, case)
        return press(request, case, acting_user)

    return pressed


def comparable(plans: list[Plan]) -> list[Plan]:
    """Plans that can be looked at side by side, the newest first; [] where there are no two."""
    sealed = [plan for plan in plans if plan.manifest is not None]
    return sealed if len(sealed) > 1 else []


@dataclass(frozen=True)
class Currency:
    """A currency and scale that a plan of the case met: its key ("USD:2") and its name."""

    key: str
    name: str


def _currencies(plans: list[Plan]) -> list[Currency]:
    keys = {
        key
        for plan in plans
        for name in ("money", "left_out_money")
        for key in (plan.manifest or {}).get(name, {})
    }
    codes = [key.partition(":")[0] for key in keys]
    return [
        Currency(key, f"{code}, {scale}" if codes.count(code) > 1 else code)
        for key in sorted(keys)
        for code, _colon, scale in [key.partition(":")]
    ]


def _arrived_since(verification: Job | None) -> ClassRow | None:
    """What the last verification found to have arrived since the last plan; None where nothing did, or something was applied since."""
    if _applied_since(verification):
        return None
    return next((row for row in _classes(verification) if row.name == "arrived since" and row.rows), None)


def press_comment(request: HttpRequest, case: Case, acting_user: User) -> Case:
    """Say what the form says."""
    comment_on(case, request.POST.get("text", ""), acting_user=acting_user)
    messages.success(request, _("Your comment stands."))
    return case


def press_preview(request: HttpRequest, case: Case, acting_user: User) -> Plan:
    """Preview the case, again where a plan is open."""
    _insist_standing(request, case)
    plan = request_preview(case, acting_user=acting_user, again=True)
    messages.success(request, _("%s is being previewed. It changes nothing.") % plan)
    return plan


def press_verify(request: HttpRequest, case: Case, acting_user: User) -> Job:
    """Verify the case, or lead to the verification that runs."""
    job = start_verify(case, acting_user=acting_user)
    if job.requested_by_id == acting_user.pk:
        messages.success(request, _("%s is being verified. It changes nothing.") % case)
    else:
        messages.info(
            request,
            _("%(who)s asked for this verification already, at %(time)s UTC.")
            % {"who": job.requested_by, "time": f"{job.requested_at:%H:%M:%S}"},
        )
    return job


def press_revert(request: HttpRequest, case: Case, acting_user: User) -> Plan:
    """Plan to take back the plan that the form names; somebody else has to approve that again."""
    _insist_standing(request, case)
    named = request.POST.get("plan", "")
    source = case.plans.filter(pk=int(named)).first() if named.isdigit() and len(named) < 19 else None
    if source is None:
        raise ChangedMeanwhile(_("%s has no such plan to take back.") % case)
    plan = request_revert(
        case, acting_user=acting_user, reason=request.POST.get("reason", "").strip(), plan=source, again=True
    )
    messages.success(
        request,
        _("%s is being prepared. It changes nothing until it is approved and applied.") % plan,
    )
    return plan


def press_evidence(request: HttpRequest, case: Case, acting_user: User) -> FileResponse:
    """The pack as a file to keep. It is made on disk first: what is downloaded is whole, or is not there."""
    file = TemporaryFile()  # noqa: SIM115 (the response closes it)
    write_evidence(case, file, acting_user=acting_user)
    file.seek(0)
    return FileResponse(
        file,
        as_attachment=True,
        filename=f"amends-case-{case.pk}-{timezone.now():%Y%m%dT%H%M%SZ}.zip",
        content_type="application/zip",
    )
