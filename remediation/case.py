"""Opening a case: why something is to be corrected, and what is looked at."""

from hashlib import sha256

from django.contrib.auth.models import User
from django.db import transaction

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.events import CASE_OPENED, CaseOpened
from remediation.models import Case, CaseRevision
from transactions.canonical import canonical_json
from transactions.selection import Selection


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
