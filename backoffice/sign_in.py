"""Who signed in and out, and who tried to, stands in the trail: by the signals that every way of signing in sends."""

import hmac
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest
from django_structlog.signals import bind_extra_request_metadata
from rest_framework.throttling import BaseThrottle
from structlog.contextvars import bind_contextvars

from audit.flood import Limit, record_within
from backoffice.events import SIGN_IN_FAILED, SIGNED_IN, SIGNED_OUT, SignedData, SignInFailedData

OFTEN = Limit(a_subject=60, in_all=600)
FAILURES = Limit(a_subject=10, in_all=100)
UNKNOWN = "an unknown name"


@dataclass(frozen=True)
class NameTried:
    """A name that somebody gave to sign in, with the account that has it; `hashed` is a keyed hash of one that nobody has, else ""."""

    account: User | None
    hashed: str

    @property
    def subject(self) -> User:
        """Whom entries are about."""
        return self.account or User(pk=0, username=UNKNOWN)

    @property
    def entries(self) -> Q:
        """Finds the entries about the same account or name."""
        return Q(subject_id=self.account.pk) if self.account else Q(subject_id=0, data__name_hash=self.hashed)

    @property
    def what(self) -> str:
        """It in words."""
        return self.account.get_username() if self.account else f"{UNKNOWN} ({self.hashed})"


def name_tried(given: object) -> NameTried:
    """The account of that name, if any. A name that nobody has is not kept, since people type their password there."""
    name = str(given or "")
    account = User.objects.filter(username=name.replace("\0", "")).first()
    hashed = hmac.new(settings.SECRET_KEY.encode(), name.encode(errors="replace"), "sha256").hexdigest()[:16]
    return NameTried(account, "" if account else hashed)


def address_of(request: HttpRequest | None) -> str | None:
    """Where the request came from; None for a command, and where nothing says so.

    It is the connection's other end, or with AMENDS_PROXIES what the outermost of so many proxies says of it. What else stands in
    X-Forwarded-For is not read: whoever asks can make it up.
    """
    if request is None:
        return None
    for told in (BaseThrottle().get_ident(request), request.META.get("REMOTE_ADDR")):  # type: ignore[arg-type]
        try:
            return str(ip_address(told or ""))
        except ValueError:
            continue
    return None


@receiver(bind_extra_request_metadata, dispatch_uid="amends_address_in_log")
def address_in_log(request: HttpRequest, **_: Any) -> None:
    """Lines of the log tell the same address as the trail; django-structlog itself would believe any X-Forwarded-For."""
    bind_contextvars(ip=address_of(request))


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
    tried = name_tried(credentials.get("username"))
    told = SignInFailedData(address=address_of(request) or "", name_hash=tried.hashed)
    record_within(
        FAILURES, SIGN_IN_FAILED, tried.subject, told, actor=None, key=tried.entries, what=tried.what
    )


def _record(event: Any, request: HttpRequest | None, user: User) -> None:
    data = SignedData(address=address_of(request) or "")
    record_within(OFTEN, event, user, data, actor=user, key=Q(subject_id=user.pk), what=user.get_username())
