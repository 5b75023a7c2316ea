"""What can happen to people's accounts."""

from audit.events import EventData, register_event


class UserCreatedData(EventData, frozen=True):
    role: str


USER_CREATED = register_event("user.created", "{actor} created the user {subject}", UserCreatedData)


class UserChangedData(EventData, frozen=True):
    role: str
    active: bool
    fields: list[str]


USER_CHANGED = register_event("user.changed", "{actor} changed the account of {subject}", UserChangedData)
