"""How things stand, for the side of the first page: money this week, how wrong releases are, the trail, and who tried what."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.contrib import admin
from django.http import HttpRequest

from audit.admin.integrity import integrity_in_short
from audit.models import AuditEntry
from audit.sentence import sentence
from backoffice.site import AmendsAdminSite
from remediation.admin.plan_summary import sums
from remediation.corrections import PLANS_LOOKED_AT, mismatches, moved_since

WEEK = timedelta(days=7)
MOST_RELEASES = 8
NEWEST = 5
"""Exports and attempts of each kind."""
TAKEN_ALONG = ("trail.exported", "case.exported")
ATTEMPTED = ("access.denied", "user.sign_in_failed", "user.locked_out", "user.not_confirmed", "trail.flooded")


def money_this_week(request: HttpRequest) -> dict[str, Any]:
    """What was corrected and taken back in the last seven days, by currency."""
    if not request.user.has_perm("remediation.view_job"):
        return {}
    moved = moved_since(datetime.now(UTC) - WEEK)
    return {"moved": [(each, sums(each.money)) for each in moved], "shows_money": True}


def mismatch_rates(request: HttpRequest) -> dict[str, Any]:
    """How many of the rows that previews looked at were wrong, by release; the worst ones."""
    if not request.user.has_perm("remediation.view_plan"):
        return {}
    found = mismatches()
    return {
        "mismatches": found[:MOST_RELEASES],
        "more_mismatches": max(len(found) - MOST_RELEASES, 0),
        "plans_looked_at": PLANS_LOOKED_AT,
        "shows_mismatches": True,
        "today": datetime.now(UTC),
    }


def trail_integrity(request: HttpRequest) -> dict[str, Any]:
    """How the trail is protected, for those who oversee it."""
    return integrity_in_short() if request.user.has_perm("audit.oversee_trail") else {}


def taken_and_tried(request: HttpRequest) -> dict[str, Any]:
    """The newest copies that were taken along, and attempts at what is not permitted, for those who oversee the trail."""
    if not request.user.has_perm("audit.oversee_trail"):
        return {}
    newest = [
        AuditEntry.objects.filter(event=event).order_by("-occurred_at", "-pk")[:NEWEST]
        for event in (*TAKEN_ALONG, *ATTEMPTED)
    ]
    entries = sorted(
        newest[0].union(*newest[1:]), key=lambda entry: (entry.occurred_at, entry.pk), reverse=True
    )
    told = [(entry, sentence(entry)) for entry in entries]
    return {
        "overseen": True,
        "taken": [line for line in told if line[0].event in TAKEN_ALONG][:NEWEST],
        "tried": [line for line in told if line[0].event in ATTEMPTED][:NEWEST],
    }


site = cast("AmendsAdminSite", admin.site)
site.add_home_part("trail_integrity", trail_integrity, aside=True)
site.add_home_part("taken_and_tried", taken_and_tried, aside=True)
site.add_home_part("money_this_week", money_this_week, aside=True)
site.add_home_part("mismatch_rates", mismatch_rates, aside=True)
