"""Codes as an app would show them, computed from the secret, for tests."""

import time
from base64 import b32decode
from typing import Any

from django.contrib.auth.models import User
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from audit.second_factor import new_secret, turn_on
from tests.conftest import PASSWORD


def code_of(secret: str, *, steps: int = 0) -> str:
    """What an app shows for `secret` (hexadecimal, or base32 in groups as the page shows it), so many half minutes from now."""
    key = b32decode(secret.replace(" ", "")) if " " in secret else bytes.fromhex(secret)
    totp = TOTP(key)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06d}"


def with_second_factor(user: User) -> tuple[str, list[str]]:
    """Turns one on as the page does; returns the secret and the recovery codes. The code of now is used up: `forget_last_code`."""
    secret = new_secret()
    codes = turn_on(acting_user=user, secret=secret, code=code_of(secret), password=PASSWORD)
    forget_last_code(user)
    return secret, codes


def forget_last_code(user: User, **changed: Any) -> None:
    """As if the last code had been given long ago, and no wrong one since."""
    TOTPDevice.objects.filter(user=user).update(
        last_t=-1, drift=0, throttling_failure_count=0, throttling_failure_timestamp=None, **changed
    )
