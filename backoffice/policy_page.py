"""What the approval policy asks, when it changed, and who has which role: to be read by everybody."""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from backoffice.roles import ROLES
from remediation.models import Plan
from remediation.policy import Policy, policy_in_force

MOST_PLANS = 200
"""Plans whose snapshots are looked through for when the policy changed: the newest."""
MOST_PEOPLE = 200
_MAY: dict[str, Promise] = {
    "support": _("Looks everything up, comments on cases, and sees personal data where it says why."),
    "engineer": _("Imports, opens and edits cases, previews, applies, verifies, and steers jobs."),
    "approver": _("Approves and rejects plans that somebody else asked for, and steers jobs."),
    "auditor": _("Reads everything, draws audit samples, verifies and exports the trail; changes nothing."),
    "administrator": _("Manages accounts and roles, and oversees the trail; may not approve."),
}


@dataclass(frozen=True)
class RoleLine:
    """A role, what it may do in words, and who has it."""

    name: str
    may: Promise
    people: list[User]


@dataclass(frozen=True)
class PolicyChange:
    """A plan that was the first, as far back as was looked, to be previewed under other rules than the one before it."""

    plan: Plan
    changed: list[str]


def policy_urls(site: admin.AdminSite) -> list[URLPattern]:
    """The page's address, on the site that it is shown on."""

    @require_safe
    def view(request: HttpRequest) -> HttpResponse:
        context: dict[str, Any] = {
            **site.each_context(request),
            "title": _("Policy and people"),
            "policy": policy_in_force(),
            "changes": policy_changes(),
            "plans_looked_at": MOST_PLANS,
            "roles": role_lines(),
            "most_people": MOST_PEOPLE,
            "may_edit_people": request.user.has_perm("auth.change_user"),
        }
        return TemplateResponse(request, "backoffice/policy.html", context)

    return [path("policy/", site.admin_view(view), name="policy")]


def policy_changes() -> list[PolicyChange]:
    """When the rules changed, the newest first: told by the snapshots that plans keep."""
    plans = list(Plan.objects.select_related("requested_by").defer("manifest").order_by("-pk")[:MOST_PLANS])
    found = []
    for newer, older in pairwise(plans):
        before, after = Policy(**older.policy), Policy(**newer.policy)
        changed = [
            each.name for each in fields(Policy) if getattr(before, each.name) != getattr(after, each.name)
        ]
        if changed:
            found.append(PolicyChange(newer, [name.replace("_", " ") for name in changed]))
    return found


def role_lines() -> list[RoleLine]:
    """Every role with the active people who have it, by name."""
    return [RoleLine(name, _MAY[name], list(_people_with(name)[:MOST_PEOPLE])) for name in ROLES]


def _people_with(role: str) -> QuerySet[User]:
    return User.objects.filter(groups__name=role, is_active=True).order_by("username")
