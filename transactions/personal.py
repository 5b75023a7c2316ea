"""What a transaction's source says about a person: masked for everybody, and shown to those who say why, which the trail tells."""

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction as database

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from transactions.events import PERSONAL_DATA_REVEALED, PersonalDataRevealed
from transactions.models import PersonalData, Transaction

PERMISSION = "transactions.reveal_personal_data"
MASK = "•••"
_SHOWS_ITS_FIRST = 4
"""A text of so many characters or more shows its first one, by which a caller who spells a name is recognised."""


class NothingPersonal(Refused):
    """Nothing is known about a person, or it was erased."""


class PurposeMissing(Refused):
    """Personal data was to be shown without saying why."""


def masked(value: Any) -> Any:
    """`value` with every text and number in it masked; how long one is does not show."""
    if isinstance(value, dict):
        return {name: masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value[:1]]
    if value is None or value == "":
        return value
    return f"{value[0]}{MASK}" if isinstance(value, str) and len(value) >= _SHOWS_ITS_FIRST else MASK


def reveal_personal_data(subject: Transaction, *, reason: str, acting_user: User) -> dict[str, Any]:
    """The personal data of `subject` as it is, once the trail says that `acting_user` looked and why.

    Raises `NotPermitted`, `PurposeMissing`, `NothingPersonal`.
    """
    demand(acting_user, PERMISSION)
    if not reason.strip():
        raise PurposeMissing("Say why you have to see it: whoever it is about may ask.")
    with database.atomic():
        found = PersonalData.objects.filter(transaction=subject).first()
        if found is None:
            raise NothingPersonal(
                f"Nothing is known about a person of transaction {subject}, or it was erased."
            )
        data: dict[str, Any] = found.data
        record(
            PERSONAL_DATA_REVEALED,
            subject,
            PersonalDataRevealed(fields=sorted(data)),
            actor=acting_user,
            reason=reason.strip(),
        )
    return data
