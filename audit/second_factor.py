"""What a person does with their own second factor, and an administrator with one that was lost. All of it stands in the trail.

The secret is handed to whoever sets it up, and nobody else sees it: no page, list, log or entry has it.
"""

from base64 import b32encode
from binascii import unhexlify
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from audit.denied import note_denied
from audit.errors import Refused
from audit.one_time_codes import has_second_factor
from audit.permission import NotPermitted, demand, may_look_after
from audit.step_up import NotConfirmed, confirm_by_code, confirm_by_password
from audit.trail import record
from audit.trail_events import (
    RECOVERY_CODES_MADE,
    SECOND_FACTOR_OFF,
    SECOND_FACTOR_ON,
    SECOND_FACTOR_TAKEN_AWAY,
    RecoveryCodesMadeData,
    SecondFactorOffData,
    SecondFactorOnData,
    SecondFactorTakenAwayData,
)

if TYPE_CHECKING:
    from audit.events import EventData, EventType

RECOVERY_CODES = 10
"""So many are made at a time; those made before are good no longer."""
DEVICE_NAME = "app"


class SecondFactorIsOn(Refused):
    """There is one already: it is turned off before another is set up."""


class NoSecondFactor(Refused):
    """There is none to turn off, to take away, or to make recovery codes for."""


def new_secret() -> str:
    """160 random bits as 40 hexadecimal digits, of which nothing is kept until `turn_on`."""
    return str(default_key())


def secret_in_words(secret: str) -> str:
    """The secret as apps take it when it is typed: base32, in groups of four."""
    text = b32encode(unhexlify(secret)).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def address_for_app(secret: str, user: User) -> str:
    """What the QR code holds: the secret and whose it is, as an otpauth:// address."""
    return str(TOTPDevice(user=user, key=secret).config_url)


def turn_on(*, acting_user: User, secret: str, code: str, password: str) -> list[str]:
    """Turn on one's own second factor, shown by one's password and a code that `secret` makes. Returns recovery codes, shown once.

    Raises `SecondFactorIsOn`, `NotConfirmed`, `audit.step_up.TooManyFailures`.
    """
    if has_second_factor(acting_user):
        raise SecondFactorIsOn(_("Your second factor is on already."))
    confirm_by_password(acting_user, password)
    with transaction.atomic():
        _lock(acting_user)
        if has_second_factor(acting_user):
            raise SecondFactorIsOn(_("Your second factor is on already."))
        device = TOTPDevice.objects.create(user_id=acting_user.pk, key=secret, name=DEVICE_NAME)
        # Checked by the device itself, so that this code counts as used.
        if not device.verify_token("".join(code.split())):
            raise NotConfirmed(
                _(
                    "Nothing was done: that is not the code that your app shows now. Is your device's clock right?"
                )
            )
        codes = _make_recovery_codes(acting_user)
        record(
            SECOND_FACTOR_ON, acting_user, SecondFactorOnData(recovery_codes=len(codes)), actor=acting_user
        )
    return codes


def turn_off(*, acting_user: User, code: str, password: str) -> None:
    """Turn off one's own second factor, shown by password and code. Raises `NoSecondFactor`, `NotConfirmed`, `TooManyFailures`."""
    _insist_on_one(acting_user)
    confirm_by_password(acting_user, password)
    confirmation = confirm_by_code(acting_user, code)
    _remove(
        acting_user, SECOND_FACTOR_OFF, SecondFactorOffData(confirmed_by=confirmation.by), acting_user, ""
    )


def make_recovery_codes(*, acting_user: User, code: str) -> list[str]:
    """Other recovery codes, shown once; those before are good no longer. Raises `NoSecondFactor`, `NotConfirmed`, `TooManyFailures`."""
    _insist_on_one(acting_user)
    confirmation = confirm_by_code(acting_user, code)
    with transaction.atomic():
        _lock(acting_user)
        _insist_on_one(acting_user)
        codes = _make_recovery_codes(acting_user)
        data = RecoveryCodesMadeData(recovery_codes=len(codes), confirmed_by=confirmation.by)
        record(RECOVERY_CODES_MADE, acting_user, data, actor=acting_user)
    return codes


def take_away(person: User, *, acting_user: User, reason: str) -> None:
    """Take away a second factor that somebody lost, so that their password alone signs in, and they can set up another.

    Not one's own, which `turn_off` asks a code for. Raises `NotPermitted`, `NoSecondFactor`, and `Refused` without a `reason`.
    """
    demand(acting_user, "auth.change_user")
    if person.pk == acting_user.pk or not may_look_after(person, acting_user):
        note_denied(acting_user, f"take away the second factor of {person}")
        raise NotPermitted(
            _("Your own second factor is turned off by its code, and a superuser's by a superuser only.")
        )
    if not reason.strip():
        raise Refused(_("Say why it is taken away: the trail keeps it."))
    data = SecondFactorTakenAwayData()
    _remove(person, SECOND_FACTOR_TAKEN_AWAY, data, acting_user, reason.strip())


def _remove(person: User, event: "EventType", data: "EventData", acting_user: User, reason: str) -> None:
    with transaction.atomic():
        _lock(person)
        _insist_on_one(person)
        TOTPDevice.objects.filter(user_id=person.pk).delete()
        StaticDevice.objects.filter(user_id=person.pk).delete()
        record(event, person, data, actor=acting_user, reason=reason)


def _make_recovery_codes(user: User) -> list[str]:
    device, _made = StaticDevice.objects.get_or_create(user_id=user.pk, defaults={"name": "recovery codes"})
    device.token_set.all().delete()
    codes = [StaticToken.random_token() for _each in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return [f"{code[:4]}-{code[4:]}" for code in codes]


def _insist_on_one(user: User) -> None:
    if not has_second_factor(user):
        raise NoSecondFactor(_("There is no second factor on this account."))


def _lock(user: User) -> None:
    User.objects.select_for_update().get(pk=user.pk)
