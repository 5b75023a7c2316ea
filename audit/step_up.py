"""Step-up: whoever decides something that cannot be taken lightly shows once more that they are who they say.

A session that was left open, or taken over, decides nothing that way. What is shown is checked, and never kept.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.errors import Refused
from audit.flood import PERIOD, recent
from audit.trail import record
from audit.trail_events import NOT_CONFIRMED, NotConfirmedData

GOOD_FOR = timedelta(minutes=5)
"""A confirmation that is older counts no more."""
MOST_FAILURES = 5
FAILURES_WITHIN = PERIOD
"""After `MOST_FAILURES` wrong confirmations by one person within this time, none of theirs is checked until some are older.

Only whoever is signed in as that person can use them up, so that a stranger who fails to sign in under a name stops nobody's decisions.
"""
_LOCK_CLASS = 7105
"""First key of the advisory lock under which one person's confirmations are checked one after another."""


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


def confirm_by_password(user: User, password: str) -> Confirmation:
    """Whoever acts, and is signed in as `user`, gives their password again. A wrong one is told to the trail, without it.

    The count of wrong ones is exact, however many are tried at once: each is checked and written under a lock of that person. Not to be
    called inside a transaction that is rolled back where this refuses, or nothing would be counted. Raises `NotConfirmed`,
    `TooManyFailures`.
    """
    if not password:
        raise NotConfirmed(_("Nothing was decided: your password is asked for with each decision."))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, user.pk])
        theirs = Q(subject_type=User._meta.label_lower, subject_id=user.pk)
        if recent(NOT_CONFIRMED.name, theirs, MOST_FAILURES) >= MOST_FAILURES:
            raise TooManyFailures(_too_many())
        # Read under the lock: the password may have been changed, and the account closed, since the session was opened.
        known = User.objects.get(pk=user.pk)
        right = known.is_active and known.check_password(password)
        if not right:
            record(NOT_CONFIRMED, known, NotConfirmedData(by="password"), actor=known)
    if not right:
        raise NotConfirmed(_("Nothing was decided: that is not your password."))
    return Confirmation(user.pk, "password", timezone.now())


def _too_many() -> str:
    minutes = FAILURES_WITHIN.seconds // 60
    return ngettext(
        "Nothing was decided: too many wrong passwords were given in the last %(minutes)s minute. Wait, or ask an administrator.",
        "Nothing was decided: too many wrong passwords were given in the last %(minutes)s minutes. Wait, or ask an administrator.",
        minutes,
    ) % {"minutes": minutes}


def confirmed_by_operator(user: User) -> Confirmation:
    """Whoever runs programs on this machine acts as `user`: the demo, benchmarks. Pages and commands ask for a password."""
    return Confirmation(user.pk, "operator", timezone.now())


def demand_confirmation(confirmation: Confirmation, user: User) -> None:
    """Raise `NotConfirmed` unless `confirmation` is `user`'s, and recent."""
    if confirmation.user != user.pk:
        raise NotConfirmed(_("Nothing was decided: somebody else confirmed it."))
    if timezone.now() - confirmation.at > GOOD_FOR:
        raise NotConfirmed(_("Nothing was decided: it was confirmed too long ago. Confirm it again."))
