"""The keyboard shortcuts: what the dialog on `?` and the page “Keyboard shortcuts” list is what static/js/keyboard.js does.

None of them does anything but go somewhere or move the focus: what changes something is pressed on purpose.
"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


@dataclass(frozen=True)
class Shortcut:
    """Keys pressed one after the other, "g c", and what they do: lead to `url`, or, where that is "", the `act` of the script."""

    keys: str
    label: Text
    url: str = ""
    act: str = ""

    @property
    def each_key(self) -> list[str]:
        return self.keys.split()


GOING = (
    ("g h", _("First page"), "index", ""),
    ("g f", _("Find"), "find", "transactions.view_transaction"),
    ("g c", _("Cases"), "remediation_case_changelist", "remediation.view_case"),
    ("g p", _("Plans"), "remediation_plan_changelist", "remediation.view_plan"),
    ("g j", _("Jobs"), "remediation_job_changelist", "remediation.view_job"),
    ("g w", _("Workers"), "remediation_job_workers", "remediation.view_job"),
    ("g t", _("Transactions"), "transactions_transaction_changelist", "transactions.view_transaction"),
    ("g s", _("Stores"), "transactions_store_changelist", "transactions.view_store"),
    ("g r", _("Releases"), "transactions_release_changelist", "transactions.view_release"),
    ("g a", _("Audit trail"), "audit_auditentry_changelist", "audit.view_auditentry"),
)
ACTING = (
    Shortcut("/", _("To the search box"), act="search"),
    Shortcut("j", _("To the next row of a list"), act="next-row"),
    Shortcut("k", _("To the row before"), act="previous-row"),
    Shortcut("n", _("Next page of a list"), act="next-page"),
    Shortcut("b", _("Page before"), act="previous-page"),
    Shortcut("?", _("These shortcuts"), act="help"),
)


def shortcuts_for(request: HttpRequest) -> list[Shortcut]:
    """The shortcuts that lead `request`'s reader somewhere they may go, and those that move about a page."""
    found = []
    for keys, label, name, permission in GOING:
        if permission and not request.user.has_perm(permission):
            continue
        try:
            found.append(Shortcut(keys, label, url=reverse(f"admin:{name}")))
        except NoReverseMatch:
            continue
    return [*found, *ACTING]


def keyboard_context(request: HttpRequest) -> dict[str, Any]:
    """What the frame needs for the dialog."""
    return {"shortcuts": shortcuts_for(request)}
