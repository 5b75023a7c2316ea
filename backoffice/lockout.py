"""Whoever gives too many wrong passwords for a name, from one address, is not listened to for a while: django-axes, as Amends uses it.

Name and address are counted together, so that nobody can lock somebody else out from elsewhere. How many there were is asked before a
password is checked: as many requests as are served at once may each come through beyond the limit.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from math import ceil
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from django.conf import settings
from django.db.models import Max
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from audit.flood import Limit, record_within
from backoffice.error_pages import page_in_frame
from backoffice.events import LOCKED_OUT, LockedOutData
from backoffice.sign_in import NameTried, address_of, name_tried

LOCKOUTS = Limit(a_subject=10, in_all=100)


class LockoutBackend(AxesStandaloneBackend):  # type: ignore[misc]
    """Asked ahead of the backend that checks passwords. What comes without a request is a command's, and is let through.

    Whoever runs a command is on the machine already, where the database's address lies beside it, and comes from no address that could be
    counted. What they fail at stands in the trail like all else.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **given: Any,
    ) -> None:
        if request is not None:
            super().authenticate(request, username=username, password=password, **given)


def counted_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """What stands for the name where attempts are counted: an account's name, or a keyed hash, since people type passwords there."""
    return _counted(name_tried((credentials or request.POST).get("username")))


def locked_out(request: HttpRequest, _: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """The page, 429, that says when to try again: shown instead of the one to sign in, which axes hands over too."""
    attempts = AccessAttempt.objects.filter(
        username=counted_name(request, credentials), ip_address=address_of(request)
    )
    newest = attempts.aggregate(newest=Max("attempt_time"))["newest"]
    now = datetime.now(UTC)
    until = (newest or now) + settings.AXES_COOLOFF_TIME
    left = max(ceil((until - now).total_seconds()), 1)
    answer = page_in_frame(
        request,
        "429.html",
        HTTPStatus.TOO_MANY_REQUESTS,
        until=until,
        minutes=ceil(left / 60),
        failures=settings.AXES_FAILURE_LIMIT,
    )
    answer["Retry-After"] = str(left)
    return answer


@receiver(user_locked_out, dispatch_uid="amends_locked_out")
def tell_lockout(request: HttpRequest, **_: Any) -> None:
    """When it begins. What is tried meanwhile stands in the trail as failing to sign in; nothing was counted for it."""
    if request.axes_failures_since_start is None:  # type: ignore[attr-defined]
        return
    tried = name_tried(request.axes_credentials.get("username"))  # type: ignore[attr-defined]
    told = LockedOutData(
        address=address_of(request) or "",
        name_hash=tried.hashed,
        failures=settings.AXES_FAILURE_LIMIT,
        minutes=ceil(settings.AXES_COOLOFF_TIME.total_seconds() / 60),
    )
    record_within(LOCKOUTS, LOCKED_OUT, tried.subject, told, actor=None, key=tried.entries, what=tried.what)


def _counted(tried: NameTried) -> str:
    return tried.account.get_username() if tried.account else tried.hashed
