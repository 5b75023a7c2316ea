"""What Find is asked for, as an address says it: read into a selection, and shown again in the form.

The address is the whole search. It says the same to whoever opens it, but for “the last hour” and its like, which are of that moment.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit.admin.zoned_time import Unreadable, for_field, time_given, zone_named
from transactions.calculators import registered
from transactions.models import Release, Store, Transaction
from transactions.money import MoneyError, currency_exponent, plain_decimal
from transactions.selection import InvalidSelection, Selection

WINDOWS: dict[str, tuple[timedelta, Promise]] = {
    "hour": (timedelta(hours=1), gettext_lazy("last hour")),
    "day": (timedelta(days=1), gettext_lazy("last 24 hours")),
    "week": (timedelta(days=7), gettext_lazy("last 7 days")),
    "month": (timedelta(days=30), gettext_lazy("last 30 days")),
}
PRESET = "preset"
"""What a window's button sends; unlike `window`, it wins over times that are in the form."""
SEVERAL = ("version", "service", "store", "country", "currency", "reference")
_TIMES = ("from", "to", "occurred_from", "occurred_to")
_AMOUNTS = ("at_least", "at_most")
FIELDS = ("calculator", *SEVERAL, *_TIMES, "window", "zone", *_AMOUNTS, "target")
LABELS: dict[str, Promise] = {
    "calculator": gettext_lazy("Calculator"),
    "version": gettext_lazy("Release"),
    "service": gettext_lazy("Service"),
    "store": gettext_lazy("Store"),
    "country": gettext_lazy("Country"),
    "currency": gettext_lazy("Currency"),
    "reference": gettext_lazy("Reference"),
    "from": gettext_lazy("Calculated from"),
    "to": gettext_lazy("Calculated before"),
    "occurred_from": gettext_lazy("Occurred from"),
    "occurred_to": gettext_lazy("Occurred before"),
    "window": gettext_lazy("Window"),
    "zone": gettext_lazy("Time zone"),
    "at_least": gettext_lazy("Total at least"),
    "at_most": gettext_lazy("Total at most"),
    "target": gettext_lazy("Target version"),
}
MOST_GIVEN = 200
"""So many values of a field are read from an address."""
_SEPARATORS = re.compile(r"[,\n]")
_UNPRINTABLE = "\0"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, and what to do about it. `field` is "" where it is the whole."""

    field: str
    text: str

    @property
    def label(self) -> str:
        return str(LABELS.get(self.field, ""))


@dataclass
class FindForm:
    """What was asked for and what is wrong with it. `values` and `several` are the fields as they are to be shown again.

    `selection` is None where there are problems, or no calculator was named and there is more than one.
    """

    values: dict[str, str] = field(default_factory=dict)
    several: dict[str, list[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    releases: list[Release] = field(default_factory=list)
    selection: Selection | None = None

    @property
    def zone_name(self) -> str:
        return self.values.get("zone") or "UTC"

    @property
    def faulty(self) -> set[str]:
        """The fields that something is wrong with."""
        return {problem.field for problem in self.problems}

    @property
    def calculators(self) -> list[str]:
        """All there are."""
        return sorted({release.calculator for release in self.releases})

    @property
    def versions(self) -> list[str]:
        """Those of the calculator."""
        return sorted({release.version for release in self._of_calculator()})

    @property
    def services(self) -> list[str]:
        """Those that run the calculator."""
        return sorted({release.service for release in self._of_calculator()})

    @property
    def targets(self) -> list[str]:
        """Versions of the calculator that there is code for, the newest last."""
        named = self.values.get("calculator")
        return sorted((each.version for each in registered() if each.name == named), key=_by_numbers)

    @property
    def narrows_facts(self) -> bool:
        """Whether more than release, service and window was given, or is wrong."""
        names = ("store", "country", "currency", "reference", "occurred_from", "occurred_to", *_AMOUNTS)
        return any(self.several.get(name) or self.values.get(name) or name in self.faulty for name in names)

    def _of_calculator(self) -> list[Release]:
        return [each for each in self.releases if each.calculator == self.values.get("calculator")]

    @property
    def address(self) -> str:
        """The query string that asks the same: only what is given, in one order."""
        return self._query(relative=True).urlencode()

    @property
    def fixed_address(self) -> str:
        """The same, with times of this moment instead of “the last hour” and its like."""
        return self._query(relative=False).urlencode()

    def with_window(self, begin: datetime | None, end: datetime | None, **more: str) -> str:
        """The query string that asks the same of another window, and `more`."""
        query = self._query(relative=False)
        for name, moment in (("from", begin), ("to", end)):
            query.pop(name, None)
            if moment is not None:
                query[name] = for_field(moment, self.zone)
        query["zone"] = self.zone_name
        for name, value in more.items():
            query[name] = value
        return query.urlencode()

    @property
    def ask_address(self) -> str:
        """The query string that asks something about the same: against the target, or the newest where none is chosen yet."""
        query = self._query(relative=False)
        if self.targets:
            query.setdefault("target", self.targets[-1])
        return query.urlencode()

    def fixed_fields(self) -> list[tuple[str, str]]:
        """The query's names and values, for a form that asks something about the same; the target is that form's own."""
        query = self._query(relative=False)
        query.pop("target", None)
        return [(name, value) for name, values in query.lists() for value in values]

    def _query(self, *, relative: bool) -> QueryDict:
        query = QueryDict(mutable=True)
        for name in FIELDS:
            if name in SEVERAL:
                if self.several.get(name):
                    query.setlist(name, self.several[name])
            elif self.values.get(name) and name != "zone":
                query[name] = self.values[name]
        if not relative and query.pop("window", "") and self.selection is not None:
            for name, moment in (
                ("from", self.selection.calculated_from),
                ("to", self.selection.calculated_before),
            ):
                if moment is not None:
                    query[name] = for_field(moment, self.zone)
        has_times = any(name in query for name in _TIMES)
        if has_times or self.zone_name != timezone.get_current_timezone_name():
            query["zone"] = self.zone_name
        return query


def _by_numbers(version: str) -> list[tuple[int, str]]:
    """1.10.0 behind 1.9.0."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.+_-]", version)]


