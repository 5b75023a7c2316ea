"""The registered event types.

Each app names in its `events` module what can happen to its things, with the shape of the data that an entry of that type carries.
What is not registered, or does not fit its shape, cannot be recorded, and so the action it would tell of cannot happen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec


class EventData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every event type's data. Amounts are whole numbers of the smallest unit."""


class UnregisteredEvent(LookupError):
    """An event type that no app registered was to be recorded."""


class EventAlreadyRegistered(ValueError):
    """Two event types claim one name."""


@dataclass(frozen=True)
class EventType:
    """A kind of event: its name ("plan.approved"), the sentence people read, and the shape of its data.

    `sentence` is completed by actor and subject, "{actor} approved {subject}", and marked for translation where it is registered.
    """

    name: str
    sentence: str
    data: type[EventData]


_registered: dict[str, EventType] = {}


def register_event(name: str, sentence: str, data: type[EventData]) -> EventType:
    """Make `name` recordable. Raises `EventAlreadyRegistered` where the name is taken by another type."""
    event = EventType(name, sentence, data)
    if _registered.setdefault(name, event) != event:
        raise EventAlreadyRegistered(
            f"The event type “{name}” is registered already, with another shape or sentence."
        )
    return event


def registered_event(name: str) -> EventType:
    """The event type of that name. Raises `UnregisteredEvent`."""
    try:
        return _registered[name]
    except KeyError:
        raise UnregisteredEvent(
            f"The event type “{name}” is not registered. Register it in its app's events module."
        ) from None


def registered_events() -> Iterable[EventType]:
    """Every registered event type, by name."""
    return sorted(_registered.values(), key=lambda event: event.name)


def as_json(event: EventType, data: EventData) -> dict[str, Any]:
    """`data` as plain JSON values, checked against the shape that `event` asks for.

    Raises `msgspec.ValidationError` where a field has the wrong type.
    """
    plain = msgspec.to_builtins(data)
    msgspec.convert(plain, event.data)
    return plain  # type: ignore[no-any-return]
