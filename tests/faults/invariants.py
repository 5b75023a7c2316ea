"""The one judge of the campaign: what must hold, read from rows, pointers, the trail and the witness's book alone.

I1 each transaction of a plan was moved, is a conflict or has failed: once. I2 every move is in an audited chunk, whose count it is.
I3 sums agree, per currency. I4 only approved rows are pointed at. I5 nothing commits after an acknowledged pause or cancel (the scenario
looks, from the acknowledgement on). I6 work went on within 90 s. I7 the trail is sealed and verifies, with all that it covers. I8
nobody's later change was overwritten or hidden. I9 a revert restores exactly, or lists why not. I11 what cannot be done is refused, and
says so. Rollups are recounted.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from audit.verification import Verification
from remediation.digest import digest_of, manifest_of
from remediation.models import Approval, Job, Plan
from remediation.money import add_money
from transactions.rollups import recount

MOST_SECONDS = 90.0

_LEAVES = """
    leaf AS MATERIALIZED (
        SELECT move.* FROM remediation_planchunk chunk, LATERAL amends_chunk_moves(chunk.id) AS move
        WHERE chunk.plan_id = %(plan)s
    ), entry AS MATERIALIZED (
        SELECT entry.id, entry.xmin::text::bigint AS xid, (entry.data ->> 'applied')::bigint AS applied
        FROM audit_auditentry entry
        WHERE entry.event = 'chunk.applied' AND (entry.data ->> 'plan')::bigint = %(plan)s
    ), moved AS MATERIALIZED (
        SELECT log.* FROM faults_pointer_log log JOIN entry ON entry.xid = log.xid
    ), fate AS MATERIALIZED (
        SELECT transaction_id FROM moved
        UNION ALL
        SELECT outcome.transaction_id FROM remediation_outcome outcome JOIN remediation_job job ON job.id = outcome.job_id
        WHERE job.plan_id = %(plan)s AND job.kind = 'apply'
    )
"""
"""Of one plan: its leaves as the rows are now, its audited chunks, what those moved, and every transaction's fates."""

