"""What can happen to the trail itself: it is taken along, it is protected from floods, and its keys change hands."""

from django.utils.translation import gettext_noop as _

from audit.events import EventData, register_event


class ExportBegun(EventData, frozen=True):
    """Written before the first row leaves, so that no part of the trail is ever taken along unseen."""

    format: str
    filters: dict[str, str]


class Exported(EventData, frozen=True):
    """How an export ended: `rows` entries left, in a file of that SHA-256 (hexadecimal); not `complete` where it was broken off.

    `export` is the id of the entry that tells of its beginning.
    """

    export: int
    format: str
    filters: dict[str, str]
    rows: int
    sha256: str
    complete: bool


class KeyHandedOver(EventData, frozen=True):
    """Names of both keys, and the public key (64 hexadecimal digits) that signs checkpoints from then on."""

    of: str
    to: str
    public_key: str


EXPORT_BEGUN = register_event(
    "trail.export_begun", _("{actor} began to take a copy of the trail"), ExportBegun
)
EXPORTED = register_event("trail.exported", _("{actor} took a copy of the trail"), Exported)
KEY_HANDED_OVER = register_event(
    "audit.key_handed_over", _("{actor} handed over to another signing key"), KeyHandedOver
)


class Flooded(EventData, frozen=True):
    """More entries of a `kind` than `most` within so many minutes: others stand in the log alone. `of` is whose, "" for everybody's."""

    kind: str
    of: str
    most: int
    minutes: int


class Denied(EventData, frozen=True):
    """Something that somebody may not do: `tried` in words, `where` the address or the command."""

    tried: str
    where: str


class SecondFactorOnData(EventData, frozen=True):
    """With so many recovery codes."""

    recovery_codes: int


class SecondFactorOffData(EventData, frozen=True):
    """`confirmed_by` is "code" or "recovery code", beside the password."""

    confirmed_by: str


class SecondFactorTakenAwayData(EventData, frozen=True):
    pass


class RecoveryCodesMadeData(EventData, frozen=True):
    """`recovery_codes` is how many; those before are good no longer. `confirmed_by` is "code" or "recovery code"."""

    recovery_codes: int
    confirmed_by: str


class RecoveryCodeUsedData(EventData, frozen=True):
    """`left` is how many are left."""

    left: int


class NotConfirmedData(EventData, frozen=True):
    """`by` is how it was to be confirmed: "password" or "code", which a recovery code may stand for."""

    by: str


FLOODED = register_event(
    "trail.flooded", _("{actor} stopped writing down each of too many attempts"), Flooded
)
DENIED = register_event("access.denied", _("{actor} tried what they may not do"), Denied)
NOT_CONFIRMED = register_event(
    "user.not_confirmed",
    _("{actor} did not confirm that it is they: a wrong password or code was given"),
    NotConfirmedData,
)
SECOND_FACTOR_ON = register_event(
    "user.second_factor_on", _("{actor} turned on their second factor"), SecondFactorOnData
)
SECOND_FACTOR_OFF = register_event(
    "user.second_factor_off", _("{actor} turned off their second factor"), SecondFactorOffData
)
SECOND_FACTOR_TAKEN_AWAY = register_event(
    "user.second_factor_taken_away",
    _("{actor} took away the second factor of {subject}"),
    SecondFactorTakenAwayData,
)
RECOVERY_CODES_MADE = register_event(
    "user.recovery_codes_made", _("{actor} made new recovery codes"), RecoveryCodesMadeData
)
RECOVERY_CODE_USED = register_event(
    "user.recovery_code_used", _("{actor} used a recovery code"), RecoveryCodeUsedData
)
