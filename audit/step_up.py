"""Step-up: whoever decides something that cannot be taken lightly shows once more that they are who they say.

A session that was left open, or taken over, decides nothing that way. What is shown is checked, and never kept.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.errors import Refused
from audit.models import AuditEntry

GOOD_FOR = timedelta(minutes=5)
"""A confirmation that is older counts no more."""
MOST_FAILURES = 5
FAILURES_WITHIN = timedelta(minutes=10)
"""After `MOST_FAILURES` wrong passwords within this time, signing in included, none is checked until some are older."""
_FAILED = "user.sign_in_failed"


class NotConfirmed(Refused):
    """The decision was not confirmed: nothing, or a wrong password, was given, or it was too long ago, or by somebody else."""


class TooManyFailures(NotConfirmed):
    """So many wrong passwords were given lately that no more are checked for now."""


@dataclass(frozen=True)
class Confirmation:
    """That the user of id `user` confirmed `at` (with its offset) that it is they; `by` says how: "password" or "operator"."""

    user: int
    by: str
    at: datetime


def confirm_by_password(user: User, password: str, *, request: HttpRequest | None = None) -> Confirmation:
    """Whoever acts gives their password again. A wrong one is told to the trail as a failed sign-in.

    Raises `NotConfirmed`, `TooManyFailures`.
    """
    if not password:
        raise NotConfirmed(_("Nothing was decided: your password is asked for with each decision."))
    lately = timezone.now() - FAILURES_WITHIN
    failures = AuditEntry.objects.filter(
        event=_FAILED, subject_type=User._meta.label_lower, subject_id=user.pk, occurred_at__gt=lately
    )
    if len(failures.values_list("pk", flat=True)[:MOST_FAILURES]) == MOST_FAILURES:
        minutes = FAILURES_WITHIN.seconds // 60
        raise TooManyFailures(
            ngettext(
                "Nothing was decided: too many wrong passwords were given in the last %(minutes)s minute. Wait, or ask an administrator.",
                "Nothing was decided: too many wrong passwords were given in the last %(minutes)s minutes. Wait, or ask an administrator.",
                minutes,
            )
            % {"minutes": minutes}
        )
    known = authenticate(request, username=user.get_username(), password=password)
    if known is None or known.pk != user.pk:
        raise NotConfirmed(_("Nothing was decided: that is not your password."))
    return Confirmation(user.pk, "password", timezone.now())


def confirmed_by_operator(user: User) -> Confirmation:
    """Whoever runs programs on this machine acts as `user`: the demo, benchmarks. Pages and commands ask for a password."""
    return Confirmation(user.pk, "operator", timezone.now())


def demand_confirmation(confirmation: Confirmation, user: User) -> None:
    """Raise `NotConfirmed` unless `confirmation` is `user`'s, and recent."""
    if confirmation.user != user.pk:
        raise NotConfirmed(_("Nothing was decided: somebody else confirmed it."))
    if timezone.now() - confirmation.at > GOOD_FOR:
        raise NotConfirmed(_("Nothing was decided: it was confirmed too long ago. Confirm it again."))
