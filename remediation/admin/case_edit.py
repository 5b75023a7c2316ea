"""The form by which a case comes to look at something else, or to be corrected to another version."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext as _

from remediation.admin.criteria import CRITERIA
from remediation.leave_out import look_at
from remediation.models import Case, CaseRevision, Plan
from transactions.selection import InvalidSelection, Selection

_LISTS = frozenset({"services", "versions", "stores", "countries", "currencies", "references"})
_TIMES = frozenset({"calculated_from", "calculated_before", "occurred_from", "occurred_before"})


@dataclass(frozen=True)
class Field:
    """A criterion in the form, as text: several values apart by commas, a time in ISO 8601 with its offset."""

    name: str
    label: str
    value: str
    hint: str


def edit_fields(revision: CaseRevision) -> list[Field]:
    """What a case looks at, to be edited; the calculator stays."""
    return [
        Field(name, str(label), _text(revision.criteria.get(name)), _hint(name))
        for name, label in CRITERIA.items()
        if name != "calculator"
    ]


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _hint(name: str) -> str:
    if name in _TIMES:
        return _("with its offset, as in 2026-03-26T13:00:00+00:00")
    return _("apart by commas; empty is all") if name in _LISTS else _("in units of the currency")


def selection_in(posted: Mapping[str, str], calculator: str) -> Selection:
    """The selection of `calculator` that the form says. Raises `InvalidSelection`."""
    criteria: dict[str, object] = {"calculator": calculator}
    for name in CRITERIA:
        given = posted.get(name, "").strip()
        if name == "calculator" or not given:
            continue
        criteria[name] = (
            [each.strip() for each in given.split(",") if each.strip()] if name in _LISTS else given
        )
    try:
        return Selection.from_criteria(criteria)
    except ValueError as error:
        raise InvalidSelection(_("That is no time or amount: %s") % error) from error


def press_edit(request: HttpRequest, case: Case, acting_user: User) -> Plan:
    """Look at what the form says, and preview that."""
    revision = case.revisions.latest("number")
    plan = look_at(
        case,
        selection_in(request.POST, revision.criteria["calculator"]),
        request.POST.get("target_version", ""),
        reason=request.POST.get("reason", "").strip(),
        acting_user=acting_user,
    )
    messages.success(request, _("%s is being previewed. It changes nothing.") % plan)
    return plan
