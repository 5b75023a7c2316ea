"""What a case leaves out, as its pages say it, and the buttons to leave more out and to take it in again."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext as _

from remediation.admin.plan_summary import Sum, sums
from remediation.exclusions import Exclusions, InvalidExclusions, merge_left_out
from remediation.leave_out import leave_out, take_in
from remediation.models import Case, CaseRevision, Plan
from transactions.models import Store, Transaction
from transactions.money import MoneyError, parse_amount
from transactions.templatetags.money import money_text

_GIVES_WAY = (Plan.Status.PREVIEWING, Plan.Status.READY, Plan.Status.APPROVED)
"""Plans that a preview without something, or with it again, replaces."""


@dataclass(frozen=True)
class LeftOutRow:
    """One thing that is left out: a cause, a store or changes above a limit. `field` and `value` are what its button's form says.

    `rows` and `money` (what their totals would have changed by) are those that a plan left out by it; None where no plan has looked yet.
    """

    field: str
    value: str
    words: str
    rows: int | None
    money: list[Sum]
    example: Transaction | None
    store: Store | None = None


def left_out_rows(revision: CaseRevision, plan: Plan | None) -> list[LeftOutRow]:
    """Everything that a revision of a case leaves out, with what `plan`, of that revision, did not correct for it."""
    exclusions = Exclusions.from_json(revision.exclusions)
    if not exclusions:
        return []
    scanned = plan is not None and plan.manifest is not None
    chunks = plan.chunks.exclude(left_out=0).values_list("left_out_sums", flat=True) if plan else []
    merged = merge_left_out(list(chunks))
    examples = Transaction.objects.in_bulk(
        [part["example"] for parts in merged.values() for part in parts.values()]
    )
    stores = {store.reference: store for store in Store.objects.filter(reference__in=exclusions.stores)}

    def row(kind: str, field: str, name: str, words: str) -> LeftOutRow:
        part = merged[kind].get(name, {"count": 0 if scanned else None, "delta": {}, "example": 0})
        return LeftOutRow(
            field,
            name,
            words,
            part["count"],
            sums(part["delta"]),
            examples.get(part["example"]),
            stores.get(name) if kind == "stores" else None,
        )

    return [
        *(row("causes", "cause", cause, _("Cause “%s”") % cause) for cause in exclusions.causes),
        *(row("stores", "store", store, _("Store %s") % store) for store in exclusions.stores),
        *(
            row("larger_than", "larger_than", key, _("Changes by more than %s") % _limit_text(key, limit))
            for key, limit in exclusions.larger_than.items()
        ),
    ]


def left_out_of_plan(plan: Plan, user: Any) -> dict[str, Any]:
    """What a plan's page says of what it leaves out, for the template “left_out.html”."""
    rows = left_out_rows(plan.revision, plan)
    may_edit = user.has_perms(("remediation.open_case", "remediation.preview_plan"))
    with_everything = Plan.objects.filter(
        case=plan.case_id,
        kind=Plan.Kind.APPLY,
        retries=None,
        manifest__isnull=False,
        revision__exclusions={},
        pk__lt=plan.pk,
    )
    return {
        "left_out": rows,
        "left_out_case": plan.case_id,
        "may_take_in": may_edit and plan.kind == Plan.Kind.APPLY and plan.status in _GIVES_WAY,
        "standing": plan.pk,
        "left_out_beside": with_everything.first()
        if rows and plan.manifest is not None and plan.kind == Plan.Kind.APPLY
        else None,
    }


def _limit_text(key: str, limit: int) -> str:
    currency, _colon, scale = key.partition(":")
    return money_text(limit, currency, int(scale))


def named_in(request: HttpRequest, *, without_limit: int = -1) -> Exclusions:
    """What a form names: fields `cause` and `store`, any number of each, `larger_than` as “USD:2=5000” in smallest units (without
    a limit it is `without_limit`), or `amount` in units of money with `currency` as “USD:2”.

    Raises `InvalidExclusions` where it names nothing, or no such thing.
    """
    limits: dict[str, int] = {}
    for named in request.POST.getlist("larger_than"):
        key, _equals, limit = named.partition("=")
        limits[key] = int(limit) if limit.isdecimal() and len(limit) < 19 else without_limit
    if amount := request.POST.get("amount", "").strip():
        key = request.POST.get("currency", "")
        scale = key.partition(":")[2]
        try:
            limits[key] = parse_amount(amount, int(scale) if scale.isdecimal() and len(scale) < 3 else 0)
        except MoneyError as error:
            raise InvalidExclusions(str(error)) from error
    exclusions = Exclusions(
        tuple(filter(None, map(str.strip, request.POST.getlist("cause")))),
        tuple(filter(None, map(str.strip, request.POST.getlist("store")))),
        limits,
    )
    if not exclusions:
        raise InvalidExclusions(_("Name a cause, a store or an amount."))
    return exclusions


def press_leave_out(request: HttpRequest, case: Case, acting_user: User) -> Plan:
    """Leave out what the form names, and preview the case without it."""
    return _told(
        request, leave_out(case, named_in(request), reason=_reason(request), acting_user=acting_user)
    )


def press_take_in(request: HttpRequest, case: Case, acting_user: User) -> Plan:
    """Take in again what the form names, and preview the case with it; of a limit the currency is enough."""
    return _told(
        request,
        take_in(case, named_in(request, without_limit=0), reason=_reason(request), acting_user=acting_user),
    )


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()


def _told(request: HttpRequest, plan: Plan) -> Plan:
    left: Any = Exclusions.from_json(plan.revision.exclusions)
    messages.success(
        request,
        _("%(plan)s is being previewed; it leaves out %(left_out)s. Nothing is corrected by that.")
        % {"plan": plan, "left_out": left},
    )
    return plan
