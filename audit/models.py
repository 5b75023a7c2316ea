"""The append-only trail: who did what, to what, when and why."""

from typing import ClassVar
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
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


class Trail(models.Model):
    """This installation's trail: one row. Its UUID begins the chain, so that seals of one installation never fit another's."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    uuid = models.UUIDField(default=uuid4, unique=True)
    begun_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="trail_only_one")]

    def __str__(self) -> str:
        return str(self.uuid)


class SealQueue(models.Model):
    """An entry that waits for its seal. Filled by a trigger in the transaction that writes the entry, emptied by the sealer.

    Not a number up to which all is sealed: entries commit out of the order of their ids, and one that came late would be passed over.
    """

    entry = models.OneToOneField(
        AuditEntry, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="waiting"
    )

    class Meta:
        verbose_name = "entry waiting for its seal"
        verbose_name_plural = "entries waiting for their seals"

    def __str__(self) -> str:
        return f"entry {self.entry_id} waits for its seal"


class AuditSeal(models.Model):
    """An entry's place in the chain: `audit.seal` says how both hashes (32 bytes) are made. Insert-only, by the sealer's role alone."""

    sequence = models.BigIntegerField(primary_key=True)
    entry = models.OneToOneField(
        AuditEntry, on_delete=models.DO_NOTHING, db_constraint=False, related_name="seal"
    )
    entry_hash = models.BinaryField(max_length=32)
    chain = models.BinaryField(max_length=32)
    sealed_at = models.DateTimeField(help_text="The database's clock, UTC. Covered by the chain.")

    class Meta:
        ordering: ClassVar = ["-sequence"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(sequence__gte=1), name="auditseal_sequence_from_one")
        ]

    def __str__(self) -> str:
        return f"seal {self.sequence}"


class AuditKey(models.Model):
    """A public key (Ed25519, 32 bytes) that checkpoints were signed with. Kept for good: old checkpoints need it. Insert-only."""

    key_id = models.CharField(primary_key=True, max_length=16, help_text="Begin of its SHA-256, hexadecimal.")
    public_key = models.BinaryField(max_length=32)
    introduced_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "signing key"

    def __str__(self) -> str:
        return self.key_id


class Checkpoint(models.Model):
    """A signed statement of how far the chain went: `audit.checkpoint` makes and reads its `text`. Insert-only."""

    number = models.BigIntegerField(primary_key=True)
    sequence = models.BigIntegerField(help_text="The last seal that it covers; 0 before the first.")
    chain = models.BinaryField(max_length=32)
    signed_at = models.DateTimeField()
    key = models.ForeignKey(AuditKey, on_delete=models.DO_NOTHING, related_name="checkpoints")
    text = models.TextField(help_text="The whole checkpoint, its signature included.")

    class Meta:
        ordering: ClassVar = ["-number"]
        indexes: ClassVar = [models.Index(fields=["sequence"], name="checkpoint_sequence")]

    def __str__(self) -> str:
        return f"Checkpoint {self.number}"


class CheckpointPublication(models.Model):
    """An attempt to publish a checkpoint at a place; `failure` says why it did not go well, and is empty where it did. Insert-only."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.DO_NOTHING, related_name="publications")
    place = models.CharField(max_length=500)
    at = models.DateTimeField(db_default=Now())
    failure = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["place", "-id"], name="publication_place")]

    def __str__(self) -> str:
        return f"{self.checkpoint} at {self.place}"
