"""What the approval policy asks, when it changed, and who has which role: to be read by everybody."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from backoffice.roles import MAY
from remediation.admin.decide import Approver, approvers_of
from remediation.admin.plan_summary import plan_change_in_words, why_not_fresh
from remediation.approval import valid_approvals
from remediation.models import Plan
from remediation.policy import Policy, policy_in_force

MOST_PLANS = 200
"""Plans whose snapshots are looked through for when the policy changed: the newest."""
MOST_PEOPLE = 200
"""People of a role that are listed."""
MOST_WAITING = 5
"""Plans that wait for a decision, with who may decide on each: three queries a plan."""
MOST_DECIDERS = 20
"""People who may decide on a plan that are listed with it."""
RULES: dict[str, Promise] = {
    "approvals": _("Approvals of a usual plan"),
    "approvals_for_large": _("Approvals of a large plan"),
    "large_count": _("Large above so many corrections"),
    "large_money": _("Large where totals change by more than"),
    "largest_single": _("Large where a single total changes by more than"),
    "typed_above": _("Typed above so many corrections"),
    "fresh_hours": _("Hours that a plan is fresh"),
}
"""Each rule of a policy in words."""


@dataclass(frozen=True)
class RoleLine:
    """A role, what it may do in words, and who has it, those who are inactive last; whether there are more than are listed."""

    name: str | Promise
    may: Promise
    people: list[User]
    more: bool


@dataclass(frozen=True)
class RuleChange:
    """A rule in words, with what it said before and after."""

    rule: Promise
    before: str
    after: str


@dataclass(frozen=True)
class PolicyChange:
    """Rules that differ from those of the plan before. `plan` was the first under the new ones; None where there is none yet."""

    plan: Plan | None
    changed: list[RuleChange]


@dataclass(frozen=True)
class WaitingPlan:
    """A plan that waits for a decision, how many approvals it has, and who may decide on it; whether there are more of those."""

    plan: Plan
    given: int
    money: str
    not_fresh: str
    deciders: list[Approver]
    more: bool


def policy_urls(site: admin.AdminSite) -> list[URLPattern]:
    """The page's address, on the site that it is shown on."""

    @require_safe
    def view(request: HttpRequest) -> HttpResponse:
        changes, more_plans = policy_changes()
        waiting, more_waiting = waiting_plans()
        context: dict[str, Any] = {
            **site.each_context(request),
            "title": _("Policy and people"),
            "policy": policy_in_force(),
            "changes": changes,
            "plans_looked_at": MOST_PLANS if more_plans else None,
            "waiting": waiting,
            "most_waiting": MOST_WAITING if more_waiting else None,
            "most_deciders": MOST_DECIDERS,
            "roles": role_lines(),
            "most_people": MOST_PEOPLE,
            "may_edit_people": request.user.has_perm("auth.change_user"),
        }
        return TemplateResponse(request, "backoffice/policy.html", context)

    return [path("policy/", site.admin_view(view), name="policy")]


def policy_changes() -> tuple[list[PolicyChange], bool]:
    """When the rules changed, the newest first, as the snapshots tell that plans keep; and whether there are older plans, not looked at."""
    plans = list(Plan.objects.defer("manifest").order_by("-pk")[: MOST_PLANS + 1])
    looked_at = plans[:MOST_PLANS]
    found = []
    if looked_at and (changed := _rules_changed(Policy(**looked_at[0].policy), policy_in_force())):
        found.append(PolicyChange(None, changed))
    for newer, older in pairwise(looked_at):
        if changed := _rules_changed(Policy(**older.policy), Policy(**newer.policy)):
            found.append(PolicyChange(newer, changed))
    return found, len(plans) > MOST_PLANS


def waiting_plans() -> tuple[list[WaitingPlan], bool]:
    """The newest plans that wait for a decision, and whether there are more."""
    ready = Plan.objects.filter(status=Plan.Status.READY, manifest__proposed__gt=0).order_by("-pk")
    plans = list(ready.select_related("case", "revision").prefetch_related("approvals")[: MOST_WAITING + 1])
    return [_waiting(plan) for plan in plans[:MOST_WAITING]], len(plans) > MOST_WAITING


def role_lines() -> list[RoleLine]:
    """Every role with the people who have it, by name; then those who need none, and those who have none."""
    people = User.objects.all()
    lines = [_line(name, may, people.filter(groups__name=name)) for name, may in MAY.items()]
    superusers = _line(
        _("superuser"),
        _(
            "Everything, whatever the roles: made by whoever runs the machine. Own work is not decided on even so."
        ),
        people.filter(is_superuser=True),
    )
    without = _line(
        _("without a role"),
        _("Nothing but signing in, and changing their own password."),
        people.filter(groups=None, is_superuser=False),
    )
    return [*lines, superusers, *([without] if without.people else [])]


def _line(name: str | Promise, may: Promise, people: QuerySet[User]) -> RoleLine:
    found = list(people.order_by("-is_active", "username")[: MOST_PEOPLE + 1])
    return RoleLine(name, may, found[:MOST_PEOPLE], len(found) > MOST_PEOPLE)


def _waiting(plan: Plan) -> WaitingPlan:
    deciders = [approver for approver in approvers_of(plan) if not approver.why_not]
    return WaitingPlan(
        plan,
        valid_approvals(plan),
        plan_change_in_words(plan),
        why_not_fresh(plan),
        deciders[:MOST_DECIDERS],
        len(deciders) > MOST_DECIDERS,
    )


def _rules_changed(before: Policy, after: Policy) -> list[RuleChange]:
    pairs = ((each.name, getattr(before, each.name), getattr(after, each.name)) for each in fields(Policy))
    return [RuleChange(RULES[name], _said(old), _said(new)) for name, old, new in pairs if old != new]


def _said(value: int | Mapping[str, str]) -> str:
    if isinstance(value, int):
        return str(number_format(value, decimal_pos=0, use_l10n=True, force_grouping=True))
    limits = [f"{currency}\N{NO-BREAK SPACE}{limit}" for currency, limit in sorted(value.items())]
    return ", ".join(limits) or gettext("no limit")
