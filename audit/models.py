"""The append-only trail: who did what, to what, when and why."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One thing that somebody, or the system itself, did.

    Written only by `audit.trail.record`, in the transaction of the change that it tells of. Nobody may update or
    delete it: the application's role has no such privilege, and a trigger refuses it to the owner too.
    `actor_label` is the actor's name at that time, so that an entry stays readable when the account is renamed.
    """

    event = models.CharField(max_length=64, help_text="Registered event type, such as “plan.approved”.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        help_text="Who did it; empty where Amends itself did.",
    )
    actor_label = models.CharField(max_length=254)
    subject_type = models.CharField(max_length=64, help_text="Model label, such as “remediation.plan”.")
    subject_id = models.BigIntegerField()
    subject_label = models.CharField(max_length=254)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    data = models.JSONField(help_text="What the event type's schema asks for.")
    occurred_at = models.DateTimeField(db_default=Now(), help_text="The database's clock, UTC.")

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            # All in the order of time: a period then is a range of whichever answers, however long the trail is.
            models.Index(fields=["occurred_at", "id"], name="auditentry_at"),
            models.Index(
                fields=["subject_type", "subject_id", "occurred_at", "id"], name="auditentry_subject_at"
            ),
            models.Index(fields=["event", "occurred_at", "id"], name="auditentry_event_at"),
            models.Index(fields=["actor", "occurred_at", "id"], name="auditentry_actor_at"),
            models.Index(
                fields=["occurred_at", "id"], condition=~models.Q(reason=""), name="auditentry_reasoned_at"
            ),
        ]
        permissions: ClassVar = [
            ("export_trail", "Can export the trail"),
            ("oversee_trail", "Can oversee the trail's integrity"),
        ]

    def __str__(self) -> str:
        return f"{self.event} by {self.actor_label}: {self.subject_label}"
