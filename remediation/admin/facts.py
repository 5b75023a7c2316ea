"""How cases, plans and jobs stand in the trail's entries, told to people."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.admin.facts import Shown, tells_facts

_CALLED = {"case": _("Case %(number)s"), "plan": _("Plan %(number)s"), "job": _("Job %(number)s")}
_NAMED = {
    "case": "case",
    "plan": "plan",
    "source_plan": "plan",
    "retries": "plan",
    "job": "job",
}


@tells_facts
def named(name: str, value: Any) -> Shown | None:
    """A case, a plan or a job by its number."""
    kind = _NAMED.get(name)
    if kind is None or not isinstance(value, int) or isinstance(value, bool):
        return None
    page = reverse(f"admin:remediation_{kind}_change", args=[value])
    return format_html('<a href="{}">{}</a>', page, str(_CALLED[kind]) % {"number": value})


@tells_facts
def stage(name: str, value: Any) -> Shown | None:
    """A job's stage, which people count from 1."""
    return f"{value + 1}" if name in ("stage", "held_at_stage") and isinstance(value, int) else None


@tells_facts
def limit(name: str, value: Any) -> Shown | None:
    """A job's limit that is not set."""
    return (
        gettext("no limit")
        if value is None and name in ("workers", "chunk_rows", "pause_milliseconds", "rows_per_second")
        else None
    )
