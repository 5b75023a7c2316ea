"""One frozen preview: exactly what would change."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from remediation.models.case import Case, CaseRevision
from transactions.canonical import LEAF_FORMAT
from transactions.models import Calculation, Release, Transaction


class Plan(models.Model):
    """What a preview found, frozen: never edited, and previewed again as a new plan.

    An `apply` plan's rows are the calculations that its chunks proposed. A `revert` names the plan it takes back, a `reapply` the
    revert that it takes back; their rows are `PlanMember`s. An apply that `retries` another plan looks only at that one's failed and
    conflicting rows. `digest` is the SHA-256 of `manifest` in canonical JSON, and is what people approve. The statuses and their arrows are
    explained in `remediation.lifecycle`; triggers enforce them.
    """

    class Kind(models.TextChoices):
        APPLY = "apply", _("apply")
        REVERT = "revert", _("revert")
        REAPPLY = "reapply", _("reapply")

    class Status(models.TextChoices):
        PREVIEWING = "previewing", _("previewing")
        READY = "ready", _("ready for approval")
        APPROVED = "approved", _("approved")
        EXECUTING = "executing", _("executing")
        EXECUTED = "executed", _("executed")
        STOPPED = "stopped", _("stopped part of the way")
        REJECTED = "rejected", _("rejected")
        SUPERSEDED = "superseded", _("superseded by a newer preview")
        FAILED = "failed", _("failed")

    revision = models.ForeignKey(CaseRevision, on_delete=models.PROTECT, related_name="plans")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="plans")
    kind = models.CharField(max_length=16, choices=Kind)
    source_plan = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="taken_back_by"
    )
    retries = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="retried_by",
        help_text="The plan whose failed and conflicting rows alone it tries again.",
    )
    reason = models.TextField()
    targets = models.JSONField(
        help_text="Release id → id of the release whose calculator makes the corrections."
    )
    calculator_digest = models.CharField(
        max_length=64, blank=True, help_text="Digest of the target calculator's code."
    )
    high_water = models.BigIntegerField(
        help_text="Calculations with a higher id arrived after the preview began."
    )
    policy = models.JSONField(help_text="The approval policy as it was when the preview began.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(db_default=TransactionNow())

    status = models.CharField(max_length=16, choices=Status, default=Status.PREVIEWING)
    failure = models.TextField(blank=True, help_text="Why a failed plan failed.")
    manifest = models.JSONField(
        null=True, help_text="What the digest is over; set once, when the preview is sealed."
    )
    digest = models.BinaryField(max_length=32, null=True)
    required_approvals = models.PositiveSmallIntegerField(null=True)
    fresh_until = models.DateTimeField(null=True, help_text="After this the plan must be previewed again.")

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("preview_plan", "Can preview corrections"),
            ("approve_plan", "Can approve and reject plans"),
            ("apply_plan", "Can apply approved plans"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="apply", source_plan__isnull=True)
                | (~Q(kind="apply") & Q(source_plan__isnull=False)),
                name="plan_source_fits_kind",
            ),
            models.CheckConstraint(
                condition=Q(retries__isnull=True) | Q(kind="apply"), name="plan_retry_is_an_apply"
            ),
            models.CheckConstraint(
                condition=Q(
                    manifest__isnull=True,
                    digest__isnull=True,
                    required_approvals__isnull=True,
                    fresh_until__isnull=True,
                )
                | Q(
                    manifest__isnull=False,
                    digest__isnull=False,
                    required_approvals__gte=1,
                    fresh_until__isnull=False,
                ),
                name="plan_sealed_whole",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["previewing", "failed", "superseded"]) | Q(digest__isnull=False),
                name="plan_sealed_before_decision",
            ),
            models.UniqueConstraint(
                fields=["case"],
                condition=Q(status__in=["previewing", "ready", "approved", "executing"]),
                name="plan_one_open_per_case",
            ),
            models.UniqueConstraint(
                fields=["source_plan"],
                # At a time, not for ever: what a stopped revert left, and what another case had covered then, can still be taken back.
                condition=Q(status__in=["previewing", "ready", "approved", "executing"]),
                name="plan_taken_back_once",
            ),
        ]

    def __str__(self) -> str:
        return f"Plan {self.pk} ({self.get_kind_display()})"

    @property
    def proposes_nothing(self) -> bool:
        """Whether the preview is done and found nothing to move, so that there is nothing to decide on."""
        return self.manifest is not None and not self.manifest["proposed"]


class PlanChunk(models.Model):
    """A bounded part of a plan: bounded up front, scanned once, frozen then.

    An apply plan's chunk covers the calculations of `release` after (`after_at`, `after_id`) up to and with
    (`through_at`, `through_id`), in the order (calculated_at, id); a revert's chunk covers the rows that `source_chunk` applied,
    a retry's the rows of `source_chunk` that failed or were conflicts and stand on a calculation of `release` now.
    `money` maps "USD:2" to whole numbers: {"before", "after", "delta", "largest"}; `causes` is described in `remediation.causes`, and
    `left_out_sums` in `remediation.exclusions.LeftOut`.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="chunks")
    position = models.PositiveIntegerField()
    release = models.ForeignKey(Release, null=True, on_delete=models.DO_NOTHING, related_name="+")
    after_at = models.DateTimeField(null=True)
    after_id = models.BigIntegerField(null=True)
    through_at = models.DateTimeField(null=True)
    through_id = models.BigIntegerField(null=True)
    source_chunk = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")

    scanned_at = models.DateTimeField(null=True)
    scanned = models.PositiveIntegerField(null=True)
    unchanged = models.PositiveIntegerField(null=True)
    proposed = models.PositiveIntegerField(null=True)
    failed = models.PositiveIntegerField(null=True)
    moved_since = models.PositiveIntegerField(
        null=True, help_text="Rows a revert or a retry leaves alone: they stand elsewhere now."
    )
    left_out = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Rows that would be corrected, and are left out by the case's exclusions.",
    )
    left_out_sums = models.JSONField(default=dict, db_default={})
    money = models.JSONField(null=True)
    causes = models.JSONField(null=True)
    root = models.BinaryField(max_length=32, null=True, help_text="Merkle root of the leaves.")
    leaves_digest = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of the leaf vector.")
    leaf_format = models.PositiveSmallIntegerField(
        db_default=LEAF_FORMAT, help_text="How the leaves are made: amends_chunk_moves knows each format."
    )

    class Meta:
        ordering: ClassVar = ["plan", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["plan", "position"], name="planchunk_position_unique"),
            models.UniqueConstraint(
                fields=["plan", "source_chunk", "release"],
                condition=Q(source_chunk__isnull=False),
                nulls_distinct=False,
                name="planchunk_source_unique",
            ),
            models.CheckConstraint(
                condition=Q(scanned_at__isnull=True, root__isnull=True)
                | Q(
                    scanned_at__isnull=False,
                    root__isnull=False,
                    leaves_digest__isnull=False,
                    money__isnull=False,
                    causes__isnull=False,
                    scanned=F("unchanged") + F("proposed") + F("failed") + F("moved_since") + F("left_out"),
                ),
                name="planchunk_scanned_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"Plan {self.plan_id}, chunk {self.position}"


class PlanChunkLeaves(models.Model):
    """The leaves of a scanned chunk, 32 bytes a row, in transaction-id order. Insert-only."""

    plan_chunk = models.OneToOneField(
        PlanChunk, primary_key=True, on_delete=models.PROTECT, related_name="leaves"
    )
    leaves = models.BinaryField()

    class Meta:
        verbose_name_plural = "plan chunk leaves"

    def __str__(self) -> str:
        return f"leaves of plan chunk {self.plan_chunk_id}"


class PlanChunkFigures(models.Model):
    """How a scanned chunk's changes are spread, and over which stores: see `remediation.figures`. Insert-only.

    Chunks of plans that take others back have none, and those that were scanned before there were any. No part of the digest: what they
    add up to is, and is held against it when they are read.
    """

    plan_chunk = models.OneToOneField(
        PlanChunk, primary_key=True, on_delete=models.PROTECT, related_name="figures"
    )
    spread = models.JSONField()
    stores = models.JSONField()

    class Meta:
        verbose_name_plural = "plan chunk figures"

    def __str__(self) -> str:
        return f"figures of plan chunk {self.plan_chunk_id}"


class PlanMember(models.Model):
    """A row of a revert or reapply plan: where the transaction is to stand, and where it must stand for that. Insert-only."""

    plan_chunk = models.ForeignKey(
        PlanChunk, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    transaction = models.ForeignKey(
        Transaction, on_delete=models.DO_NOTHING, db_constraint=False, db_index=True, related_name="+"
    )
    calculation = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    replaces = models.ForeignKey(
        Calculation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["plan_chunk", "transaction"], name="planmember_once"),
        ]

    def __str__(self) -> str:
        return f"{self.transaction_id}: {self.replaces_id} → {self.calculation_id}"
