"""Why something is corrected, and what is looked at."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q


class Case(models.Model):
    """One incident to put right. Its stage is derived from its plans and jobs, never stored.

    `fingerprint` is a digest of who opened it, the first selection, target and reason: asking twice opens one case.
    """

    incident = models.CharField(max_length=200, help_text="What happened, in a line.")
    reason = models.TextField(help_text="Why the transactions are to be corrected.")
    ticket = models.CharField(max_length=200, blank=True)
    fingerprint = models.BinaryField(max_length=32, unique=True)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [("open_case", "Can open and edit cases")]

    def __str__(self) -> str:
        return f"Case {self.pk}: {self.incident}"


class CaseComment(models.Model):
    """What somebody said about a case. Insert-only: what was said stays said."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField()
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["id"]
        permissions: ClassVar = [("comment_on_case", "Can comment on cases")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(text=""), name="casecomment_says_something"),
        ]

    def __str__(self) -> str:
        return f"comment {self.pk} on case {self.case_id}"


class CaseRevision(models.Model):
    """What a case looks at, as of one edit. Insert-only, so that everyone who ever edited a case is known.

    `criteria` is `transactions.selection.Selection.to_criteria()`, and `exclusions` is `remediation.exclusions.Exclusions.to_json()`: {}
    where nothing is left out. Criteria, never a list of ids.
    """

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    criteria = models.JSONField()
    exclusions = models.JSONField(
        default=dict, db_default={}, help_text="What is left out by cause, store or size."
    )
    target_version = models.CharField(max_length=64)
    edited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    edited_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        ordering: ClassVar = ["case", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["case", "number"], name="caserevision_number_unique"),
        ]

    def __str__(self) -> str:
        return f"Case {self.case_id}, revision {self.number}"
