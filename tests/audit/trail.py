"""Entries for the tests of the trail's pages."""

from django.contrib.auth.models import User
from django.db import transaction

from audit.models import AuditEntry
from audit.sentence import sentence
from audit.trail import record
from remediation.events import JOB_FAILED, PLAN_APPROVED, Failed, PlanDecided

LIST = "/audit/auditentry/"


def write(ben: User, count: int = 1, *, reason: str = "") -> list[AuditEntry]:
    """Entries of ben, who approves his own account so often, and of Amends, which gives up on it."""
    with transaction.atomic():
        return [
            entry
            for number in range(count)
            for entry in (
                record(
                    PLAN_APPROVED,
                    ben,
                    PlanDecided(digest="ab", comment=f"<{number}>", status="approved"),
                    actor=ben,
                    reason=reason,
                ),
                record(JOB_FAILED, ben, Failed(failure="the reason"), actor=None),
            )
        ]


def told(client, query: str = "") -> list[str]:
    """The sentences of the list's page, in its order."""
    return [sentence(entry) for entry, *_ in client.get(f"{LIST}{query}").context["lines"]]
