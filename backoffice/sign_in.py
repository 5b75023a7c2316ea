"""Who signed in and out, and who tried to, stands in the trail: by the signals that every way of signing in sends."""

import hmac
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest

from audit.flood import Limit, record_within
from backoffice.events import SIGN_IN_FAILED, SIGNED_IN, SIGNED_OUT, SignedData, SignInFailedData

OFTEN = Limit(a_subject=60, in_all=600)
FAILURES = Limit(a_subject=10, in_all=100)
UNKNOWN = "an unknown name"


@receiver(user_logged_in, dispatch_uid="amends_signed_in")
def signed_in(request: HttpRequest | None, user: User, **_: Any) -> None:
    """Written before the session is stored: where that fails nobody is signed in."""
    _record(SIGNED_IN, request, user)


@receiver(user_logged_out, dispatch_uid="amends_signed_out")
def signed_out(request: HttpRequest | None, user: User | None, **_: Any) -> None:
    """Somebody who was signed in asked to be so no more. A session that ran out is told by nothing."""
    if user is not None:
        _record(SIGNED_OUT, request, user)


@receiver(user_login_failed, dispatch_uid="amends_sign_in_failed")
def sign_in_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """A name and a password that do not belong together, on a page or for a command.

    A name that nobody has is not written down, since people type their password there: a keyed hash of it tells whether it was the same.
    """
    name = str(credentials.get("username", ""))
    known = User.objects.filter(username=name.replace("\0", "")).first()
    hashed = hmac.new(settings.SECRET_KEY.encode(), name.encode(errors="replace"), "sha256").hexdigest()[:16]
    record_within(
        FAILURES,
        SIGN_IN_FAILED,
        known or User(pk=0, username=UNKNOWN),
        SignInFailedData(address=_address(request), name_hash="" if known else hashed),
        actor=None,
        key=Q(subject_id=known.pk) if known else Q(subject_id=0, data__name_hash=hashed),
        what=known.get_username() if known else f"{UNKNOWN} ({hashed})",
    )


def _record(event: Any, request: HttpRequest | None, user: User) -> None:
    data = SignedData(address=_address(request))
    record_within(OFTEN, event, user, data, actor=user, key=Q(subject_id=user.pk), what=user.get_username())


def _address(request: HttpRequest | None) -> str:
    """Where the connection came from, which is a proxy where there is one: what it says of others can be made up."""
    return str(request.META.get("REMOTE_ADDR") or "") if request is not None else ""
