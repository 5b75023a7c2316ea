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
        FINISHED = "finished", _("finished")
        FAILED = "failed", _("failed")

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="jobs")
    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="jobs")
    kind = models.CharField(max_length=16, choices=Kind)
    status = models.CharField(max_length=16, choices=Status, default=Status.RUNNING)
    failure = models.TextField(blank=True, help_text="Why a failed job failed.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(db_default=TransactionNow())
    finished_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True, help_text="What a finished verification found.")

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [("verify_case", "Can verify cases")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["plan", "kind"], condition=Q(plan__isnull=False), name="job_one_of_a_kind_per_plan"
            ),
            models.UniqueConstraint(
                fields=["case"], condition=Q(kind="verify", status="running"), name="job_one_verify_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(kind="verify", plan__isnull=True) | (~Q(kind="verify") & Q(plan__isnull=False)),
                name="job_plan_fits_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"Job {self.pk} ({self.get_kind_display()})"


class JobChunk(models.Model):
    """A piece of a job that one worker holds at a time, by a lease with a token.

    A preview's chunk scans `plan_chunk`; an apply's moves `leaf_count` rows of it from `first_leaf` on; a verify's either holds
    `plan_chunk` against rows and pointers or looks through `bounds`, {"release", "after_at", "after_id", "through_at", "through_id"}.
    `result` of an apply is {"applied", "conflicts", "money": {"USD:2": delta}}, of a verify what `remediation.verify` says.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        LEASED = "leased", _("leased")
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="chunks")
    position = models.PositiveIntegerField()
    plan_chunk = models.ForeignKey(PlanChunk, null=True, on_delete=models.PROTECT, related_name="job_chunks")
    first_leaf = models.PositiveIntegerField(null=True)
    leaf_count = models.PositiveIntegerField(null=True)
    bounds = models.JSONField(null=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True, help_text="By the database's clock.")
    attempts = models.PositiveSmallIntegerField(default=0)
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
                fields=["job", "position"],
                condition=Q(status__in=["waiting", "leased"]),
                name="jobchunk_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"Job {self.job_id}, chunk {self.position}"
