"""How the trail is protected right now: what is sealed, signed, published and verified, and what is wrong with that, in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from audit.models import AuditEntry, AuditSeal, Checkpoint, CheckpointPublication, SealQueue, Trail
from audit.publishing import name_of

MOST_WAITING = 10_000
"""So many waiting entries are counted; more are told as more than that."""
UNSEALED_SECONDS = 60
"""An entry that waits longer for its seal is an alarm."""
LATE_CHECKPOINT_SECONDS = 300
"""A checkpoint may come so much later than it is due."""
VERIFY_AT_LEAST_EVERY = timedelta(hours=36)
"""Nightly, and half a day for a night that went wrong."""


@dataclass(frozen=True)
class Problem:
    """Something wrong: a name that stays the same while it lasts, what it is, and what to do."""

    name: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Place:
    """Where checkpoints are published: the last one that was, and since when it fails and why ("" where it does not)."""

    address: str
    last: int | None
    last_at: datetime | None
    failing_since: datetime | None
    failure: str


@dataclass(frozen=True)
class Integrity:
    """All times are UTC. `sealed_up_to` is the last seal's sequence, 0 before the first; `verification` the last one's audit entry."""

    now: datetime
    sealed_up_to: int
    sealed_at: datetime | None
    waiting: int
    oldest_waiting: AuditEntry | None
    checkpoint: Checkpoint | None
    places: tuple[Place, ...]
    verification: AuditEntry | None
    problems: tuple[Problem, ...]

    @property
    def waits_for(self) -> timedelta:
        """How long the oldest entry without a seal has waited."""
        return timedelta(0) if self.oldest_waiting is None else self.now - self.oldest_waiting.occurred_at


def integrity() -> Integrity:
    """How it stands, read with a handful of queries whatever the trail's length."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    seal = AuditSeal.objects.order_by("-sequence").first()
    oldest = SealQueue.objects.select_related("entry").order_by("entry_id").first()
    found: dict[str, Any] = {
        "now": now,
        "sealed_up_to": 0 if seal is None else seal.sequence,
        "sealed_at": None if seal is None else seal.sealed_at,
        "waiting": SealQueue.objects.all()[: MOST_WAITING + 1].count(),
        "oldest_waiting": None if oldest is None else oldest.entry,
        "checkpoint": Checkpoint.objects.select_related("key").order_by("-number").first(),
        "places": tuple(_place(name_of(address)) for address in settings.AMENDS_AUDIT_PLACES),
        "verification": AuditEntry.objects.filter(event="audit.verified")
        .order_by("-occurred_at", "-pk")
        .first(),
    }
    problems = (
        *_sealing_problems(now, found["oldest_waiting"]),
        *_gone_before_their_seal(),
        *_checkpoint_problems(now, found["checkpoint"]),
        *_publication_problems(found["places"]),
        *_verification_problems(now),
    )
    return Integrity(**found, problems=problems)


def _place(address: str) -> Place:
    attempts = CheckpointPublication.objects.filter(place=address)
    last = attempts.filter(failure="").order_by("-pk").first()
    later = attempts.filter(pk__gt=0 if last is None else last.pk)
    failing = later.order_by("pk").first()
    newest = later.order_by("-pk").first()
    return Place(
        address=address,
        last=None if last is None else last.checkpoint_id,
        last_at=None if last is None else last.at,
        failing_since=None if failing is None else failing.at,
        failure="" if newest is None else newest.failure,
    )


def _sealing_problems(now: datetime, oldest: AuditEntry | None) -> list[Problem]:
    if oldest is None or (now - oldest.occurred_at).total_seconds() <= UNSEALED_SECONDS:
        return []
    return [
        Problem(
            "unsealed",
            _(
                "Entry %(entry)s has waited for its seal since %(since)s UTC: entries are written, and nobody chains them."
            )
            % {"entry": oldest.pk, "since": f"{oldest.occurred_at:%Y-%m-%d %H:%M:%S}"},
            _(
                "Look whether the sealer runs (“manage.py services status”), has DATABASE_SEALER_URL, and what its log says."
            ),
        )
    ]


