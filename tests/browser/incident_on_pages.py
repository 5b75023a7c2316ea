"""An incident with something of everything on the pages: plans in each state, a conflict, failed rows, three currencies."""

from dataclasses import dataclass
from datetime import timedelta

from remediation.models import Case, Job, Plan
from remediation.preview import request_preview
from remediation.revert import request_revert
from remediation.runner import work
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, opened, previewed, verified
from tests.remediation.incident import START, recalculate, report
from transactions.selection import Selection


@dataclass(frozen=True)
class Incident:
    """What the pages show."""

    transaction: int
    case: Case
    applied: Plan
    revert: Plan
    ready: Plan
    running: Job
    conflicted: Job


def incident(users: UserFactory) -> Incident:
    """By “Ana” the engineer, decided by “Ben”; one job left running, one plan ready."""
    ana, ben = users("engineer", name="ana"), users("approver", name="ben")
    ids = report(40)
    report(15, first=100, currency="JPY", scale=0, store="tokyo-7", start=START + timedelta(hours=1))
    report(
        15,
        first=200,
        currency="KWD",
        scale=3,
        store="kuwait-city-flagship-store-12",
        start=START + timedelta(hours=2),
    )
    plan = approved(previewed(ana, reason="Checkout charged one percent where the contract says two."), ben)
    recalculate(ids[3], fee_percent=3, at=START + timedelta(days=1))
    job = applied(plan, ana)
    verified(plan.case, ana)
    revert = request_revert(plan.case, acting_user=ana, reason="The contract was read wrongly.")
    work(revert.jobs.get(kind="preview").pk, worker="test")
    revert.refresh_from_db()
    report(8, first=300, service="checkout", start=START + timedelta(hours=3))
    ready = previewed(
        ana,
        target="raises-on-odd",
        selection=Selection("fee", services=("checkout",)),
        reason="A second, smaller one.",
    )
    report(8, first=400, service="refunds", start=START + timedelta(hours=4))
    waiting = opened(
        ana, selection=Selection("fee", services=("refunds",)), reason="A third one, being previewed."
    )
    running = request_preview(waiting, acting_user=ana).jobs.get()
    return Incident(ids[3], plan.case, plan, revert, ready, running, job)
