"""What did not go well, a row each. Success is a finished chunk without one."""

from typing import ClassVar

from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from remediation.models.job import Job
from remediation.models.plan import PlanChunk
from transactions.models import Transaction


class Outcome(models.Model):
    """A transaction that a job could not treat as it should have, and why. Insert-only.

    `detail` of a conflict: {"expected": calculation id, "found": calculation id, "proposed": calculation id}; of a difference that a
    verify found, and of a row that the case leaves out: {"current": amounts, "target": amounts}.
    """

    class Kind(models.TextChoices):
        CONFLICT = "conflict", _("conflict")
        FAILED = "failed", _("failed")
        DIFFERS = "differs", _("differs")
        EXCLUDED = "excluded", _("left out")

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="outcomes")
    plan_chunk = models.ForeignKey(PlanChunk, null=True, on_delete=models.PROTECT, related_name="outcomes")
    transaction = models.ForeignKey(
        Transaction, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    kind = models.CharField(max_length=16, choices=Kind)
    reason = models.TextField()
    detail = models.JSONField(default=dict)
    recorded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "transaction"], name="outcome_once_per_job"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["plan_chunk", "transaction"], condition=Q(kind="conflict"), name="outcome_conflicts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reason}"