def read_find(asked: QueryDict) -> FindForm:
    """What an address asks for. Where there are `problems`, nothing of it is to be shown."""
    form = FindForm(
        values={name: asked.get(name, "").strip() for name in FIELDS if name not in SEVERAL},
        several={name: _several(asked, name) for name in SEVERAL},
        releases=list(Release.objects.order_by("id")),
    )
    form.problems += [
        Problem("", _("Find does not know “%(name)s”: take it out of the address.") % {"name": name[:60]})
        for name in asked
        if name not in FIELDS
    ]
    if any(_UNPRINTABLE in value for value in chain(form.values.values(), *form.several.values())):
        form.problems.append(Problem("", _("There is a character in it that nothing is named with.")))
        return form
    if not form.values["zone"]:
        # Times of an address mean the same to everybody; a form without times begins with the reader's own zone.
        has_times = any(form.values[name] for name in _TIMES)
        form.values["zone"] = "UTC" if has_times else timezone.get_current_timezone_name()
    _read_calculator(form)
    _read_releases(form)
    _read_places(form)
    asked_for = _read_times(form) | _read_amounts(form)
    if form.faulty - {"target"} or not form.values["calculator"]:
        return form
    try:
        form.selection = Selection(
            form.values["calculator"],
            services=tuple(form.several["service"]),
            versions=tuple(form.several["version"]),
            stores=tuple(form.several["store"]),
            countries=tuple(form.several["country"]),
            currencies=tuple(form.several["currency"]),
            references=tuple(form.several["reference"]),
            **asked_for,
        )
    except InvalidSelection as error:
        form.problems.append(Problem("", str(error)))
    return form


def _several(asked: QueryDict, name: str) -> list[str]:
    given = asked.getlist(name)[:MOST_GIVEN]
    # A reference is asked for as it is written: the field's own commas part references, those of an address that repeats it do not.
    parts = given if len(given) > 1 else [part for each in given for part in _SEPARATORS.split(each)]
    found = dict.fromkeys(part.strip() for part in parts if part.strip())
    return [part.upper() if name in ("country", "currency") else part for part in found]


def _read_calculator(form: FindForm) -> None:
    given, known = form.values["calculator"], form.calculators
    if not given and len(known) == 1:
        form.values["calculator"] = known[0]
    elif given and given not in known:
        form.problems.append(
            Problem(
                "calculator",
                _("There is no calculator “%(given)s”. Choose one of: %(known)s.")
                % {"given": given[:60], "known": ", ".join(known) or _("none yet")},
            )
        )
    target = form.values["target"]
    if target and not form.problems and target not in form.targets:
        form.problems.append(
            Problem(
                "target",
                _("There is no code for version “%(given)s”. Choose one of: %(known)s.")
                % {"given": target[:60], "known": ", ".join(form.targets) or _("none yet")},
            )
        )