def _gone_before_their_seal() -> list[Problem]:
    """An entry that was deleted while it waited has no seal to miss it; its place in the queue does."""
    waiting = SealQueue.objects.order_by("entry_id").values("entry_id")[:MOST_WAITING]
    gone = SealQueue.objects.filter(
        ~Exists(AuditEntry.objects.filter(pk=OuterRef("entry_id"))), entry_id__in=waiting
    ).values_list("entry_id", flat=True)
    if not (first := list(gone[:3])):
        return []
    return [
        Problem(
            "gone",
            _("Deleted before they were sealed: %(entries)s")
            % {
                "entries": ", ".join(_("entry %(number)s") % {"number": entry} for entry in first)
                + (" …" if len(first) == 3 else "")
            },
            _(
                "Somebody with the owner's rights did that. Keep the database as it is until an auditor has looked at it."
            ),
        )
    ]


def _checkpoint_problems(now: datetime, last: Checkpoint | None) -> list[Problem]:
    if last is None:
        return [
            Problem(
                "no_checkpoint",
                _(
                    "No checkpoint has been signed yet: whoever can write the database could still rewrite all of the trail unseen."
                ),
                _("Give the sealer a key (AMENDS_AUDIT_KEY_FILE) and look at its log."),
            )
        ]
    unsigned = AuditSeal.objects.filter(sequence=last.sequence + 1).first()
    if unsigned is None:
        due_after, since = settings.AMENDS_AUDIT_HEARTBEAT_SECONDS, last.signed_at
    else:
        due_after = settings.AMENDS_AUDIT_CHECKPOINT_SECONDS
        since = max(unsigned.sealed_at, last.signed_at)
    if (now - since).total_seconds() <= due_after + LATE_CHECKPOINT_SECONDS:
        return []
    said = (
        _(
            "No checkpoint has been signed since %(since)s UTC, when number %(number)s was: what came later could be rewritten unseen."
        )
        if unsigned is None
        else _(
            "No checkpoint has been signed since %(since)s UTC, when number %(number)s was, and entries have been sealed since: "
            "what came later could be rewritten unseen."
        )
    )
    return [
        Problem(
            "no_checkpoint",
            said % {"since": f"{last.signed_at:%Y-%m-%d %H:%M}", "number": last.number},
            _(
                "Look at the sealer's log: its key may be missing, not answering, or not the one that was handed over to."
            ),
        )
    ]


def _publication_problems(places: tuple[Place, ...]) -> list[Problem]:
    failing = [
        Problem(
            f"not_published:{place.address}",
            _("Checkpoints have not reached %(place)s since %(since)s UTC: %(failure)s")
            % {
                "place": place.address,
                "since": f"{place.failing_since:%Y-%m-%d %H:%M}",
                "failure": place.failure,
            },
            _(
                "Mend the place; what it lacks is then published by itself. Until then changes made meanwhile could go unseen."
            ),
        )
        for place in places
        if place.failing_since is not None
    ]
    if places:
        return failing
    return [
        Problem(
            "nowhere_published",
            _(
                "Checkpoints are published nowhere: whoever can write the database can rewrite them with the trail."
            ),
            _("Set AMENDS_AUDIT_PLACES to a place that the database's owner cannot write."),
        )
    ]


def _verification_problems(now: datetime) -> list[Problem]:
    """Of the last whole verification, and of those of a part since: that a part is well says nothing of the others."""
    verified = AuditEntry.objects.filter(event="audit.verified").order_by("-pk")
    whole = verified.filter(data__since=0).first()
    found = verified.filter(pk__gte=0 if whole is None else whole.pk).exclude(data__result="ok").first()
    problems = []
    if found is not None:
        problems.append(
            Problem(
                "verification_found",
                _("The verification of %(at)s UTC ended “%(result)s”.")
                % {"at": f"{found.occurred_at:%Y-%m-%d %H:%M}", "result": found.data.get("result")},
                _(
                    "Open its entry: it names the rows. Keep the database as it is until an auditor has looked at them."
                ),
            )
        )
    last = Trail.objects.get().begun_at if whole is None else whole.occurred_at
    if now - last > VERIFY_AT_LEAST_EVERY:
        problems.append(
            Problem(
                "verification_late",
                _("Not everything has been verified since %(since)s UTC.")
                % {"since": f"{last:%Y-%m-%d %H:%M}"},
                _(
                    "“manage.py audit verify” does it now. Beat starts it every night: look whether that runs."
                ),
            )
        )
    return problems
