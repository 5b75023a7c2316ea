"""Pages of cases, plans, jobs and outcomes, and what people do on them."""

from remediation.admin.case import CaseAdmin
from remediation.admin.facts import named
from remediation.admin.job import JobAdmin
from remediation.admin.outcome import OutcomeAdmin
from remediation.admin.plan import PlanAdmin
from remediation.admin.transaction_history import corrections

__all__ = ["CaseAdmin", "JobAdmin", "OutcomeAdmin", "PlanAdmin", "corrections", "named"]
