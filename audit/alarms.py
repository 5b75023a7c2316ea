"""Alarms about the trail: what begins to be wrong with it, and what ends, is written into it and told to whoever registered for it."""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext_noop as _

from audit.events import EventData, EventType, register_event
from audit.integrity import Problem, integrity
from audit.models import AuditEntry, Trail
from audit.trail import record

logger = structlog.get_logger(__name__)

Receiver = Callable[[Problem, bool], None]
"""Told a problem, and whether it has begun (else it has ended), after that was committed."""

_LOCK = (7104, 2)
_receivers: list[Receiver] = []


_NEWEST = 50
"""So many of the newest entries of either kind are looked at for the last one written: a clock that was set back may have shuffled them."""


class AlarmData(EventData, frozen=True):
    """`problem` is its name, which it keeps from begin to end. `beside` are the entries of the alarms that stand beside it; None in early
    entries, which did not tell it.
    """

    problem: str
    what: str
    remedy: str
    beside: tuple[int, ...] | None = None


class AlarmEnded(EventData, frozen=True):
    """`beside` are the entries of the alarms that go on; None in early entries."""

    problem: str
    beside: tuple[int, ...] | None = None


ALARM = register_event("audit.alarm", _("{actor} raised an alarm about {subject}"), AlarmData)
ALARM_ENDED = register_event("audit.alarm_ended", _("{actor} saw an alarm about {subject} end"), AlarmEnded)


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
        with translation.override("en"):  # what is stored and mailed is in English, whoever's process looks
            now = {problem.name: problem for problem in integrity().problems}
        standing = _standing()
        entry_of = {problem.name: entry for entry, problem in standing.items()}
        begun = [problem for name, problem in now.items() if name not in entry_of]
        ended = [problem for problem in standing.values() if problem.name not in now]
        beside = sorted(standing)
        for problem in begun:
            data = AlarmData(problem.name, problem.what, problem.remedy, tuple(beside))
            beside.append(record(ALARM, trail, data, actor=None, reason=problem.what).pk)
        for problem in ended:
            beside.remove(entry_of[problem.name])
            record(ALARM_ENDED, trail, AlarmEnded(problem.name, tuple(beside)), actor=None)
        transaction.on_commit(lambda: _tell(begun, ended))
    return len(begun) + len(ended)


def standing_alarms() -> dict[str, Problem]:
    """The alarms that have begun and not ended, by the problem's name, as the trail tells: by its newest such entry, which names them."""
    return {problem.name: problem for problem in _standing().values()}


def _standing() -> dict[int, Problem]:
    """The same by the entries that raised them. However many alarms there ever were, it reads few entries, along an index."""
    last = max(_newest(ALARM).union(_newest(ALARM_ENDED), all=True), default=None)
    if last is None:
        return {}
    pk, event, data = last
    beside = data.get("beside")
    if beside is None:
        return _standing_by_all()
    raised = AuditEntry.objects.filter(pk__in=[*beside, *([pk] if event == ALARM.name else [])])
    return dict(sorted((entry, _problem(told)) for entry, told in raised.values_list("pk", "data")))


def _newest(event: EventType) -> "QuerySet[AuditEntry, tuple[int, str, dict[str, Any]]]":
    entries = AuditEntry.objects.filter(event=event.name).order_by("-occurred_at", "-pk")
    return entries.values_list("pk", "event", "data")[:_NEWEST]


def _standing_by_all() -> dict[int, Problem]:
    """From all alarms ever: of a trail whose newest one was written before they told what stands beside them."""
    entries = AuditEntry.objects.filter(event__in=(ALARM.name, ALARM_ENDED.name)).order_by("pk")
    standing: dict[str, tuple[int, Problem]] = {}
    for pk, event, data in entries.values_list("pk", "event", "data").iterator():
        if event == ALARM.name:
            standing[data["problem"]] = (pk, _problem(data))
        else:
            standing.pop(data["problem"], None)
    return dict(standing.values())


def _problem(data: dict[str, Any]) -> Problem:
    return Problem(data["problem"], data["what"], data["remedy"])


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
