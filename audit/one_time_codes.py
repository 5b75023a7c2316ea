"""The second factor: codes of an app that change every half a minute (RFC 6238), or recovery codes. django-otp keeps and checks them.

Each is accepted once only. After wrong ones the next is looked at after a pause that doubles: 1, 2, 4 seconds and so on.
"""

from datetime import datetime
from enum import StrEnum
from math import ceil

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import ngettext
from django_otp.models import ThrottlingMixin
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from audit.errors import Refused
from audit.trail import record
from audit.trail_events import RECOVERY_CODE_USED, RecoveryCodeUsedData

REQUIRED = "required-to-decide"
DIGITS = 6
_BETWEEN = {ord(mark): None for mark in " -\N{NO-BREAK SPACE}\t"}


class TooSoon(Refused):
    """After wrong codes the next one is looked at only later; this one was not."""


class ShownBy(StrEnum):
    """What somebody with a second factor gave: `Confirmation.by` and the trail say it so."""

    CODE = "code"
    RECOVERY_CODE = "recovery code"


def has_second_factor(user: User) -> bool:
    """Whether `user` has turned on a second factor."""
    return bool(TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).exists())


def second_factor_since(user: User) -> datetime | None:
    """When it was turned on, with its offset; None where there is none."""
    found = TOTPDevice.objects.filter(user_id=user.pk, confirmed=True)
    since: datetime | None = found.values_list("created_at", flat=True).first()
    return since


def recovery_codes_left(user: User) -> int:
    """How many recovery codes were not used yet."""
    return int(StaticToken.objects.filter(device__user_id=user.pk).count())


def with_second_factor(people: QuerySet[User]) -> QuerySet[User]:
    """`people`, each with `has_second_factor` as an attribute, by the same query."""
    theirs = TOTPDevice.objects.filter(user_id=OuterRef("pk"), confirmed=True)
    return people.annotate(has_second_factor=Exists(theirs))


def second_factor_required() -> bool:
    """Whether whoever decides must have a second factor (AMENDS_SECOND_FACTOR)."""
    return bool(settings.AMENDS_SECOND_FACTOR == REQUIRED)


def second_factor_missing(user: User) -> bool:
    """Whether whoever decides must have a second factor, and `user` has none."""
    return second_factor_required() and not has_second_factor(user)


def accept_code(user: User, given: str) -> ShownBy | None:
    """Use up a code of `user`'s: six digits are the app's, all else is a recovery code, which the trail then tells of.

    None where it is wrong, or was used before; that is counted with the device, and must be committed. Raises `TooSoon`, and counts
    nothing, where none is looked at yet.
    """
    code = given.translate(_BETWEEN).lower()
    by = (
        ShownBy.CODE if code.isascii() and code.isdecimal() and len(code) == DIGITS else ShownBy.RECOVERY_CODE
    )
    with transaction.atomic():
        # Locked, so that of two who give one code at once only one is let through.
        if by is ShownBy.CODE:
            device = TOTPDevice.objects.select_for_update().filter(user_id=user.pk, confirmed=True).first()
        else:
            device = StaticDevice.objects.select_for_update().filter(user_id=user.pk, confirmed=True).first()
        if device is None:
            return None
        _insist_not_too_soon(device)
        if not device.verify_token(code):
            return None
        if by is ShownBy.RECOVERY_CODE:
            record(RECOVERY_CODE_USED, user, RecoveryCodeUsedData(left=recovery_codes_left(user)), actor=user)
    return by


def _insist_not_too_soon(device: ThrottlingMixin) -> None:
    allowed, why_not = device.verify_is_allowed()
    if allowed:
        return
    seconds = max(ceil((why_not["locked_until"] - timezone.now()).total_seconds()), 1)
    raise TooSoon(
        ngettext(
            "Nothing was done: after a wrong code the next is looked at only later. Wait %(n)s second.",
            "Nothing was done: after a wrong code the next is looked at only later. Wait %(n)s seconds.",
            seconds,
        )
        % {"n": seconds}
    )
