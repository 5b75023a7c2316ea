"""What comes next in a case, for whom, as its page says it."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from remediation.models import Case, Job, Plan
from remediation.stage import Stage, derive_stage


@dataclass(frozen=True)
class Outlook:
    """A case's stage and what comes next, in a sentence. `tone` is "calm", "waiting", "working", "good" or "bad"."""

    stage: Stage
    following: str
    tone: str


_FOLLOWING: dict[Stage, tuple[str, Promise | str]] = {
    Stage.OPENED: ("calm", _("An engineer previews what correcting it would change.")),
    Stage.PREVIEWING: ("working", _("Workers are calculating; nothing changes by that.")),
    Stage.READY: ("waiting", _("Somebody who neither asked for the plan nor edited the case decides on it.")),
    Stage.APPROVED: ("waiting", _("An engineer applies the plan.")),
    Stage.APPLYING: ("working", _("Workers are moving transactions to the amounts that were approved.")),
    Stage.APPLIED: ("waiting", _("An engineer verifies that nothing is left.")),
    Stage.STOPPED: (
        "bad",
        _("What was applied stands. An engineer verifies it, previews again, or takes it back."),
    ),
    Stage.NOTHING_PROPOSED: (
        "good",
        _("Nothing is left to decide. Rows that the target could not calculate are listed with its plan."),
    ),
    Stage.VERIFIED: ("good", _("Nothing is left to do.")),
    Stage.LEFT_OVER: (
        "waiting",
        _("An engineer looks at what still differs, and previews again if need be."),
    ),
    Stage.UNRECONCILED: (
        "bad",
        _("An engineer and an auditor look at the problems that the verification lists."),
    ),
    Stage.REVERTED: (
        "calm",
        _("Everything stands where it stood before, but for conflicts. It can be applied again."),
    ),
    Stage.REJECTED: ("bad", _("An engineer reads the comment, and previews again.")),
    Stage.FAILED: ("bad", _("An engineer reads the reason, and previews again.")),
}


def outlook(stage: Stage) -> Outlook:
    """What a stage means for people."""
    tone, following = _FOLLOWING[stage]
    return Outlook(stage, str(following), tone)


def outlooks_of(cases: Iterable[Case]) -> dict[int, Outlook]:
    """The outlooks of `cases` by case id; two queries for all."""
    ids = [case.pk for case in cases]
    plans: dict[int, list[Plan]] = {}
    for plan in Plan.objects.filter(case__in=ids):
        plans.setdefault(plan.case_id, []).append(plan)
    jobs: dict[int, list[Job]] = {}
    for job in Job.objects.filter(case__in=ids):
        jobs.setdefault(job.case_id, []).append(job)
    return {pk: outlook(derive_stage(plans.get(pk, []), jobs.get(pk, []))) for pk in ids}
