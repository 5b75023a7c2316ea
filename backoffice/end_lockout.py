"""Whoever manages accounts lets somebody sign in again before a lockout is over: `backoffice.lockout` says when one begins."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from audit.denied import note_denied
from audit.errors import Refused
from audit.permission import NotPermitted, demand, may_look_after
from audit.trail import record
from backoffice.events import LOCKOUT_ENDED, LockoutEndedData

PERMISSION = "auth.change_user"


class NotLockedOut(Refused):
    """There is no lockout of that account to end: it is over, or somebody ended it already."""


@dataclass(frozen=True)
class Lockout:
    """From `address` ("" where the connection had none) no password for the account is looked at `until` then, after so many failures."""

    address: str
    failures: int
    until: datetime


def lockouts_of(person: User) -> list[Lockout]:
    """Where the account is locked out just now, by address."""
    return _standing(_attempts(person))


def end_lockouts(person: User, *, acting_user: User) -> list[Lockout]:
    """Forget the wrong passwords that lock `person` out, wherever that is; what was given from other addresses still counts.

    The lockouts that were ended. Raises `NotPermitted` without the permission to change accounts, or for a superuser's by anybody
    else than one; `NotLockedOut`.
    """
    demand(acting_user, PERMISSION)
    if not may_look_after(person, acting_user):
        note_denied(acting_user, f"end a lockout of {person}, a superuser")
        raise NotPermitted("A superuser's account is for superusers to look after.")
    with transaction.atomic():
        attempts = list(_attempts(person).select_for_update())
        ended = _standing(attempts)
        if not ended:
            raise NotLockedOut(f"{person} is not locked out anywhere: there is nothing to end.")
        addresses = {each.address for each in ended}
        AccessAttempt.objects.filter(
            pk__in=[each.pk for each in attempts if (each.ip_address or "") in addresses]
        ).delete()
        told = LockoutEndedData(
            addresses=[each.address for each in ended], failures=sum(each.failures for each in ended)
        )
        record(LOCKOUT_ENDED, person, told, actor=acting_user)
    return ended


def lockout_urls(site: admin.AdminSite) -> list[URLPattern]:
    """The address of the button on an account's page."""

    def view(request: HttpRequest, pk: int) -> HttpResponse:
        person = User.objects.filter(pk=pk).first() if pk < 2**31 else None
        if person is None:
            raise Http404(_("There is no account %(number)s.") % {"number": pk})
        assert isinstance(request.user, User)
        try:
            ended = end_lockouts(person, acting_user=request.user)
        except NotPermitted as refused:
            raise PermissionDenied(str(refused)) from refused
        except NotLockedOut as refused:
            messages.warning(request, str(refused))
        else:
            places = ", ".join(each.address or _("an unknown address") for each in ended)
            said = _("Passwords for %(person)s are looked at again from: %(places)s.")
            messages.success(request, said % {"person": person, "places": places})
        return HttpResponseRedirect(reverse("admin:auth_user_change", args=[pk]))

    return [
        path("auth/user/<int:pk>/end_lockout/", site.admin_view(require_POST(view)), name="end_lockout"),
    ]


def _attempts(person: User) -> "QuerySet[AccessAttempt]":
    """What still counts against the account."""
    begun = datetime.now(UTC) - settings.AXES_COOLOFF_TIME
    found: QuerySet[AccessAttempt] = AccessAttempt.objects.filter(
        username=person.get_username(), attempt_time__gte=begun
    )
    return found.order_by("pk")


def _standing(attempts: Iterable[AccessAttempt]) -> list[Lockout]:
    """Axes counts by browser too, and adds up; so is it added up here."""
    by_address: dict[str, list[AccessAttempt]] = {}
    for each in attempts:
        by_address.setdefault(each.ip_address or "", []).append(each)
    return [
        Lockout(address, failures, max(each.attempt_time for each in found) + settings.AXES_COOLOFF_TIME)
        for address, found in sorted(by_address.items())
        if (failures := sum(each.failures_since_start for each in found)) >= settings.AXES_FAILURE_LIMIT
    ]
