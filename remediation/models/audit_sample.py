"""An auditor's sample of an apply's corrections, what they found of each, and what they conclude. All insert-only."""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from remediation.models.job import Job, JobChunk
from transactions.models import Calculation, Transaction

DRAW_FORMAT = 1
"""How positions come of a seed: `remediation.drawing`, docs/audit-sample.md."""


class AuditSample(models.Model):
    """A random sample of the corrections that a job applied, and what it is to show.

    Rates are shares of 1. `population` corrections were applied, `size` of them drawn, and with at most `allowed_errors` errors among
    them the population is accepted. Whoever had a part in the case cannot draw from it: a trigger refuses it.
    """

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="audit_samples")
    confidence = models.DecimalField(max_digits=6, decimal_places=4)
    tolerable_rate = models.DecimalField(max_digits=9, decimal_places=8)
    expected_rate = models.DecimalField(max_digits=9, decimal_places=8)
    population = models.BigIntegerField(help_text="Corrections that the job applied.")
    size = models.PositiveIntegerField()
    allowed_errors = models.PositiveIntegerField()
    seed = models.CharField(max_length=200)
    seed_chosen = models.BooleanField(help_text="By the auditor; else it was drawn by the machine.")
    draw_format = models.PositiveSmallIntegerField(db_default=DRAW_FORMAT, default=DRAW_FORMAT)
    plan_digest = models.BinaryField(max_length=32, help_text="The digest of the plan that was applied.")
    drawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    drawn_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [("audit_sample", "Can draw audit samples and judge what is drawn")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(confidence__gte=Decimal("0.5"), confidence__lt=1), name="auditsample_confidence"
            ),
            models.CheckConstraint(
                condition=Q(
                    tolerable_rate__gt=models.F("expected_rate"), tolerable_rate__lt=1, expected_rate__gte=0
                ),
                name="auditsample_rates",
            ),
            models.CheckConstraint(
                condition=Q(size__gte=1, size__lte=models.F("population")), name="auditsample_size"
            ),
            models.CheckConstraint(condition=~Q(seed=""), name="auditsample_seed"),
        ]

    def __str__(self) -> str:
        return f"Audit sample {self.pk} of job {self.job_id}"


class AuditSampleItem(models.Model):
    """One drawn correction: the `number`th that was drawn, at `position` among all that the job applied, from 0.

    `leaf` is what was approved for it, as stored at `leaf_number` of its plan chunk when the sample was drawn.
    """

    sample = models.ForeignKey(AuditSample, on_delete=models.PROTECT, related_name="items")
    number = models.PositiveIntegerField(help_text="From 1, in the order of drawing.")
    position = models.BigIntegerField()
    job_chunk = models.ForeignKey(JobChunk, on_delete=models.PROTECT, db_index=False, related_name="+")
    leaf_number = models.PositiveIntegerField()
    leaf = models.BinaryField(max_length=32)
    transaction = models.ForeignKey(
        Transaction, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    calculation = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    replaces = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        ordering: ClassVar = ["sample", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sample", "number"], name="auditsampleitem_number_once"),
            models.UniqueConstraint(fields=["sample", "position"], name="auditsampleitem_position_once"),
            models.UniqueConstraint(
                fields=["sample", "transaction"], name="auditsampleitem_transaction_once"
            ),
        ]

    def __str__(self) -> str:
        return f"Audit sample {self.sample_id}, correction {self.number}"


class AuditSampleVerdict(models.Model):
    """What an auditor found of a drawn correction. The newest counts; the ones before stay.

    `wrong_by` is the corrected total less the right one, in smallest units: positive where it is too high; 0 where only a component
    is wrong. `shown` is what the recomputation showed when the verdict was given: `remediation.recomputation.ItemCheck.as_json`.
    """

    class Verdict(models.TextChoices):
        CORRECT = "correct", _("correct")
        WRONG = "wrong", _("wrong")
        CANNOT_TELL = "cannot_tell", _("cannot tell")

    item = models.ForeignKey(AuditSampleItem, on_delete=models.PROTECT, related_name="verdicts")
    verdict = models.CharField(max_length=16, choices=Verdict)
    wrong_by = models.BigIntegerField(null=True)
    comment = models.TextField(blank=True)
    shown = models.JSONField()
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(verdict="wrong", wrong_by__isnull=False)
                | (~Q(verdict="wrong") & Q(wrong_by__isnull=True)),
                name="auditsampleverdict_amount_fits",
            ),
            models.CheckConstraint(
                condition=Q(verdict="correct") | ~Q(comment=""), name="auditsampleverdict_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}, by {self.recorded_by}"


class AuditSampleConclusion(models.Model):
    """What an auditor concludes of a sample whose every correction has a verdict. Another may follow where verdicts changed.

    `report` is what it stands on: `remediation.sample_report.SampleReport.as_json`.
    """

    sample = models.ForeignKey(AuditSample, on_delete=models.PROTECT, related_name="conclusions")
    accepted = models.BooleanField()
    last_verdict = models.ForeignKey(
        AuditSampleVerdict, on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    report = models.JSONField()
    comment = models.TextField(blank=True)
    concluded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    concluded_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{'accepted' if self.accepted else 'not accepted'}, by {self.concluded_by}"
