"""Cases, plans, approvals, jobs and outcomes."""

from remediation.models.approval import Approval
from remediation.models.case import Case, CaseRevision
from remediation.models.job import Job, JobChunk
from remediation.models.outcome import Outcome
from remediation.models.plan import Plan, PlanChunk, PlanChunkLeaves, PlanMember

__all__ = [
    "Approval",
    "Case",
    "CaseRevision",
    "Job",
    "JobChunk",
    "Outcome",
    "Plan",
    "PlanChunk",
    "PlanChunkLeaves",
    "PlanMember",
]
