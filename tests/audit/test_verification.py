"""A verification finds what was changed behind the application's back and names it, and never cries wolf."""

import os
import re
import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from audit.models import AuditEntry
from audit.verification import verify_everything
from remediation.apply import start_apply
from remediation.models import Job, Plan
from remediation.retry import request_retry
from remediation.revert import request_revert
from remediation.runner import work
from tests.remediation.driving import applied, approved, previewed, work_until_ended
from tests.remediation.incident import START, recalculate, report
from tests.remediation.tampering import assert_tampering_is_found, tamper, told
from tests.transactions.test_ingest import NOON, reported, taken_in

Owner = "psycopg.Connection[Any]"
pytestmark = pytest.mark.usefixtures("committed_db")


def sealed(plan: Plan) -> Plan:
    work_until_ended(plan.jobs.get(kind="preview"))
    plan.refresh_from_db()
    return plan


def taken_back(plan: Plan, engineer: User, approver: User) -> Plan:
    revert = sealed(request_revert(plan.case, plan=plan, acting_user=engineer))
    applied(approved(revert, approver), engineer)
    return revert


@pytest.fixture
def corrected(engineer: User, approver: User) -> Plan:
    """Six transactions corrected, the second of them a conflict; one more import beside them."""
    ids = report(6)
    plan = approved(previewed(engineer), approver)
    recalculate(ids[1], fee_percent=5, at=START + timedelta(days=1))
    applied(plan, engineer)
    taken_in(engineer, reported(0), reported(1))
    return plan


def test_nothing_is_found_after_imports_corrections_conflicts_and_everything_taken_back_and_forth(
    engineer: User, approver: User
) -> None:
    ids = report(8)
    plan = approved(previewed(engineer), approver)
    recalculate(ids[1], fee_percent=5, at=START + timedelta(days=1))
    applied(plan, engineer)
    recalculate(ids[2], fee_percent=7, at=timezone.now())  # supersedes the correction
    retry = sealed(request_retry(plan, acting_user=engineer))
    if retry.manifest and retry.manifest["proposed"]:
        applied(approved(retry, approver), engineer)
    revert = taken_back(plan, engineer, approver)
    reapply = taken_back(revert, engineer, approver)
    assert reapply.kind == "reapply"
    later = reported(0, calculated_at=NOON + timedelta(hours=2), amounts={"fee": 1, "total": 1})
    taken_in(engineer, reported(0), reported(1), later)
    taken_in(engineer, reported(0), reported(2))
    report(3, first=20)
    previewed(engineer, reason="A second look.")
    verification = verify_everything()
    assert told(verification) == []
    assert verification.result == "ok"
    assert verification.rows["corrections"] >= 14
    assert verification.rows["calculations that came in"] == 8 + 1 + 1 + 3 + 1 + 3
    entry = AuditEntry.objects.get(event="audit.verified")
    assert (entry.data["result"], entry.data["tampered"], entry.data["findings"]) == ("ok", 0, [])


def test_nothing_is_found_while_a_job_and_imports_are_at_work(engineer: User, approver: User) -> None:
    report(40)
    job = start_apply(approved(previewed(engineer), approver), acting_user=engineer)
    Job.objects.filter(pk=job.pk).update(chunk_rows=1)
    stop = threading.Event()

    def applying() -> None:
        try:
            work(job.pk, worker="beside")
        finally:
            connections.close_all()

    def importing() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                taken_in(engineer, reported(number), reported(number - 1))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=applying), threading.Thread(target=importing)]
    for thread in threads:
        thread.start()
    found: list[str] = []
    rounds = 0
    while threads[0].is_alive() or rounds < 3:
        found += told(verify_everything())
        rounds += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert found == []
    assert told(verify_everything()) == []


