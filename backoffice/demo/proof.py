"""What the demo claims, counted once more by SQL of its own, over the rows themselves: it shares nothing with the engine."""

from dataclasses import dataclass

from django.db import connection

from backoffice.demo.generator import SOURCE
from remediation.models import Plan


class DemoDoesNotAddUp(AssertionError):
    """The demo's numbers contradict each other: something in Amends is broken, and its answers cannot be believed."""


@dataclass(frozen=True)
class Sums:
    """Counts and money of an applied plan in one currency, from rows and pointers; money in smallest units."""

    currency: str
    scale: int
    previewed: int
    previewed_delta: int
    applied: int
    applied_delta: int
    conflicts: int
    conflicts_delta: int


def sums_of(plan: Plan) -> list[Sums]:
    """By currency, what `plan` proposed, what stands on its proposals now, and what its job listed as conflicts."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.currency, t.scale,
                   count(*), sum(proposal.total - replaced.total),
                   count(*) FILTER (WHERE current.calculation_id = proposal.id),
                   coalesce(sum(proposal.total - replaced.total) FILTER (WHERE current.calculation_id = proposal.id), 0),
                   count(conflict.id),
                   coalesce(sum(proposal.total - replaced.total) FILTER (WHERE conflict.id IS NOT NULL), 0)
            FROM remediation_planchunk chunk
            JOIN transactions_calculation proposal ON proposal.plan_chunk_id = chunk.id
            JOIN transactions_calculation replaced ON replaced.id = proposal.replaces_id
            JOIN transactions_transaction t ON t.id = proposal.transaction_id
            JOIN transactions_currentcalculation current ON current.transaction_id = t.id
            LEFT JOIN remediation_outcome conflict ON conflict.transaction_id = t.id AND conflict.kind = 'conflict'
                AND conflict.job_id = (SELECT id FROM remediation_job WHERE plan_id = %(plan)s AND kind = 'apply')
            WHERE chunk.plan_id = %(plan)s
            GROUP BY t.currency, t.scale ORDER BY t.currency, t.scale
            """,
            {"plan": plan.pk},
        )
        return [Sums(row[0], row[1], *(int(value) for value in row[2:])) for row in cursor.fetchall()]


def check_applied(plan: Plan) -> list[Sums]:
    """`sums_of` an applied plan. Raises `DemoDoesNotAddUp` unless previewed = applied + conflicts in every currency, to the unit, and the
    digest that people approved said the same.
    """
    sums = sums_of(plan)
    approved = {key: part["delta"] for key, part in (plan.manifest or {}).get("money", {}).items()}
    if approved != {f"{each.currency}:{each.scale}": each.previewed_delta for each in sums}:
        raise DemoDoesNotAddUp(f"{plan}: what was approved is not what its rows add up to.")
    for each in sums:
        if each.previewed != each.applied + each.conflicts:
            raise DemoDoesNotAddUp(
                f"{plan}, {each.currency}: {each.previewed} rows previewed and others moved."
            )
        if each.previewed_delta != each.applied_delta + each.conflicts_delta:
            raise DemoDoesNotAddUp(
                f"{plan}, {each.currency}: the money of what moved is not what was previewed."
            )
    return sums


def check_books(moved: int, deltas: dict[str, int]) -> int:
    """How many of the demo's transactions there are, all looked at: what they stand on against what their services reported.

    Raises `DemoDoesNotAddUp` unless exactly `moved` of them stand elsewhere, and the books of every currency have changed by exactly
    `deltas` ({"USD:2": smallest units}).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.currency || ':' || t.scale, count(*), count(*) FILTER (WHERE standing.id <> reported.id),
                   sum(standing.total) - sum(reported.total)
            FROM transactions_transaction t
            JOIN transactions_calculation reported ON reported.transaction_id = t.id AND reported.plan_chunk_id IS NULL
            JOIN transactions_currentcalculation current ON current.transaction_id = t.id
            JOIN transactions_calculation standing ON standing.id = current.calculation_id
            WHERE t.source = %s
            GROUP BY 1
            """,
            [SOURCE],
        )
        rows = cursor.fetchall()
    changed = {key: int(delta) for key, _, _, delta in rows if delta}
    if sum(row[2] for row in rows) != moved or changed != {
        key: delta for key, delta in deltas.items() if delta
    }:
        raise DemoDoesNotAddUp("The books have changed by something else than what was approved.")
    return sum(row[1] for row in rows)


def standing_where_they_were(plan: Plan) -> tuple[int, int]:
    """How many of a plan's transactions stand on what the plan had replaced, and how many transactions it has."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FILTER (WHERE current.calculation_id = proposal.replaces_id), count(*)
            FROM remediation_planchunk chunk
            JOIN transactions_calculation proposal ON proposal.plan_chunk_id = chunk.id
            JOIN transactions_currentcalculation current ON current.transaction_id = proposal.transaction_id
            WHERE chunk.plan_id = %s
            """,
            [plan.pk],
        )
        there, all_of_them = cursor.fetchone()
    return int(there), int(all_of_them)
