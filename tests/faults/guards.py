"""Each guard, how it is taken out, and the fault that must then show: what a guard that nobody would miss is worth."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import override_settings

from remediation.apply import start_apply
from remediation.control import pause_job
from remediation.lease import Lease, lease_chunk, recover_expired_leases
from remediation.models import CaseRevision, Job, JobChunk, Plan
from remediation.policy import Policy
from remediation.runner import work
from tests.remediation.driving import approved, previewed
from tests.remediation.incident import START, fee, recalculate, report, totals
from tests.remediation.tampering import tamper


@dataclass(frozen=True)
class People:
    """Who acts in a fault, and the owner's connection."""

    engineer: User
    approver: User
    owner: "psycopg.Connection[Any]"


@dataclass(frozen=True)
class Guard:
    """`take_out` removes it as the owner; `fault` then fails, and passes while the guard is in."""

    name: str
    take_out: Callable[["psycopg.Connection[Any]"], None]
    fault: Callable[[People], None]

    def __str__(self) -> str:
        return self.name


class GuardMoved(AssertionError):
    """The guard's text is not in the function any more: its entry here must follow it."""


def without(function: str, text: str, instead: str = "") -> Callable[["psycopg.Connection[Any]"], None]:
    """Takes `text` out of a database function, wherever it stands just once. Raises `GuardMoved`."""

    def take_out(owner: "psycopg.Connection[Any]") -> None:
        (definition,) = owner.execute("SELECT pg_get_functiondef(%s::regproc)", [function]).fetchone() or (
            "",
        )
        if definition.count(text) != 1:
            raise GuardMoved(f"{function} has {text!r} {definition.count(text)} times.")
        owner.execute(definition.replace(text, instead))

    return take_out


def without_constraint(table: str, name: str) -> Callable[["psycopg.Connection[Any]"], None]:
    """Drops a unique index of the table."""

    def take_out(owner: "psycopg.Connection[Any]") -> None:
        (there,) = owner.execute(
            "SELECT count(*) FROM pg_indexes WHERE tablename = %s AND indexname = %s", (table, name)
        ).fetchone() or (0,)
        if there != 1:
            raise GuardMoved(f"{table} has no index {name}.")
        owner.execute(f"DROP INDEX {name}")

    return take_out


def begun(people: People, rows: int = 3) -> tuple[list[int], Job]:
    ids = report(rows)
    plan = approved(previewed(people.engineer), people.approver)
    return ids, start_apply(plan, acting_user=people.engineer)


def apply_with(lease: Lease) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT amends_apply_chunk(%s, %s, '')", [lease.chunk_id, lease.token])


def leased(job: Job) -> Lease:
    lease = lease_chunk(job.pk, worker="a fault's")
    assert isinstance(lease, Lease)
    return lease


def as_worker(*, autocommit: bool = False) -> "psycopg.Connection[Any]":
    """Another connection as the application."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=autocommit)


def a_stale_worker_comes_back(people: People) -> None:
    ids, job = begun(people)
    stale = leased(job)
    JobChunk.objects.filter(pk=stale.chunk_id).update(lease_until="2026-01-01T00:00:00Z")
    assert recover_expired_leases() == 1
    leased(job)
    with pytest.raises(DatabaseError, match="lease of chunk"):
        apply_with(stale)
    assert totals(ids) == [fee(1000 + i, 1) for i in range(3)]


def a_service_recalculates_after_the_preview(people: People) -> None:
    ids = report(3)
    plan = approved(previewed(people.engineer), people.approver)
    recalculate(ids[1], fee_percent=5, at=START + timedelta(days=1))
    work(start_apply(plan, acting_user=people.engineer).pk, worker="a fault's")
    assert totals(ids) == [fee(1000, 2), fee(1001, 5), fee(1002, 2)]


def a_worker_goes_on_after_a_pause(people: People) -> None:
    ids, job = begun(people)
    lease = leased(job)
    pause_job(job, acting_user=people.engineer)
    with pytest.raises(DatabaseError, match="is paused"):
        apply_with(lease)
    assert totals(ids) == [fee(1000 + i, 1) for i in range(3)]


def a_chunk_is_being_committed_while_a_pause_is_acknowledged(people: People) -> None:
    """The chunk's transaction is held open: the pause may not be acknowledged and the chunk committed after it."""
    ids, job = begun(people)
    lease = leased(job)
    with as_worker() as worker:
        worker.execute("SELECT amends_apply_chunk(%s, %s, '')", [lease.chunk_id, lease.token])
        paused = pause_job(job, acting_user=people.engineer)
        with suppress(psycopg.OperationalError):  # its connection was ended, and it rolled back
            worker.commit()
    assert paused.status == Job.Status.PAUSED
    assert totals(ids) == [fee(1000 + i, 1) for i in range(3)], (
        "It was committed after the acknowledged pause."
    )


def a_proposal_is_tampered_with_after_its_approval(people: People) -> None:
    ids, job = begun(people)
    tamper(
        people.owner,
        "UPDATE transactions_calculation SET amounts = '{\"total\": 1}', total = 1 WHERE plan_chunk_id IS NOT NULL",
    )
    work(job.pk, worker="a fault's")
    assert totals(ids) == [fee(1000 + i, 1) for i in range(3)]