TAMPERED: dict[str, tuple[str, str]] = {
    "a reported amount": (
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{fee}', '11')"
        " WHERE id = (SELECT min(id) FROM transactions_calculation)",
        r"\[calculations that came in\] Calculation \d+ of transaction o-0: its amounts, release, time or transaction",
    ),
    "a reported time": (
        "UPDATE transactions_calculation SET calculated_at = calculated_at - interval '1 microsecond'"
        " WHERE id = (SELECT min(id) FROM transactions_calculation)",
        r"\[calculations that came in\] Calculation \d+ of transaction o-0",
    ),
    "a reported calculation's release": (
        "INSERT INTO transactions_release (service, calculator, version) VALUES ('other', 'fee', '9');"
        " UPDATE transactions_calculation SET release_id = (SELECT max(id) FROM transactions_release)"
        " WHERE id = (SELECT min(id) FROM transactions_calculation)",
        r"\[calculations that came in\] Calculation \d+ of transaction o-0",
    ),
    "a transaction's inputs": (
        "UPDATE transactions_transaction SET inputs = '{\"net\": \"9.99\"}' WHERE reference = 'o-3'",
        r"\[calculations that came in\] Transaction o-3 \(calculation \d+\): its facts .* are not those that came in",
    ),
    "a transaction's currency": (
        "UPDATE transactions_transaction SET currency = 'EUR' WHERE reference = 'o-3'",
        r"\[calculations that came in\] Transaction o-3 \(calculation \d+\): its facts",
    ),
    "a store's reference": (
        "UPDATE transactions_store SET reference = 's-2' WHERE reference = 's-1'",
        r"\[calculations that came in\] Transaction o-0 \(calculation \d+\): its facts",
    ),
    "a transaction's hash of facts": (
        "UPDATE transactions_transaction SET facts_hash = sha256('') WHERE reference = 'o-3'",
        r"\[calculations that came in\] Transaction o-3 \(calculation \d+\): its stored hash of the facts was changed",
    ),
    "facts and their hash together": (
        "UPDATE transactions_transaction SET scale = 3,"
        " facts_hash = amends_facts_hash(source, reference, 's-1', currency, 3::smallint, occurred_at, inputs)"
        " WHERE reference = 'o-3'",
        r"\[calculations that came in\] Calculation \d+ of transaction o-3: .*facts together with their hash",
    ),
    "a reported calculation deleted": (
        "DELETE FROM transactions_calculation WHERE id = (SELECT min(id) + 3 FROM transactions_calculation)",
        r"\[calculations that came in\] Ingest batch \d+, piece 0: a calculation after calculation \d+ is gone: leaf 3",
    ),
    "a transaction deleted": (
        "DELETE FROM transactions_transaction WHERE reference = 'o-3'",
        r"\[calculations that came in\] Calculation \d+ of transaction \d+: its transaction, or that one's store, is gone",
    ),
    "a calculation put into a batch": (
        "INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
        " SELECT transaction_id, release_id, '{\"total\": 1}', 1, calculated_at - interval '1 day', batch_id FROM transactions_calculation"
        " WHERE plan_chunk_id IS NULL ORDER BY id LIMIT 1",
        r"\[calculations that came in\] Calculation \d+ of transaction o-0: was put in: no leaf of batch \d+ covers it",
    ),
    "a batch put in": (
        "WITH b AS (INSERT INTO transactions_ingestbatch (source, origin) VALUES ('x', 'y') RETURNING id)"
        " INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)"
        " SELECT transaction_id, release_id, '{\"total\": 1}', 1, calculated_at - interval '1 day', b.id FROM transactions_calculation, b"
        " WHERE plan_chunk_id IS NULL ORDER BY transactions_calculation.id LIMIT 1",
        r"\[ingest batches\] Ingest batch \d+: has 0 leaves, and no entry of the trail carries their root",
    ),
    "leaves of a batch": (
        "UPDATE transactions_ingestleaves SET leaves = substring(leaves FROM 33) WHERE position = 0 AND octet_length(leaves) = 192",
        r"\[calculations that came in\] Ingest batch \d+, piece 0: its leaves do not hash to its root",
    ),
    "a reported amount with leaves and root made anew": (
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{fee}', '11')"
        " WHERE batch_id = (SELECT batch_id FROM transactions_ingestleaves WHERE octet_length(leaves) = 32); "
        "UPDATE transactions_ingestleaves piece SET root = made.leaf, leaves = made.leaf FROM (SELECT amends_reported_leaf("
        "c.id, c.transaction_id, c.release_id, c.calculated_at, t.facts_hash, c.amounts::text) AS leaf, c.batch_id"
        " FROM transactions_calculation c JOIN transactions_transaction t ON t.id = c.transaction_id) AS made"
        " WHERE made.batch_id = piece.batch_id AND octet_length(piece.leaves) = 32",
        r"\[ingest batches\] Ingest batch \d+: its 1 leaves are not those that entry \d+ of the trail covers \(1\)",
    ),
    "leaves of a batch deleted": (
        "DELETE FROM transactions_ingestleaves WHERE octet_length(leaves) = 192",
        r"\[ingest batches\] Ingest batch \d+: its 0 leaves are not those that entry \d+ of the trail covers \(6\)",
    ),
    "a proposed amount": (
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{fee}', '11') WHERE plan_chunk_id IS NOT NULL"
        " AND transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'o-4')",
        r"\[corrections\] Calculation \d+ of transaction o-4: its amounts, .* are not those that were approved",
    ),
    "what a proposal replaces": (
        "UPDATE transactions_calculation SET replaces_id = (SELECT id FROM transactions_calculation ORDER BY id LIMIT 1)"
        " WHERE plan_chunk_id IS NOT NULL AND transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'o-4')",
        r"\[corrections\] Calculation \d+ of transaction o-4: calculation \d+, which it replaces, is of another transaction",
    ),
    "a proposal deleted": (
        "DELETE FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL"
        " AND transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'o-4')",
        r"\[corrections\] Plan \d+, chunk 0: a row after transaction o-3 is gone: leaf 4",
    ),
    "a proposal put in": (
        "INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, plan_chunk_id, replaces_id)"
        " SELECT other.transaction_id, one.release_id, one.amounts, one.total, one.calculated_at, one.plan_chunk_id, other.calculation_id"
        " FROM (SELECT * FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL ORDER BY id LIMIT 1) AS one,"
        " transactions_currentcalculation other"
        " WHERE other.transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'ticket-1')",
        r"\[corrections\] Calculation \d+ of transaction ticket-1: was put into plan \d+, chunk 0: no leaf covers it",
    ),
    "two proposals' amounts exchanged": (
        "UPDATE transactions_calculation one SET amounts = other.amounts, total = other.total FROM transactions_calculation other"
        " WHERE one.plan_chunk_id = other.plan_chunk_id AND one.id <> other.id AND 2 = (SELECT count(*) FROM transactions_transaction"
        " WHERE id IN (one.transaction_id, other.transaction_id) AND reference IN ('o-3', 'o-4'))",
        r"\[corrections\] Calculation \d+ of transaction o-3: its amounts, .* are not those that were approved",
    ),
    "a proposed amount, with its chunk's leaves hashed anew": (
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{fee}', '11') WHERE plan_chunk_id IS NOT NULL"
        " AND transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'o-4');"
        " UPDATE remediation_planchunkleaves kept SET leaves ="
        " (SELECT string_agg(leaf, ''::bytea ORDER BY transaction_id) FROM amends_chunk_moves(kept.plan_chunk_id));"
        " UPDATE remediation_planchunk SET leaves_digest ="
        " (SELECT sha256(leaves) FROM remediation_planchunkleaves kept WHERE kept.plan_chunk_id = remediation_planchunk.id)",
        r"\[corrections\] Plan \d+, chunk 0: its leaves are not those of its root",
    ),
    "a plan's leaves": (
        "UPDATE remediation_planchunkleaves SET leaves = overlay(leaves PLACING '\\x00' FROM 1)",
        r"\[corrections\] Plan \d+, chunk 0: its leaves are not those of its root",
    ),
    "a plan chunk's root": (
        "UPDATE remediation_planchunk SET root = sha256('')",
        r"\[plans and approvals\] Plan \d+ \(apply\): itself, its case or its chunks are not what its manifest says \(chunks, root\)",
    ),
    "a plan's manifest": (
        "UPDATE remediation_plan SET manifest = jsonb_set(manifest, '{reason}', '\"x\"')",
        r"\[plans and approvals\] Plan \d+ \(apply\): its digest is not that of its manifest",
    ),
    "a plan's manifest and digest": (
        "UPDATE remediation_plan SET manifest = jsonb_set(manifest, '{reason}', '\"x\"'), reason = 'x',"
        " digest = sha256(convert_to(jsonb_set(manifest, '{reason}', '\"x\"')::text, 'UTF8'))",
        r"\[plans and approvals\] Plan \d+ \(apply\): its digest is not the one in entry \d+ \(plan.sealed\)",
    ),
    "an approval deleted": (
        "DELETE FROM remediation_approval",
        r"\[plans and approvals\] Plan \d+ \(apply\): its approvals are not those that the trail tells of",
    ),
    "an approval by another": (
        "UPDATE remediation_approval SET decided_by_id = (SELECT requested_by_id FROM remediation_plan LIMIT 1)",
        r"\[plans and approvals\] Plan \d+ \(apply\): was applied with 0 approvals by others and needed 1",
    ),
    "a case's reason": (
        "UPDATE remediation_case SET reason = 'Another one.'",
        r"\[plans and approvals\] Case \d+: its reason, ticket, opener, first criteria or target are not those of entry",
    ),
    "a finished chunk's result": (
        "UPDATE remediation_jobchunk SET result = jsonb_set(result, '{applied}', '6') WHERE result ? 'applied'",
        r"\[applied chunks\] Job \d+, chunk \d+: its result is not what entry \d+ of the trail says",
    ),
    "a finished chunk made unfinished": (
        "UPDATE remediation_jobchunk SET status = 'waiting' WHERE result ? 'applied'",
        r"\[applied chunks\] Job \d+, chunk \d+: is waiting, and entry \d+ of the trail says it was applied",
    ),
    "a finished chunk deleted": (
        "DELETE FROM remediation_jobchunk WHERE result ? 'applied'",
        r"\[applied chunks\] Job chunk \d+: is gone; entry \d+ of the trail tells of it",
    ),
    "a conflict deleted": (
        "DELETE FROM remediation_outcome WHERE kind = 'conflict'",
        r"\[pointers\] Transaction o-1: stands on calculation \d+, and no import, finished chunk or supersession put it there",
    ),
    "a conflict swapped for another": (
        "UPDATE remediation_outcome SET transaction_id = transaction_id + 1 WHERE kind = 'conflict'",
        r"\[applied chunks\] Job \d+, chunk \d+: which transactions were its conflicts is not what entry \d+ of the trail says",
    ),
    "a pointer moved back": (
        "UPDATE transactions_currentcalculation current SET calculation_id = c.replaces_id FROM transactions_calculation c"
        " WHERE c.id = current.calculation_id"
        " AND current.transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'o-2')",
        r"\[pointers\] Transaction o-2: stands on calculation \d+, and no import",
    ),
    "a pointer moved to another's calculation": (
        "UPDATE transactions_currentcalculation SET calculation_id = (SELECT min(id) FROM transactions_calculation)"
        " WHERE transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'ticket-1')",
        r"\[pointers\] Transaction ticket-1: stands on calculation \d+, and no import",
    ),
    "a pointer deleted": (
        "DELETE FROM transactions_currentcalculation"
        " WHERE transaction_id = (SELECT id FROM transactions_transaction WHERE reference = 'ticket-1')",
        r"\[pointers\] Transaction ticket-1: stands on no calculation: its pointer is gone",
    ),
    "a supersession deleted": (
        "DELETE FROM transactions_supersession",
        r"\[pointers\] Transaction o-1: stands on calculation \d+, and no import",
    ),
    "a supersession turned round": (
        "UPDATE transactions_supersession SET superseded_id = superseded_by_id, superseded_by_id = superseded_id",
        r"\[supersessions\] Supersession \d+ of transaction o-1: is none that an import makes",
    ),
    "a transaction put in": (
        "INSERT INTO transactions_transaction (source, reference, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id)"
        " SELECT source, 'forged', store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id"
        " FROM transactions_transaction LIMIT 1",
        r"\[pointers\] Transaction forged: stands on no calculation",
    ),
}


