"""Step-up: whoever decides something that cannot be taken lightly shows once more that they are who they say.

A session that was left open, or taken over, decides nothing that way. What is shown is checked, and never kept.
"""

from collections.abc import Callable
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
from audit.one_time_codes import TooSoon, accept_code, has_second_factor, second_factor_missing
from audit.trail import record
from audit.trail_events import NOT_CONFIRMED, NotConfirmedData

GOOD_FOR = timedelta(minutes=5)
"""A confirmation that is older counts no more."""
MOST_FAILURES = 5
FAILURES_WITHIN = PERIOD
"""After `MOST_FAILURES` wrong confirmations by one person within this time, none of theirs is checked until some are older.

Only whoever is signed in as that person can use them up, so that a stranger who fails to sign in under a name stops nobody's decisions.
"""
OPERATOR = "operator"
_LOCK_CLASS = 7105
"""First key of the advisory lock under which one person's confirmations are checked one after another."""


class NotConfirmed(Refused):
    """The decision was not confirmed: nothing, or a wrong password or code, was given, or it was too long ago, or by somebody else."""


class TooManyFailures(NotConfirmed):
    """So many wrong passwords and codes were given lately that no more are checked for now."""


@dataclass(frozen=True)
class Confirmation:
    """That the user of id `user` confirmed `at` (with its offset) that it is they.

    `by` says how: "password", "code", "recovery code" or "operator".
    """

    user: int
    by: str
    at: datetime


class SecondFactorMissing(NotConfirmed):
    """Whoever decides must have a second factor, and this person has none."""


def confirm_by_password(user: User, password: str) -> Confirmation:
    """Whoever acts, and is signed in as `user`, gives their password again. A wrong one is told to the trail, without it.

    The count of wrong ones is exact, however many are tried at once: each is checked and written under a lock of that person. Not to be
    called inside a transaction that is rolled back where this refuses, or nothing would be counted. Raises `NotConfirmed`,
    `TooManyFailures`.
    """
    if not password:
        raise NotConfirmed(_("Nothing was done: your password is asked for."))
    by = _checked_by(user, "password", lambda known: "password" if known.check_password(password) else None)
    if by is None:
        raise NotConfirmed(_("Nothing was done: that is not your password."))
    return Confirmation(user.pk, by, timezone.now())


def confirm_by_code(user: User, code: str) -> Confirmation:
    """The same by a code of `user`'s second factor, or a recovery code: each is good once. Wrong ones count with wrong passwords.

    Raises `NotConfirmed`, `TooManyFailures`.
    """
    if not code.strip():
        raise NotConfirmed(
            _("Nothing was done: the code that your app shows is asked for, or a recovery code.")
        )
    try:
        by = _checked_by(user, "code", lambda known: accept_code(known, code))
    except TooSoon as too_soon:
        raise NotConfirmed(str(too_soon)) from too_soon
    if by is None:
        raise NotConfirmed(
            _(
                "Nothing was done: that code is wrong, or was used before. Wait until your app shows the next one."
            )
        )
    return Confirmation(user.pk, str(by), timezone.now())


def _checked_by(user: User, asked: str, check: Callable[[User], str | None]) -> str | None:
    """What `check` says of the account as it is now, under the lock; None, where it refuses, is counted and told to the trail."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, user.pk])
        theirs = Q(subject_type=User._meta.label_lower, subject_id=user.pk)
        if recent(NOT_CONFIRMED.name, theirs, MOST_FAILURES) >= MOST_FAILURES:
            raise TooManyFailures(_too_many())
        # Read under the lock: the password may have been changed, and the account closed, since the session was opened.
        known = User.objects.get(pk=user.pk)
        by = check(known) if known.is_active else None
        if by is None:
            record(NOT_CONFIRMED, known, NotConfirmedData(by=asked), actor=known)
    return by


def _too_many() -> str:
    minutes = FAILURES_WITHIN.seconds // 60
    return ngettext(
        "Nothing was done: too many wrong passwords or codes were given in the last %(minutes)s minute. Wait, or ask an administrator.",
        "Nothing was done: too many wrong passwords or codes were given in the last %(minutes)s minutes. Wait, or ask an administrator.",
        minutes,
    ) % {"minutes": minutes}


def confirmed_by_operator(user: User) -> Confirmation:
    """Whoever runs programs on this machine acts as `user`: the demo, benchmarks. Pages and commands ask for a password or a code."""
    return Confirmation(user.pk, OPERATOR, timezone.now())


def demand_confirmation(confirmation: Confirmation, user: User) -> None:
    """Raise `NotConfirmed` unless `confirmation` is `user`'s, recent, and by a code where they have a second factor or must have one."""
    if confirmation.user != user.pk:
        raise NotConfirmed(_("Nothing was done: somebody else confirmed it."))
    if timezone.now() - confirmation.at > GOOD_FOR:
        raise NotConfirmed(_("Nothing was done: it was confirmed too long ago. Confirm it again."))
    if confirmation.by != "password":
        return
    insist_on_second_factor(user)
    if has_second_factor(user):
        raise NotConfirmed(_("Nothing was done: you have a second factor, and its code is asked for."))


def insist_on_second_factor(user: User) -> None:
    """Raise `SecondFactorMissing` where whoever decides must have one (AMENDS_SECOND_FACTOR), and `user` has none."""
    if second_factor_missing(user):
        raise SecondFactorMissing(
            _(
                "Nothing was done: here only who has a second factor decides. Set one up under “Account”, beside your name."
            )
        )
