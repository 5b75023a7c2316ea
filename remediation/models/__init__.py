"""Cases, plans, approvals, jobs, outcomes and audit samples."""

from remediation.models.approval import Approval
from remediation.models.audit_sample import (
    AuditSample,
    AuditSampleConclusion,
    AuditSampleItem,
    AuditSampleVerdict,
)
from remediation.models.case import Case, CaseComment, CaseRevision
from remediation.models.job import Job, JobChunk
from remediation.models.outcome import Outcome
from remediation.models.plan import Plan, PlanChunk, PlanChunkFigures, PlanChunkLeaves, PlanMember

__all__ = [
    "Approval",
    "AuditSample",
    "AuditSampleConclusion",
    "AuditSampleItem",
    "AuditSampleVerdict",
    "Case",
    "CaseComment",
    "CaseRevision",
    "Job",
    "JobChunk",
    "Outcome",
    "Plan",
    "PlanChunk",
    "PlanChunkFigures",
    "PlanChunkLeaves",
    "PlanMember",
]
