"""Pages of cases, plans, jobs, outcomes and audit samples, and what people do on them."""

from remediation.admin.audit_sample import AuditSampleAdmin
from remediation.admin.case import CaseAdmin
from remediation.admin.facts import named
from remediation.admin.job import JobAdmin
from remediation.admin.outcome import OutcomeAdmin
from remediation.admin.plan import PlanAdmin
from remediation.admin.store_statement import store_answer
from remediation.admin.transaction_answer import answer
from remediation.admin.transaction_history import corrections

__all__ = [
    "AuditSampleAdmin",
    "CaseAdmin",
    "JobAdmin",
    "OutcomeAdmin",
    "PlanAdmin",
    "answer",
    "corrections",
    "named",
    "store_answer",
]
