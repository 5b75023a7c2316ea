"""A plan's chunk that is applied in several parts."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from remediation.apply import start_apply
from remediation.conclusion import fail_job
from remediation.control import tune_job
from remediation.models import Job, JobChunk, Plan
from remediation.revert import request_revert
from remediation.runner import work
from tests.remediation.driving import applied, approved, previewed, verified, work_until_ended
from tests.remediation.incident import START, fee, recalculate, report, totals
from tests.remediation.tampering import tamper

pytestmark = pytest.mark.usefixtures("committed_db")


def started_in_halves(plan: Plan, engineer: User) -> Job:
    """The apply job of a plan of one chunk with four rows, two and two."""
    job = start_apply(plan, acting_user=engineer)
    whole = job.chunks.get()
    JobChunk.objects.filter(pk=whole.pk).update(leaf_count=2)
    JobChunk.objects.create(job=job, position=1, plan_chunk=whole.plan_chunk, first_leaf=2, leaf_count=2)
    return job


def taken_back(plan: Plan, engineer: User, approver: User) -> Plan:
    revert = request_revert(plan.case, acting_user=engineer)
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    applied(approved(revert, approver), engineer)
    return revert


def test_a_half_that_was_never_applied_explains_no_pointer(engineer: User, approver: User) -> None:
    ids = report(4)
    plan = approved(previewed(engineer), approver)
    job = started_in_halves(plan, engineer)
    turns = iter((True, False))
    work(job.pk, worker="test", heed=lambda: next(turns))
    fail_job(job, "A test stopped it.")
    assert totals(ids) == [fee(1000, 2), fee(1001, 2), 1012, 1013]
    (sums,) = verified(plan.case, engineer)["plans"]
    assert (sums["applied"]["rows"], sums["left"]["rows"]) == (2, 2)
    rest = approved(previewed(engineer), approver)
    applied(rest, engineer)
    assert totals(ids) == [fee(1000 + i, 2) for i in range(4)]
    for source in (rest, plan):
        assert taken_back(source, engineer, approver).source_plan_id == source.pk
        assert verified(plan.case, engineer)["problems"] == []
    assert totals(ids) == [1010, 1011, 1012, 1013]


def test_a_half_is_refused_where_rows_and_leaves_were_both_changed(
    engineer: User, approver: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    ids = report(4)
    plan = approved(previewed(engineer), approver)
    job = started_in_halves(plan, engineer)
    tamper(
        owner_connection,
        "UPDATE transactions_calculation SET amounts = '{\"total\": 1}', total = 1 WHERE plan_chunk_id IS NOT NULL",
    )
    tamper(
        owner_connection,
        "UPDATE remediation_planchunkleaves SET leaves = (SELECT string_agg(move.leaf, ''::bytea ORDER BY move.transaction_id)"
        " FROM amends_chunk_moves(plan_chunk_id) AS move)",
    )
    work_until_ended(job)
    assert job.status == Job.Status.FAILED
    assert "are not the approved ones" in job.failure
    assert totals(ids) == [1010, 1011, 1012, 1013]


def test_verifying_a_plan_that_was_applied_in_many_parts_knows_each_parts_bounds(
    engineer: User, approver: User
) -> None:
    ids = report(300)
    recalculate(ids[7], fee_percent=3, at=START - timedelta(days=1))
    plan = approved(previewed(engineer), approver)
    recalculate(ids[200], fee_percent=1, at=START + timedelta(days=1))
    job = start_apply(plan, acting_user=engineer)
    tune_job(job, acting_user=engineer, chunk_rows=7)
    work_until_ended(job)
    done = job.chunks.filter(status="done").order_by("first_leaf")
    assert [bounds for chunk in done for bounds in (chunk.first_transaction, chunk.last_transaction)] == [
        bound for start in range(0, 300, 7) for bound in (ids[start], ids[start : start + 7][-1])
    ]
    (sums,) = verified(plan.case, engineer)["plans"]
    assert (sums["applied"]["rows"], sums["conflicts"]["rows"], sums["left"]["rows"]) == (299, 1, 0)
    assert verified(plan.case, engineer)["problems"] == []


def test_a_chunk_is_planned_for_its_own_range_however_many_were_applied_before_it(
    owner_connection: "psycopg.Connection[Any]",
) -> None:
    """Planned once for all, whole chunks of one plan read the members of every plan that there is."""
    (settings,) = owner_connection.execute(
        "SELECT proconfig FROM pg_proc WHERE proname = 'amends_apply_chunk'"
    ).fetchone() or (None,)
    assert settings is not None
    assert "plan_cache_mode=force_custom_plan" in settings
