"""Leaving out a cause, a store or outliers, and taking them in again: the case's next revision and a new plan, in one."""

from django.contrib.auth.models import User
from django.db import transaction

from audit.permission import demand
from remediation.case import edit_case
from remediation.exclusions import Exclusions
from remediation.lifecycle import OPEN_PLAN
from remediation.models import Case, Plan
from remediation.preview import request_preview


def leave_out(case: Case, exclusions: Exclusions, *, reason: str, acting_user: User) -> Plan:
    """The plan that corrects `case` without `exclusions`, besides what it leaves out already; asked twice, the same plan.

    An open plan gives way, and its approvals with it. Raises what `edit_case` and `request_preview` raise; then nothing has changed.
    """
    return _preview_edited(case, exclusions, Exclusions(), reason, acting_user)


def take_in(case: Case, exclusions: Exclusions, *, reason: str, acting_user: User) -> Plan:
    """The plan that corrects what `case` left out by `exclusions` too; the opposite of `leave_out`, and like it otherwise."""
    return _preview_edited(case, Exclusions(), exclusions, reason, acting_user)


def _preview_edited(case: Case, out: Exclusions, back: Exclusions, reason: str, acting_user: User) -> Plan:
    demand(acting_user, "remediation.open_case")
    demand(acting_user, "remediation.preview_plan")
    with transaction.atomic():
        revision = edit_case(case, leave_out=out, take_in=back, reason=reason, acting_user=acting_user)
        standing = Plan.objects.filter(
            revision=revision, kind=Plan.Kind.APPLY, retries=None, status__in=OPEN_PLAN
        ).first()
        return standing or request_preview(case, acting_user=acting_user, again=True)
