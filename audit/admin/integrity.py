"""The page that says how the trail is protected right now, and what is wrong with that; and the checkpoints, to be taken away."""

from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.integrity import MOST_WAITING, integrity
from audit.models import AuditEntry, AuditKey, AuditSeal, Checkpoint, CheckpointPublication, SealQueue

PERMISSION = "audit.view_auditentry"
LATEST = 10
"""Checkpoints and keys on the page, the newest."""


@dataclass(frozen=True)
class Sealing:
    """How one entry is protected: its seal, the first checkpoint that covers it, and where that is published; None and [] so far."""

    seal: AuditSeal | None
    waits: bool
    checkpoint: Checkpoint | None
    published: list[str]


def sealing_of(entry: AuditEntry) -> Sealing:
    """How `entry` is protected, in three queries at most."""
    seal = AuditSeal.objects.filter(entry=entry).first()
    if seal is None:
        return Sealing(None, SealQueue.objects.filter(entry=entry).exists(), None, [])
    covering = Checkpoint.objects.filter(sequence__gte=seal.sequence).order_by("sequence", "number").first()
    places = CheckpointPublication.objects.filter(checkpoint=covering, failure="").values_list(
        "place", flat=True
    )
    return Sealing(seal, False, covering, list(places) if covering else [])


def integrity_in_short() -> dict[str, Any]:
    """What the first page and the integrity page say of the trail alike."""
    found = integrity()
    verified = found.verification
    return {
        "integrity": found,
        "waiting_more": found.waiting > MOST_WAITING,
        "most_waiting": MOST_WAITING,
        "checkpoint_age": found.now - found.checkpoint.signed_at if found.checkpoint else None,
        "verified_age": found.now - verified.occurred_at if verified else None,
    }


def integrity_urls(site: AdminSite) -> list[URLPattern]:
    """Addresses of the page and of each checkpoint's text."""

    def page(request: HttpRequest) -> HttpResponse:
        _demand(request)
        context = {
            **site.each_context(request),
            **integrity_in_short(),
            "title": _("Integrity of the trail"),
            "is_popup": False,
            "keys": list(AuditKey.objects.order_by("-introduced_at", "key_id")[:LATEST]),
            "checkpoints": list(Checkpoint.objects.order_by("-number")[:LATEST]),
        }
        return TemplateResponse(request, "audit/integrity.html", context)

    def checkpoint(request: HttpRequest, number: int) -> HttpResponse:
        _demand(request)
        found = Checkpoint.objects.filter(pk=number).first() if number < 2**63 else None
        if found is None:
            raise Http404(_("There is no checkpoint %(number)s.") % {"number": number})
        return HttpResponse(
            found.text,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="checkpoint-{number}.txt"'},
        )

    return [
        path("integrity/", site.admin_view(never_cache(require_safe(page))), name="audit_integrity"),
        path(
            "checkpoint/<int:number>/",
            site.admin_view(require_safe(checkpoint)),
            name="audit_checkpoint_text",
        ),
    ]


def _demand(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
