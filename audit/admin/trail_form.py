"""What the trail is asked for, as an address says it: read into a filter, and shown again in the form."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.apps import apps
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext as _

from audit.admin.keyset import AFTER, BEFORE
from audit.admin.zoned_time import Unreadable, for_field, time_given, zone_named
from audit.events import registered_events
from audit.threads import UnknownThread, thread
from audit.trail import SYSTEM_LABEL
from audit.trail_filter import TrailFilter

AMENDS = "amends"
FIELDS = frozenset(
    {"actor", "event", "about", "subject_type", "subject_id", "case", "from", "to", "zone", "reason"}
)
_LARGEST = 2**63 - 1
_NUL = "\0"


@dataclass
class TrailForm:
    """What was asked for and what is wrong with it. `values` are the form's fields as they are to be shown again.

    Where the address names no zone, times are of the reader's.
    """

    wanted: TrailFilter = field(default_factory=TrailFilter)
    values: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    @property
    def zone_name(self) -> str:
        return self.values.get("zone") or get_current_timezone_name()

    @property
    def narrows(self) -> bool:
        """Whether anything was asked for."""
        return self.wanted != TrailFilter()


def read_form(asked: QueryDict) -> TrailForm:
    """What the address asks for. `problems` say what could not be understood; then nothing is to be shown."""
    form = TrailForm(values={name: asked.get(name, "").strip() for name in FIELDS if asked.get(name)})
    form.problems += [
        _("The trail cannot be asked by “%(name)s”.") % {"name": name}
        for name in asked
        if name not in FIELDS and name not in (AFTER, BEFORE)
    ]
    if any(_NUL in value for value in form.values.values()):
        form.problems.append(_("There is a character in it that no entry has."))
        return form
    _read_zone(form)
    form.wanted = TrailFilter(
        **_actor(form),
        **_event(form),
        **_subject(form),
        thread=_thread(form),
        occurred_from=_time(form, "from", ends=False),
        occurred_before=_time(form, "to", ends=True),
        reason=form.values.get("reason", ""),
    )
    wanted = form.wanted
    if (
        wanted.occurred_from
        and wanted.occurred_before
        and wanted.occurred_from >= wanted.occurred_before
        and not form.problems
    ):
        form.problems.append(_("The period ends before it begins."))
    return form


def event_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """Registered events by what they happen to: ("plan", [("plan.approved", "approved"), …])."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for event in registered_events():
        group, _dot, what = event.name.partition(".")
        groups.setdefault(_(group.replace("_", " ")), []).append((event.name, _(what.replace("_", " "))))
    return list(groups.items())


def _actor(form: TrailForm) -> dict[str, Any]:
    given = form.values.get("actor", "")
    if not given:
        return {}
    if given.lower() == AMENDS:
        form.values["actor"] = SYSTEM_LABEL
        return {"by_amends": True}
    # An account's number, as links have it, is an account even where it is gone by now; a name has to be somebody's.
    number = _number(given)
    person = (
        User.objects.filter(pk=number).first()
        if number is not None
        else User.objects.filter(username=given).first()
    )
    if person is not None:
        form.values["actor"] = person.get_username()
        return {"actor": person.pk}
    if number is None:
        form.problems.append(
            _("Nobody has an account named “%(given)s”. Names are asked for in full.") % {"given": given}
        )
        return {}
    return {"actor": number}


def _event(form: TrailForm) -> dict[str, Any]:
    given = form.values.get("event", "")
    if given and given not in {event.name for event in registered_events()}:
        form.problems.append(_("There is no kind of event “%(given)s”.") % {"given": given})
        return {}
    return {"event": given} if given else {}


def _subject(form: TrailForm) -> dict[str, Any]:
    """From “plan 3”, or from the type and the number that links have."""
    kind, number = form.values.get("subject_type", ""), form.values.get("subject_id", "")
    if about := form.values.get("about", ""):
        kind, _blank, number = about.rpartition(" ")
        if not kind:
            kind, number = about, ""
    if not kind and not number:
        return {}
    label = _label(kind)
    if label is None:
        form.problems.append(
            _("“%(given)s” is no kind of thing: write one and its number, such as “plan 3”.")
            % {"given": kind or number}
        )
        return {}
    if not number:
        form.values["about"] = kind
        return {"subject_type": label}
    pk = _number(number)
    if pk is None:
        form.problems.append(_("“%(given)s” is no number of a %(kind)s.") % {"given": number, "kind": kind})
        return {}
    form.values["about"] = f"{label if about == '' and '.' in kind else kind} {pk}"
    return {"subject_type": label, "subject_id": pk}


def _label(kind: str) -> str | None:
    """The model label of a kind of thing: of “plan”, of “job chunk”, of “remediation.plan”."""
    kind = kind.strip().lower()
    for model in apps.get_models():
        opts = model._meta
        if kind in (opts.label_lower, opts.model_name, str(opts.verbose_name)):
            return opts.label_lower
    return None


def _thread(form: TrailForm) -> tuple[str, int] | None:
    given = form.values.get("case", "")
    if not given:
        return None
    pk = _number(given)
    if pk is None:
        form.problems.append(_("“%(given)s” is no number of a case.") % {"given": given})
        return None
    try:
        thread("case")
    except UnknownThread as error:
        form.problems.append(str(error))
    return ("case", pk)


def _read_zone(form: TrailForm) -> None:
    try:
        form.zone = zone_named(form.zone_name)
    except Unreadable as error:
        form.problems.append(str(error))


def _time(form: TrailForm, name: str, *, ends: bool) -> datetime | None:
    """A time as the form gives it, in the form's zone unless it says its own offset."""
    given = form.values.get(name, "")
    if not given:
        return None
    try:
        local = time_given(given, form.zone, ends=ends)
    except Unreadable as error:
        form.problems.append(str(error))
        form.values[name] = ""  # a browser's field for times takes nothing else
        return None
    form.values[name] = for_field(local, form.zone)
    return local.astimezone(UTC)


def _number(given: str) -> int | None:
    return (
        int(given)
        if given.isascii() and given.isdigit() and int(given[:20]) <= _LARGEST and len(given) < 20
        else None
    )
