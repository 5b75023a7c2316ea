"""Leaving something out, taking it in again, looking at something else: a case's next revision and a new plan, in one."""

from collections.abc import Callable
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction

from audit.permission import demand
from remediation.case import edit_case
from remediation.exclusions import Exclusions
from remediation.lifecycle import OPEN_PLAN
from remediation.models import Case, CaseRevision, Plan
from remediation.preview import request_preview
from transactions.selection import Selection

_NOTHING = Exclusions()


def leave_out(
    case: Case, exclusions: Exclusions, *, reason: str, acting_user: User, again_in: Exclusions = _NOTHING
) -> Plan:
    """The plan that corrects `case` without `exclusions`, besides what it leaves out already, and with `again_in`.

    Asked twice it is the same plan. An open plan gives way, and its approvals with it.
    Raises what `edit_case` and `request_preview` raise; then nothing has changed.
    """
    return _previewed_anew(
        case, acting_user, partial(edit_case, leave_out=exclusions, take_in=again_in, reason=reason)
    )


def take_in(case: Case, exclusions: Exclusions, *, reason: str, acting_user: User) -> Plan:
    """The plan that corrects what `case` left out by `exclusions` too; the opposite of `leave_out`, and like it otherwise."""
    return leave_out(case, _NOTHING, again_in=exclusions, reason=reason, acting_user=acting_user)


def look_at(case: Case, selection: Selection, target_version: str, *, reason: str, acting_user: User) -> Plan:
    """The plan that corrects `selection` to `target_version` for `case`, which looks at that from now on; like `leave_out` otherwise."""
    edit = partial(edit_case, selection=selection, target_version=target_version, reason=reason)
    return _previewed_anew(case, acting_user, edit)


def _previewed_anew(case: Case, acting_user: User, edit: Callable[..., CaseRevision]) -> Plan:
    demand(acting_user, "remediation.open_case")
    demand(acting_user, "remediation.preview_plan")
    with transaction.atomic():
        revision = edit(case, acting_user=acting_user)
        standing = Plan.objects.filter(
            revision=revision, kind=Plan.Kind.APPLY, retries=None, status__in=OPEN_PLAN
        ).first()
        return standing or request_preview(case, acting_user=acting_user, again=True)
