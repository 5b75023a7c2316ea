"""What can happen to people's accounts, and who comes and goes."""

from django.utils.translation import gettext_noop as _

from audit.events import EventData, register_event


class UserCreatedData(EventData, frozen=True):
    role: str


USER_CREATED = register_event("user.created", _("{actor} created the user {subject}"), UserCreatedData)


class UserChangedData(EventData, frozen=True):
    """`role` is all roles after the change; `granted` and `taken` are those that came and went, null in early entries."""

    role: str
    active: bool
    fields: list[str]
    granted: list[str] | None = None
    taken: list[str] | None = None


USER_CHANGED = register_event("user.changed", _("{actor} changed the account of {subject}"), UserChangedData)


class SignedData(EventData, frozen=True):
    """`address` is where the connection came from: of a proxy where there is one; empty on a command."""

    address: str


class SignInFailedData(EventData, frozen=True):
    """`name_hash` is a keyed hash of a name that nobody has; "" where the subject is the account whose name was given."""

    address: str
    name_hash: str


class LockedOutData(EventData, frozen=True):
    """After `failures` wrong passwords from `address`, none is looked at for `minutes`. `name_hash` is as in `SignInFailedData`."""

    address: str
    name_hash: str
    failures: int
    minutes: int


class PasswordChangedData(EventData, frozen=True):
    pass


SIGNED_IN = register_event("user.signed_in", _("{actor} signed in"), SignedData)
SIGNED_OUT = register_event("user.signed_out", _("{actor} signed out"), SignedData)
SIGN_IN_FAILED = register_event(
    "user.sign_in_failed", _("somebody failed to sign in as {subject}"), SignInFailedData
)
LOCKED_OUT = register_event(
    "user.locked_out",
    _(
        "nobody can sign in as {subject} from one address for a while: too many wrong passwords came from there"
    ),
    LockedOutData,
)


class LockoutEndedData(EventData, frozen=True):
    """From `addresses` ("" is one that was not known) passwords are looked at again; `failures` wrong ones were forgotten."""

    addresses: list[str]
    failures: int


LOCKOUT_ENDED = register_event(
    "user.lockout_ended", _("{actor} let {subject} sign in again before a lockout was over"), LockoutEndedData
)
PASSWORD_CHANGED = register_event(
    "user.password_changed", _("{actor} changed their own password"), PasswordChangedData
)
