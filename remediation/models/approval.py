"""A second person's decision."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.utils.translation import gettext_lazy as _

from remediation.models.plan import Plan


class Approval(models.Model):
    """Somebody's decision on exactly the digest that was shown. Insert-only.

    A trigger refuses the decision of whoever requested the plan or edited its case, on another digest than the plan's, or on a plan that
    does not wait for one. It counts only while its author has not edited the case.
    """

    class Decision(models.TextChoices):
        APPROVE = "approve", _("approved")
        REJECT = "reject", _("rejected")

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="approvals")
    decision = models.CharField(max_length=16, choices=Decision)
    digest = models.BinaryField(max_length=32)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(db_default=TransactionNow())
    comment = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["plan", "decided_by"], name="approval_one_decision_a_person"),
        ]

    def __str__(self) -> str:
        return f"Plan {self.plan_id} {self.get_decision_display()}"