_NOT_ONCE = f"""
    WITH {_LEAVES}, counted AS (SELECT transaction_id, count(*) AS fates FROM fate GROUP BY transaction_id)
    SELECT format('transaction %%s has %%s fates', transaction_id, coalesce(fates, 0))
    FROM leaf FULL JOIN counted USING (transaction_id)
    WHERE leaf.calculation_id IS NULL OR counted.fates > 1
       OR (counted.fates IS NULL AND EXISTS (
            SELECT FROM remediation_job WHERE plan_id = %(plan)s AND kind = 'apply' AND status = 'finished'))
"""
_MISCOUNTED = f"""
    WITH {_LEAVES}
    SELECT format('audit entry %%s says %%s moved, and %%s did', entry.id, entry.applied, count(moved.id))
    FROM entry LEFT JOIN moved USING (xid) GROUP BY entry.id, entry.applied HAVING count(moved.id) <> entry.applied
    UNION ALL
    SELECT format('%%s chunks are done, %%s are audited', done, audited) FROM
        (SELECT count(*) AS done FROM remediation_jobchunk chunk JOIN remediation_job job ON job.id = chunk.job_id
         WHERE job.plan_id = %(plan)s AND job.kind = 'apply' AND chunk.status = 'done') AS chunks,
        (SELECT count(*) AS audited FROM entry) AS entries
    WHERE done <> audited
"""
_MONEY = f"""
    WITH {_LEAVES}
    SELECT facts.currency || ':' || facts.scale, sum(standing.total - replaced.total)
    FROM moved
    JOIN transactions_transaction facts ON facts.id = moved.transaction_id
    JOIN transactions_calculation standing ON standing.id = moved.new_id
    JOIN transactions_calculation replaced ON replaced.id = moved.old_id
    GROUP BY 1
"""
_NOT_AS_APPROVED = f"""
    WITH {_LEAVES}
    SELECT format('transaction %%s was moved from %%s to %%s, which nobody approved', moved.transaction_id, old_id, new_id)
    FROM moved WHERE NOT EXISTS (
        SELECT FROM leaf WHERE leaf.transaction_id = moved.transaction_id AND leaf.calculation_id = new_id AND leaf.replaces_id = old_id)
    UNION ALL
    SELECT format('rows of chunk %%s are not the leaves that were approved', chunk.position)
    FROM remediation_planchunk chunk LEFT JOIN remediation_planchunkleaves kept ON kept.plan_chunk_id = chunk.id
    WHERE chunk.plan_id = %(plan)s AND EXISTS (
            SELECT FROM remediation_jobchunk done JOIN remediation_job job ON job.id = done.job_id
            WHERE done.plan_chunk_id = chunk.id AND done.status = 'done' AND job.kind = 'apply')
      AND (sha256(kept.leaves) IS DISTINCT FROM chunk.leaves_digest OR kept.leaves IS DISTINCT FROM (
            SELECT coalesce(string_agg(move.leaf, ''::bytea ORDER BY move.transaction_id), '')
            FROM amends_chunk_moves(chunk.id) AS move))
"""
_SINCE = "log.id > %(since)s"
_UNAUDITED = f"""
    SELECT format('transaction %%s was moved to proposal %%s by nothing that is audited', log.transaction_id, log.new_id)
    FROM faults_pointer_log log LEFT JOIN transactions_calculation c ON c.id = log.new_id
    WHERE {_SINCE} AND NOT EXISTS (
        SELECT FROM audit_auditentry entry WHERE entry.event = 'chunk.applied' AND entry.xmin::text::bigint = log.xid)
      AND (c.plan_chunk_id IS NOT NULL OR NOT EXISTS (
        SELECT FROM transactions_supersession told WHERE told.superseded_by_id = log.new_id AND told.superseded_id = log.old_id))
"""
_BACK_IN_TIME = f"""
    SELECT format('transaction %%s went back from %%s to the older %%s without a plan', log.transaction_id, log.old_id, log.new_id)
    FROM faults_pointer_log log
    JOIN transactions_calculation new ON new.id = log.new_id JOIN transactions_calculation old ON old.id = log.old_id
    WHERE {_SINCE} AND new.plan_chunk_id IS NULL AND new.calculated_at <= old.calculated_at AND NOT EXISTS (
        SELECT FROM audit_auditentry entry WHERE entry.event = 'chunk.applied' AND entry.xmin::text::bigint = log.xid)
"""
_HIDDEN = f"""
    SELECT DISTINCT format('transaction %%s stands on %%s, and its service reported %%s', current.transaction_id, standing.id, newer.id)
    FROM faults_pointer_log log
    JOIN transactions_currentcalculation current USING (transaction_id)
    JOIN transactions_calculation standing ON standing.id = current.calculation_id
    JOIN transactions_calculation newer ON newer.transaction_id = current.transaction_id AND newer.plan_chunk_id IS NULL
        AND newer.calculated_at > standing.calculated_at
    WHERE {_SINCE}
"""
_NOT_WHERE_MOVED = f"""
    SELECT format('transaction %%s stands on %%s, and was last moved to %%s', current.transaction_id, current.calculation_id, last.new_id)
    FROM (SELECT DISTINCT ON (transaction_id) transaction_id, new_id FROM faults_pointer_log log
          WHERE {_SINCE} ORDER BY transaction_id, id DESC) AS last
    JOIN transactions_currentcalculation current USING (transaction_id)
    WHERE current.calculation_id <> last.new_id
"""


def _without_nought(money: dict[str, int]) -> dict[str, int]:
    return {key: amount for key, amount in money.items() if amount}


class Violated(Exception):
    """Invariants that do not hold."""