def the_approver_edits_the_case_after_the_start(people: People) -> None:
    ids, job = begun(people)
    latest = CaseRevision.objects.latest("number")
    CaseRevision.objects.create(
        case=latest.case,
        number=latest.number + 1,
        criteria=latest.criteria,
        target_version=latest.target_version,
        edited_by=people.approver,
    )
    work(job.pk, worker="a fault's")
    assert totals(ids) == [fee(1000 + i, 1) for i in range(3)]


def a_plan_is_sealed_with_fewer_approvals_than_its_policy_asks_for(people: People) -> None:
    """As by an application that was broken into, or does not count rightly any more."""
    report(3)
    with (
        override_settings(AMENDS_APPROVAL_POLICY={"approvals": 2, "approvals_for_large": 2}),
        patch.object(Policy, "required_approvals", lambda *_: 1),
        suppress(DatabaseError),
    ):
        previewed(people.engineer)
    plan = Plan.objects.get()
    assert plan.status == Plan.Status.PREVIEWING, f"It needs {plan.required_approvals} approvals."


def a_plan_is_given_a_second_job(people: People) -> None:
    _, job = begun(people)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(case=job.case, plan=job.plan, kind=Job.Kind.APPLY, requested_by=people.engineer)


def a_row_is_proposed_twice_in_a_chunk(people: People) -> None:
    report(2)
    plan = previewed(people.engineer)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO transactions_calculation"
            " (transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id)"
            " SELECT transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id"
            " FROM transactions_calculation WHERE plan_chunk_id = %s LIMIT 1",
            [plan.chunks.get().pk],
        )


def two_plans_of_a_case_are_open(people: People) -> None:
    report(2)
    plan = previewed(people.engineer)
    with pytest.raises(IntegrityError), transaction.atomic():
        Plan.objects.create(
            case=plan.case,
            revision=plan.revision,
            kind=plan.kind,
            reason=plan.reason,
            targets=plan.targets,
            calculator_digest=plan.calculator_digest,
            high_water=plan.high_water,
            policy=plan.policy,
            requested_by=people.engineer,
        )


def an_import_locks_the_same_pointers_at_the_same_time(people: People) -> None:
    """It holds the first pointer and takes the last one then: in one order for all, the chunk waits for it and nobody is given up."""
    ids, job = begun(people)
    lease = leased(job)
    lock = "SELECT FROM transactions_currentcalculation WHERE transaction_id = %s FOR UPDATE"
    with as_worker(autocommit=True) as worker:
        with people.owner.transaction(force_rollback=True):
            people.owner.execute("SET LOCAL lock_timeout = '5s'")
            people.owner.execute(lock, [ids[0]])
            worker.pgconn.send_query(
                f"SELECT amends_apply_chunk({lease.chunk_id}, '{lease.token}', '')".encode()
            )
            _wait_until_locked_out()
            try:
                people.owner.execute(lock, [ids[-1]])
            except psycopg.errors.OperationalError as error:
                raise AssertionError(f"They wait for each other: {error}") from error
        while worker.pgconn.get_result() is not None:
            continue
    assert totals(ids) == [fee(1000 + i, 2) for i in range(3)]


def _wait_until_locked_out() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%amends_apply_chunk(%'"
            )
            if cursor.fetchone() != (0,):
                return
        time.sleep(0.02)
    raise AssertionError("The chunk does not wait for the lock.")


APPLY = "amends_apply_chunk"
GUARDS = (
    Guard("lease token check", without(APPLY, " AND token = lease_token"), a_stale_worker_comes_back),
    Guard(
        "pointer comparison",
        without(APPLY, " AND current.calculation_id = move.replaces_id"),
        a_service_recalculates_after_the_preview,
    ),
    Guard("job's status", without(APPLY, " OR job.status <> 'running'"), a_worker_goes_on_after_a_pause),
    Guard(
        "job's lock",
        without(APPLY, "PERFORM pg_advisory_xact_lock_shared(7101, chunk.job_id::integer);"),
        a_chunk_is_being_committed_while_a_pause_is_acknowledged,
    ),
    Guard(
        "digest check",
        without(APPLY, " OR hashed IS DISTINCT FROM stored"),
        a_proposal_is_tampered_with_after_its_approval,
    ),
    Guard(
        "approval re-check",
        without(APPLY, " OR public.amends_valid_approvals(plan.id) < plan.required_approvals"),
        the_approver_edits_the_case_after_the_start,
    ),
    Guard(
        "approvals that the policy asks for",
        without(
            "amends_guard_plan",
            "(NEW.required_approvals < public.amends_required_approvals(OLD.id, OLD.policy)) IS NOT FALSE",
            "false",
        ),
        a_plan_is_sealed_with_fewer_approvals_than_its_policy_asks_for,
    ),
    Guard(
        "one job of a kind per plan",
        without_constraint("remediation_job", "job_one_of_a_kind_per_plan"),
        a_plan_is_given_a_second_job,
    ),
    Guard(
        "one proposal per transaction and chunk",
        without_constraint("transactions_calculation", "calculation_proposed_once"),
        a_row_is_proposed_twice_in_a_chunk,
    ),
    Guard(
        "one open plan per case",
        without_constraint("remediation_plan", "plan_one_open_per_case"),
        two_plans_of_a_case_are_open,
    ),
    Guard(
        "lock order",
        without(
            APPLY,
            "ORDER BY current.transaction_id FOR UPDATE",
            "ORDER BY current.transaction_id DESC FOR UPDATE",
        ),
        an_import_locks_the_same_pointers_at_the_same_time,
    ),
)
