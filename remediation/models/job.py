"""Long work, in chunks that workers lease."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from remediation.models.case import Case
from remediation.models.plan import Plan, PlanChunk


class Job(models.Model):
    """A preview, an apply or a verify at work. Progress and totals are sums over its chunks, never stored.

    `remediation.lifecycle` explains the statuses. One executing job per plan, ever: otherwise apply → revert → apply of the same plan
    would find its rows standing where it expects them again.
    """

    class Kind(models.TextChoices):
        PREVIEW = "preview", _("preview")
        APPLY = "apply", _("apply")
        VERIFY = "verify", _("verify")

    class Status(models.TextChoices):
        RUNNING = "running", _("running")
        PAUSING = "pausing", _("pausing")
        PAUSED = "paused", _("paused")
        CANCELLING = "cancelling", _("cancelling")
        CANCELLED = "cancelled", _("cancelled")
        FINISHED = "finished", _("finished")
        FAILED = "failed", _("failed")

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="jobs")
    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="jobs")
    kind = models.CharField(max_length=16, choices=Kind)
    status = models.CharField(max_length=16, choices=Status, default=Status.RUNNING)
    failure = models.TextField(blank=True, help_text="Why a failed job failed, or who cancelled it and why.")
    pause_reason = models.TextField(
        blank=True, default="", db_default="", help_text="Why it is paused: a person's reason, or a gate's."
    )
    stages = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Rows moved by the end of each stage; one stage where empty.",
    )
    stage = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="The stage that is worked on, from 0."
    )
    held_at_stage = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="The stage whose gate holds it, until somebody decides."
    )
    workers = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Chunks in hand at a time, at most."
    )
    chunk_rows = models.PositiveIntegerField(null=True, blank=True, help_text="Rows moved at once, at most.")
    pause_milliseconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="A worker's rest after each chunk."
    )
    rows_per_second = models.PositiveIntegerField(
        null=True, blank=True, help_text="All workers together, at most."
    )
    not_before = models.DateTimeField(
        null=True, blank=True, help_text="The rate's next chunk, by the database's clock."
    )
    throttle = models.TextField(
        blank=True, default="", db_default="", help_text="What the job does more slowly by itself, and why."
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(db_default=TransactionNow())
    finished_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True, help_text="What a finished verification found.")

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [
            ("verify_case", "Can verify cases"),
            ("control_job", "Can pause, resume, cancel and tune jobs"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["plan", "kind"], condition=Q(plan__isnull=False), name="job_one_of_a_kind_per_plan"
            ),
            models.UniqueConstraint(
                fields=["case"],
                condition=Q(kind="verify", status__in=["running", "pausing", "paused", "cancelling"]),
                name="job_one_verify_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(kind="verify", plan__isnull=True) | (~Q(kind="verify") & Q(plan__isnull=False)),
                name="job_plan_fits_kind",
            ),
            models.CheckConstraint(
                condition=Q(workers__isnull=True) | Q(workers__gte=1), name="job_workers_at_least_one"
            ),
            models.CheckConstraint(
                condition=Q(chunk_rows__isnull=True) | Q(chunk_rows__gte=1),
                name="job_chunk_rows_at_least_one",
            ),
            models.CheckConstraint(
                condition=Q(rows_per_second__isnull=True) | Q(rows_per_second__gte=1),
                name="job_rate_at_least_one",
            ),
        ]

    def __str__(self) -> str:
        return f"Job {self.pk} ({self.get_kind_display()})"

    @property
    def ended(self) -> bool:
        """Whether nothing more of it will happen."""
        return self.status in self.ENDED

    ENDED: ClassVar = (Status.FINISHED, Status.FAILED, Status.CANCELLED)


class JobChunk(models.Model):
    """A piece of a job that one worker holds at a time, by a lease with a token.

    A preview's chunk scans `plan_chunk`; an apply's moves `leaf_count` rows of it from `first_leaf` on, in the job's `stage`; one row
    that cost too many workers is quarantined, and listed as failed. A verify's chunk either holds
    `plan_chunk` against rows and pointers or looks through `bounds`, {"release", "after_at", "after_id", "through_at", "through_id"}.
    `result` of an apply is {"applied", "conflicts", "money": {"USD:2": delta}}, of a verify what `remediation.verify` says.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        LEASED = "leased", _("leased")
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")
        QUARANTINED = "quarantined", _("quarantined")

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="chunks")
    position = models.PositiveIntegerField()
    stage = models.PositiveSmallIntegerField(default=0, db_default=0)
    plan_chunk = models.ForeignKey(PlanChunk, null=True, on_delete=models.PROTECT, related_name="job_chunks")
    first_leaf = models.PositiveIntegerField(null=True)
    leaf_count = models.PositiveIntegerField(null=True)
    first_transaction = models.BigIntegerField(
        null=True, help_text="The lowest transaction that it moved, once done."
    )
    last_transaction = models.BigIntegerField(null=True, help_text="The highest.")
    bounds = models.JSONField(null=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True, help_text="By the database's clock.")
    attempts = models.PositiveSmallIntegerField(default=0)
    lost = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Attempts among them whose worker was lost."
    )
    worker = models.CharField(max_length=200, blank=True)
    leased_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True, help_text="What went wrong at the last attempt.")
    result = models.JSONField(null=True)

    class Meta:
        ordering: ClassVar = ["job", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "position"], name="jobchunk_position_unique"),
            models.UniqueConstraint(fields=["job", "plan_chunk", "first_leaf"], name="jobchunk_range_unique"),
            models.CheckConstraint(
                condition=Q(status="leased", token__isnull=False, lease_until__isnull=False)
                | (~Q(status="leased") & Q(lease_until__isnull=True)),
                name="jobchunk_lease_whole",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["job", "stage", "position"],
                condition=Q(status__in=["waiting", "leased"]),
                name="jobchunk_unfinished",
            ),
            models.Index(
                fields=["job", "finished_at"], condition=Q(status="done"), name="jobchunk_last_done"
            ),
            models.Index(
                fields=["plan_chunk", "last_transaction"], condition=Q(status="done"), name="jobchunk_moved"
            ),
        ]

    def __str__(self) -> str:
        return f"Job {self.job_id}, chunk {self.position}"