MOVED = (
    "a row moved to another chunk",
    r"\[corrections\] Plan \d+, chunk 0: a row after transaction o-1 is gone: leaf 2 has no row any more",
)
"""Two chunks are needed for it."""


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_tampered_with_is_found_and_named(
    kind: str, corrected: Plan, owner_connection: "psycopg.Connection[Any]"
) -> None:
    assert_tampering_is_found(owner_connection, *TAMPERED[kind])


def test_a_row_that_was_moved_to_another_chunk_is_missed_in_the_one_and_found_in_the_other(
    engineer: User, approver: User, owner_connection: "psycopg.Connection[Any]", settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 3
    report(6)
    plan = previewed(engineer)
    first, second = plan.chunks.order_by("position")
    applied(approved(plan, approver), engineer)
    assert told(verify_everything()) == []
    tamper(
        owner_connection,
        f"UPDATE transactions_calculation SET plan_chunk_id = {second.pk}"
        f" WHERE id = (SELECT max(id) FROM transactions_calculation WHERE plan_chunk_id = {first.pk})",
    )
    found = "\n".join(told(verify_everything()))
    assert re.search(MOVED[1], found)
    assert re.search(rf"of transaction o-2: was put into plan {plan.pk}, chunk 1: no leaf covers it", found)


def test_a_database_that_goes_away_leaves_the_verification_incomplete(corrected: Plan) -> None:
    ended: list[bool] = []

    def end_its_connections(check: str, rows: int) -> None:
        if not ended:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as another:
                ended.extend(
                    gone
                    for (gone,) in another.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
                    )
                )

    verification = verify_everything(progress=end_its_connections)
    assert ended[0]
    assert verification.result == "incomplete"
    assert "was interrupted" in told(verification)[-1]
    assert AuditEntry.objects.get(event="audit.verified").data["result"] == "incomplete"
