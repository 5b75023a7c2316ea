"""Who may do what: the roles people have, as Django groups, and the permissions of each."""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_OWN_APPS = ("audit", "transactions", "remediation")

# Codenames beside viewing, which every role may: Amends hides nothing from its own people.
ROLES: dict[str, tuple[str, ...]] = {
    "support": ("comment_on_case", "reveal_personal_data"),
    "engineer": (
        "open_case",
        "comment_on_case",
        "preview_plan",
        "apply_plan",
        "verify_case",
        "control_job",
        "import_transactions",
    ),
    "approver": ("approve_plan", "comment_on_case", "control_job"),
    "auditor": ("audit_sample", "export_trail", "oversee_trail", "reveal_personal_data"),
    "administrator": (
        "comment_on_case",
        "export_trail",
        "oversee_trail",
        "view_user",
        "add_user",
        "change_user",
        "view_group",
        "view_permission",
    ),
}

MAY: dict[str, Promise] = {
    "support": _("Looks everything up, comments on cases, and sees personal data where it says why."),
    "engineer": _("Imports, opens and edits cases, previews, applies, verifies, and steers jobs."),
    "approver": _("Approves and rejects plans that somebody else asked for, and steers jobs."),
    "auditor": _("Reads everything, draws audit samples, verifies and exports the trail; changes nothing."),
    "administrator": _("Manages accounts and roles, and oversees the trail; may not approve."),
}
"""What each role may do, in words."""


class UnknownPermission(LookupError):
    """A role names a permission that no model declares."""


def permissions_of(role: str, using: str = "default") -> list[Permission]:
    """The permissions of a role, read from the database `using`. Raises `UnknownPermission`."""
    stored = Permission.objects.using(using)
    viewing = Q(content_type__app_label__in=_OWN_APPS, codename__startswith="view_")
    named = Q(content_type__app_label__in=(*_OWN_APPS, "auth"), codename__in=ROLES[role])
    found = list(stored.filter(viewing | named).select_related("content_type"))
    missing = set(ROLES[role]) - {permission.codename for permission in found}
    if missing:
        raise UnknownPermission(
            f"The role {role} names permissions that no model declares: {', '.join(sorted(missing))}."
        )
    return found


def write_roles(using: str) -> None:
    """Make the groups of all roles hold exactly their permissions. Safe to repeat."""
    for role in ROLES:
        group, _ = Group.objects.using(using).get_or_create(name=role)
        group.permissions.set(permissions_of(role, using))