@dataclass
class Judge:
    """Checks, counts what it checked, and raises `Violated` with all that does not hold."""

    checked: Counter[str] = field(default_factory=Counter)
    _last_move: int = 0

    def plan(self, plan: Plan) -> None:
        """I1 to I4 of one applied plan, whatever became of its job."""
        wrong = [
            *self._ask("I1", _NOT_ONCE, {"plan": plan.pk}),
            *self._ask("I2", _MISCOUNTED, {"plan": plan.pk}),
            *self._sums(plan),
            *self._ask("I4", _NOT_AS_APPROVED, {"plan": plan.pk}),
            *self._approved(plan),
        ]
        self._insist(wrong, f"{plan}")

    def everything(self) -> None:
        """What must hold of all pointers, at any time: I2, I4 and I8 of every move since the last look, and the rollups."""
        since = {"since": self._last_move}
        wrong = [
            *self._ask("I2", _UNAUDITED, since),
            *self._ask("I8", _BACK_IN_TIME, since),
            *self._ask("I8", _HIDDEN, since),
            *self._ask("I2", _NOT_WHERE_MOVED, since),
        ]
        self.checked["rollups"] += 1
        wrong += [f"rollups: {difference}" for difference in recount()]
        with connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(max(id), 0) FROM faults_pointer_log")
            self._last_move = cursor.fetchone()[0]
        self._insist(wrong, "everything")

    def trail(self, verification: Verification) -> None:
        """I7: a verification of the trail, after all that waited was sealed, names nothing."""
        self.checked["I7"] += 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit_sealqueue")
            waiting = cursor.fetchone()[0]
        # What the verification itself wrote waits for the next sealing.
        wrong = [f"I7: {waiting} entries were not sealed"] if waiting > 1 else []
        wrong += [f"I7: {found.kind}: {found.subject} {found.problem}" for found in verification.findings[:5]]
        self._insist(wrong, "the trail")

    def reconciled(self, result: dict[str, Any]) -> None:
        """A verification's result: everything adds up."""
        self.checked["verification"] += 1
        self._insist(result["problems"], "verification")

    def restored(self, before: dict[int, int], now: dict[int, int], conflicts: set[int]) -> None:
        """I9: every pointer is where it was, except where the revert listed a conflict or a failure."""
        self.checked["I9"] += 1
        wrong = [
            f"I9: transaction {known} stands on {now[known]} and not on {was}"
            for known, was in before.items()
            if now[known] != was and known not in conflicts
        ]
        self._insist(wrong, "revert")

    def in_time(self, seconds: float) -> None:
        """I6, of one fault's recovery."""
        self.checked["I6"] += 1
        self._insist(
            [f"I6: work went on after {seconds:.0f} s"] if seconds > MOST_SECONDS else [], "recovery"
        )

    def that(self, invariant: str, holds: bool, otherwise: str) -> None:
        """What only a scenario can know."""
        self.checked[invariant] += 1
        self._insist([] if holds else [f"{invariant}: {otherwise}"], "scenario")

    def _sums(self, plan: Plan) -> list[str]:
        self.checked["I3"] += 1
        with connection.cursor() as cursor:
            cursor.execute(_MONEY, {"plan": plan.pk})
            moved = {key: int(delta) for key, delta in cursor.fetchall()}
            cursor.execute(
                "SELECT (data -> 'money')::text FROM audit_auditentry WHERE event = 'chunk.applied' AND (data ->> 'plan')::bigint = %s",
                [plan.pk],
            )
            audited = add_money(json.loads(money) for (money,) in cursor.fetchall())
        chunks = add_money(
            (result or {}).get("money", {})
            for result in Job.objects.filter(plan=plan, kind="apply").values_list("chunks__result", flat=True)
        )
        same = _without_nought(moved) == _without_nought(audited) == _without_nought(chunks)
        return [] if same else [f"I3: moved {moved}, audited {audited}, chunks {chunks}"]

    def _approved(self, plan: Plan) -> list[str]:
        if not plan.jobs.filter(kind="apply").exists():
            return []
        wrong = []
        manifest = manifest_of(plan, list(plan.chunks.order_by("position")))
        if digest_of(manifest) != bytes(plan.digest or b"") or manifest != plan.manifest:
            wrong.append("I4: the plan is not what its digest says")
        decided = Approval.objects.filter(plan=plan, decision="approve")
        if not any(bytes(approval.digest) == bytes(plan.digest or b"") for approval in decided):
            wrong.append("I4: nobody approved this digest")
        editors = set(
            plan.case.revisions.filter(number__lte=plan.revision.number).values_list("edited_by", flat=True)
        )
        if any(approval.decided_by_id in {*editors, plan.requested_by_id} for approval in decided):
            wrong.append("I4: somebody approved their own work")
        return wrong

    def _ask(self, invariant: str, sql: str, parameters: dict[str, Any]) -> list[str]:
        self.checked[invariant] += 1
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return [f"{invariant}: {row[0]}" for row in cursor.fetchmany(5)]

    def _insist(self, wrong: list[str], of: str) -> None:
        if wrong:
            raise Violated(f"{of}: " + "; ".join(map(str, wrong)))
