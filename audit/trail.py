"""Writing the trail: one function, called inside the transaction of the change it tells of."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, models

from audit.context import current_request_id
from audit.events import EventData, EventType, as_json, registered_event
from audit.models import AuditEntry

SYSTEM_LABEL = "Amends"


class RecordedOutsideTransaction(RuntimeError):
    """An audit entry was to be written outside of a transaction, where it could outlive or miss its change."""


def record(
    event: EventType,
    subject: models.Model,
    data: EventData,
    *,
    actor: AbstractBaseUser | None,
    reason: str = "",
) -> AuditEntry:
    """Write that `actor` (None: Amends itself) did `event` to `subject`.

    `data` is an instance of the event type's own struct. Must be called inside the transaction that makes the change, so that there
    is never one without the other. Raises `RecordedOutsideTransaction`, `audit.events.UnregisteredEvent`, or
    `msgspec.ValidationError` where the data does not have the event's shape.
    """
    if not connection.in_atomic_block:
        raise RecordedOutsideTransaction(f"“{event.name}” was to be recorded outside of a transaction.")
    if registered_event(event.name) is not event or not isinstance(data, event.data):
        raise TypeError(f"“{event.name}” takes {event.data.__name__}, not {type(data).__name__}.")
    return AuditEntry.objects.create(
        event=event.name,
        actor_id=None if actor is None else actor.pk,
        actor_label=SYSTEM_LABEL if actor is None else actor.get_username(),
        subject_type=subject._meta.label_lower,
        subject_id=subject.pk,
        subject_label=str(subject)[:254],
        reason=reason,
        request_id=current_request_id(),
        data=as_json(event, data),
    )
