"""What can happen to people's accounts."""

from audit.events import EventData, register_event


class UserCreatedData(EventData, frozen=True):
    role: str


USER_CREATED = register_event("user.created", "{actor} created the user {subject}", UserCreatedData)
