"""Alarms about the trail: what begins to be wrong with it, and what ends, is written into it and told to whoever registered for it."""

from collections.abc import Callable

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection, transaction

from audit.events import EventData, register_event
from audit.integrity import Problem, integrity
from audit.models import AuditEntry, Trail
from audit.trail import record

logger = structlog.get_logger(__name__)

Receiver = Callable[[Problem, bool], None]
"""Told a problem, and whether it has begun (else it has ended), after that was committed."""

_LOCK = (7104, 2)
_receivers: list[Receiver] = []


class AlarmData(EventData, frozen=True):
    """`problem` is its name, which it keeps from begin to end."""

    problem: str
    what: str
    remedy: str


class AlarmEnded(EventData, frozen=True):
    problem: str


ALARM = register_event("audit.alarm", "{actor} raised an alarm about {subject}", AlarmData)
ALARM_ENDED = register_event("audit.alarm_ended", "{actor} saw an alarm about {subject} end", AlarmEnded)


def on_alarm(receiver: Receiver) -> None:
    """Have `receiver` told of every alarm that begins or ends. What it raises is logged, and keeps nobody else from being told."""
    _receivers.append(receiver)


def look_after_trail() -> int:
    """Compare what is wrong with the trail with the alarms that stand, and write and tell what has changed. How many changes.

    An alarm that stands is not repeated. Safe to run twice at once: the second waits, and finds nothing new.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
        trail = Trail.objects.get()
        now = {problem.name: problem for problem in integrity().problems}
        standing = standing_alarms()
        begun = [problem for name, problem in now.items() if name not in standing]
        ended = [problem for name, problem in standing.items() if name not in now]
        for problem in begun:
            data = AlarmData(problem=problem.name, what=problem.what, remedy=problem.remedy)
            record(ALARM, trail, data, actor=None, reason=problem.what)
        for problem in ended:
            record(ALARM_ENDED, trail, AlarmEnded(problem=problem.name), actor=None)
        transaction.on_commit(lambda: _tell(begun, ended))
    return len(begun) + len(ended)


def standing_alarms() -> dict[str, Problem]:
    """The alarms that have begun and not ended, by the problem's name, as the trail tells."""
    entries = AuditEntry.objects.filter(event__in=(ALARM.name, ALARM_ENDED.name)).order_by("pk")
    standing: dict[str, Problem] = {}
    for event, data in entries.values_list("event", "data").iterator():
        if event == ALARM.name:
            standing[data["problem"]] = Problem(data["problem"], data["what"], data["remedy"])
        else:
            standing.pop(data["problem"], None)
    return standing


def _tell(begun: list[Problem], ended: list[Problem]) -> None:
    for problem in begun:
        logger.error("audit.alarm", problem=problem.name, what=problem.what, remedy=problem.remedy)
    for problem in ended:
        logger.warning("audit.alarm_ended", problem=problem.name)
    for receiver in _receivers:
        for problem, has_begun in [*((each, True) for each in begun), *((each, False) for each in ended)]:
            try:
                receiver(problem, has_begun)
            except Exception:
                logger.exception("audit.alarm_not_told", problem=problem.name)


def _by_mail(problem: Problem, has_begun: bool) -> None:
    if not settings.AMENDS_ALARM_EMAILS:
        return
    said = "Alarm" if has_begun else "Ended"
    send_mail(
        f"Amends audit trail · {said}: {problem.name}",
        f"{problem.what}\n\n{problem.remedy}\n" if has_begun else f"It has ended: {problem.what}\n",
        None,
        settings.AMENDS_ALARM_EMAILS,
    )


on_alarm(_by_mail)
