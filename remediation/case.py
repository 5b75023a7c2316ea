"""Opening and editing a case: why something is to be corrected, what is looked at, and what is left out."""

from hashlib import sha256

from django.contrib.auth.models import User
from django.db import transaction

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.causes import merge_causes
from remediation.events import CASE_EDITED, CASE_OPENED, CaseEdited, CaseOpened
from remediation.exclusions import Exclusions, InvalidExclusions
from remediation.lifecycle import OPEN_PLAN
from remediation.models import Case, CaseRevision, Plan
from remediation.preview import PlanUnderWay, supersede
from transactions.canonical import canonical_json
from transactions.models import Store
from transactions.selection import Selection

_NOTHING = Exclusions()


class ReasonMissing(Refused):
    """A change of amounts was asked for without saying why."""


def open_case(
    selection: Selection,
    target_version: str,
    *,
    reason: str,
    acting_user: User,
    incident: str = "",
    ticket: str = "",
) -> Case:
    """The case of `acting_user` to bring `selection` to `target_version` for `reason`; asked twice, the same case.

    Raises `NotPermitted`, `ReasonMissing`, or `InvalidSelection` where no release matches.
    """
    demand(acting_user, "remediation.open_case")
    if not reason.strip():
        raise ReasonMissing("Say why the amounts are to be corrected: auditors will ask.")
    selection.releases()
    criteria = selection.to_criteria()
    fingerprint = sha256(canonical_json([acting_user.pk, criteria, target_version, reason]).encode()).digest()
    with transaction.atomic():
        case, opened = Case.objects.get_or_create(
            fingerprint=fingerprint,
            defaults={
                "incident": incident or reason[:200],
                "reason": reason,
                "ticket": ticket,
                "opened_by": acting_user,
            },
        )
        if opened:
            CaseRevision.objects.create(
                case=case, number=1, criteria=criteria, target_version=target_version, edited_by=acting_user
            )
            record(
                CASE_OPENED,
                case,
                CaseOpened(criteria=criteria, target_version=target_version, ticket=ticket),
                actor=acting_user,
                reason=reason,
            )
    return case


def edit_case(
    case: Case,
    *,
    reason: str,
    acting_user: User,
    leave_out: Exclusions = _NOTHING,
    take_in: Exclusions = _NOTHING,
    selection: Selection | None = None,
    target_version: str = "",
) -> CaseRevision:
    """The case's revision that looks at `selection`, corrects to `target_version`, leaves out `leave_out` too and takes `take_in` in again;
    what is not given stays. Where nothing would change it is the one that stands.

    Whoever edits may not decide on the case's plans. An open plan that would correct gives way: nobody is to apply what the case asks for
    no more. Raises `NotPermitted`, `ReasonMissing`, `InvalidExclusions` where there is no such cause or store, `InvalidSelection` where no
    release matches, or `PlanUnderWay`.
    """
    demand(acting_user, "remediation.open_case")
    if not reason.strip():
        raise ReasonMissing("Say why the case is changed: approvers and auditors will ask.")
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=case.pk)
        standing = case.revisions.latest("number")
        before = Exclusions.from_json(standing.exclusions)
        after = before.but_not(take_in).and_also(leave_out)
        criteria = standing.criteria if selection is None else selection.to_criteria()
        target_version = target_version.strip() or standing.target_version
        if (after, criteria, target_version) == (before, standing.criteria, standing.target_version):
            return standing
        if selection is not None:
            selection.releases()
        _insist_known(case, leave_out)
        _give_way(case, acting_user)
        revision = CaseRevision.objects.create(
            case=case,
            number=standing.number + 1,
            criteria=criteria,
            exclusions=after.to_json(),
            target_version=target_version,
            edited_by=acting_user,
        )
        record(
            CASE_EDITED,
            case,
            CaseEdited(
                revision=revision.number,
                criteria=revision.criteria,
                target_version=revision.target_version,
                exclusions=revision.exclusions,
            ),
            actor=acting_user,
            reason=reason,
        )
    return revision


def _insist_known(case: Case, leave_out: Exclusions) -> None:
    """Raise `InvalidExclusions` for a store that is not there, or a cause that the case's last scanned preview did not meet."""
    stores = set(Store.objects.filter(reference__in=leave_out.stores).values_list("reference", flat=True))
    if unknown := sorted(set(leave_out.stores) - stores):
        raise InvalidExclusions(f"There is no store {', '.join(unknown)}.")
    plan = case.plans.filter(kind=Plan.Kind.APPLY, retries=None, manifest__isnull=False).first()
    if plan is None or not leave_out.causes:
        return
    scanned = list(plan.chunks.values_list("causes", "left_out_sums"))
    known = {cause["cause"] for cause in merge_causes([causes for causes, _ in scanned if causes])}
    known |= {cause for _, sums in scanned for cause in sums.get("causes", {})}
    if unknown := sorted(set(leave_out.causes) - known):
        raise InvalidExclusions(
            f"{plan} has no cause “{'”, “'.join(unknown)}”. It has: {'; '.join(sorted(known)) or 'none'}."
        )


def _give_way(case: Case, acting_user: User) -> None:
    """Raise `PlanUnderWay` where a plan of the case is being applied; an open one that would correct is superseded."""
    open_plan = Plan.objects.filter(case=case, status__in=OPEN_PLAN).first()
    if open_plan is None:
        return
    if open_plan.status == Plan.Status.EXECUTING:
        raise PlanUnderWay(f"{open_plan} is being applied. The case can be changed when it has ended.")
    if open_plan.kind == Plan.Kind.APPLY:
        supersede(open_plan, acting_user=acting_user)