def _read_releases(form: FindForm) -> None:
    if "calculator" in form.faulty or not form.values["calculator"]:
        return
    for name, known in (("version", form.versions), ("service", form.services)):
        if unknown := [each for each in form.several[name] if each not in known]:
            form.problems.append(
                Problem(
                    name,
                    _("“%(given)s” is not known of %(calculator)s. Choose among: %(known)s.")
                    % {
                        "given": unknown[0][:60],
                        "calculator": form.values["calculator"],
                        "known": ", ".join(known[:20]),
                    },
                )
            )
    versions, services = form.several["version"], form.several["service"]
    if not form.problems and not any(
        each.calculator == form.values["calculator"]
        and (not versions or each.version in versions)
        and (not services or each.service in services)
        for each in form.releases
    ):
        text = _("No service that is chosen ever ran a release that is chosen. Choose another of either.")
        form.problems.append(Problem("version", text))


def _read_places(form: FindForm) -> None:
    """Each must be known: a slip of the pen would find nothing, and look like good news."""
    several = form.several
    known: dict[str, Callable[[list[str]], Iterable[str]]] = {
        "store": lambda given: Store.objects.filter(reference__in=given).values_list("reference", flat=True),
        "country": lambda given: (
            each for each in given if len(each) == 2 and Store.objects.filter(country=each).exists()
        ),
        "reference": lambda given: Transaction.objects.filter(reference__in=given).values_list(
            "reference", flat=True
        ),
    }
    remedies = {
        "store": _("There is no store “%(given)s”: stores are asked for by their reference, in full."),
        "country": _("No store is in “%(given)s”: write the two letters of ISO 3166, such as CH."),
        "reference": _("No transaction is named “%(given)s”: references are asked for in full."),
    }
    for name, among in known.items():
        if several[name] and (missing := sorted(set(several[name]) - set(among(several[name])))):
            more = len(missing) - 1
            text = remedies[name] % {"given": missing[0][:60]}
            if more:
                text += " " + ngettext("%(count)d more is unknown.", "%(count)d more are unknown.", more) % {
                    "count": more
                }
            form.problems.append(Problem(name, text))
    for code in several["currency"]:
        try:
            currency_exponent(code)
        except MoneyError as error:
            form.problems.append(Problem("currency", str(error)))
            break


def _read_times(form: FindForm) -> dict[str, Any]:
    values = form.values
    try:
        form.zone = zone_named(form.zone_name)
    except Unreadable as error:
        form.problems.append(Problem("zone", str(error)))
        return {}
    found: dict[str, datetime | None] = {}
    for name, ends in (("from", False), ("to", True), ("occurred_from", False), ("occurred_to", True)):
        try:
            found[name] = time_given(values[name], form.zone, ends=ends) if values[name] else None
        except Unreadable as error:
            form.problems.append(Problem(name, str(error)))
            values[name], found[name] = "", None  # a browser's field for times takes nothing else
            continue
        if (moment := found[name]) is not None:
            values[name] = for_field(moment, form.zone)
            found[name] = moment.astimezone(UTC)
    for begin, end in (("from", "to"), ("occurred_from", "occurred_to")):
        first, last = found[begin], found[end]
        if first is not None and last is not None and first >= last:
            form.problems.append(Problem(end, _("It ends before it begins. Choose a later end.")))
    if values["from"] or values["to"]:
        values["window"] = ""
    elif values["window"] in WINDOWS:
        # To the second, as an address has it; what is calculated in this second is for the next look.
        now = timezone.now().replace(microsecond=0)
        found["to"] = now
        found["from"] = now - WINDOWS[values["window"]][0]
    elif values["window"]:
        text = _("There is no window “%(given)s”. Choose one of: %(known)s.")
        form.problems.append(
            Problem("window", text % {"given": values["window"][:60], "known": ", ".join(WINDOWS)})
        )
    return {
        "calculated_from": found["from"],
        "calculated_before": found["to"],
        "occurred_from": found["occurred_from"],
        "occurred_before": found["occurred_to"],
    }


def _read_amounts(form: FindForm) -> dict[str, Any]:
    found: dict[str, str | None] = {}
    for name in _AMOUNTS:
        given = form.values[name]
        try:
            found[name] = plain_decimal(given) if given else None
        except MoneyError as error:
            form.problems.append(Problem(name, str(error)))
    return {"total_from": found.get("at_least"), "total_to": found.get("at_most")}


def chosen_preset(asked: QueryDict) -> QueryDict | None:
    """The query of a form whose button for a window was pressed: with that window, and no times of its own; None where none was."""
    if PRESET not in asked:
        return None
    query = asked.copy()
    chosen = query.pop(PRESET)[-1]
    for name in ("from", "to", "window", "after"):
        query.pop(name, None)
    if chosen != "all":
        query["window"] = str(chosen)
    return query
