"""What must hold before a large apply goes on from one stage to the next.

Other apps register gates of their own (`register_gate`): a function of the job and of what it did so far that says in a sentence why it
should not go on, or nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from remediation.models import Job

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SoFar:
    """What an apply did by the end of its current stage: rows in finished chunks, conflicts among them, rows quarantined."""

    rows: int
    conflicts: int
    quarantined: int


Gate = Callable[[Job, SoFar], str | None]

_gates: dict[str, Gate] = {}


class GateAlreadyRegistered(ValueError):
    """Two gates claim one name."""


def register_gate(name: str, gate: Gate) -> None:
    """Ask `gate` after every stage. Raises `GateAlreadyRegistered`."""
    if _gates.setdefault(name, gate) is not gate:
        raise GateAlreadyRegistered(f"There is a gate “{name}” already.")


def failed_gates(job: Job, so_far: SoFar) -> dict[str, str]:
    """Gate's name → why the job should not go on, for those that are not content, or could not be asked."""
    found = {name: _asked(name, gate, job, so_far) for name, gate in _gates.items()}
    return {name: why for name, why in found.items() if why}


def _asked(name: str, gate: Gate, job: Job, so_far: SoFar) -> str | None:
    try:
        with transaction.atomic():
            return gate(job, so_far)
    except OperationalError:
        raise  # The database's own trouble: the next worker asks again.
    except Exception as error:
        # Another app's code. Without an answer the job would be asked for again and again, and nobody would know why it stands still.
        logger.exception("job.gate_broken", job=job.pk, gate=name)
        return f"The gate “{name}” could not be asked ({type(error).__name__}: {error})."


def stage_so_far(job: Job) -> SoFar:
    """Sums over the job's finished chunks."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(sum(leaf_count), 0)::bigint, coalesce(sum((result ->> 'conflicts')::bigint), 0)::bigint,
                   count(*) FILTER (WHERE status = 'quarantined')
            FROM remediation_jobchunk WHERE job_id = %s AND status IN ('done', 'quarantined')
            """,
            [job.pk],
        )
        return SoFar(*cursor.fetchone())


def _conflicts(_: Job, so_far: SoFar) -> str | None:
    allowed = settings.AMENDS_GATE_CONFLICT_PERCENT
    if so_far.conflicts < 2 or so_far.conflicts * 100 <= so_far.rows * allowed:
        return None
    return (
        f"{so_far.conflicts:,} of {so_far.rows:,} rows are conflicts: more than {allowed:g} % changed since the preview. "
        "Look at them, then let the job go on, or cancel it and preview again."
    )


def _failures(_: Job, so_far: SoFar) -> str | None:
    if not so_far.quarantined:
        return None
    return f"{so_far.quarantined:,} of {so_far.rows:,} rows could not be moved and are quarantined. Look at them first."


def _invariants(job: Job, so_far: SoFar) -> str | None:
    """Counted anew from pointers: each row of the stage's chunks stands where the plan puts it, is a conflict, or was moved on since."""
    with connection.cursor() as cursor:
        cursor.execute(_ASTRAY, {"job": job.pk, "stage": job.stage})
        moved, astray = cursor.fetchone()
        cursor.execute(_AUDITED, [job.pk])
        audited = cursor.fetchone()
    if astray:
        return f"{astray:,} of {moved:,} rows do not stand where the job says that it put them. Verify the case before anything else."
    if audited != (so_far.rows - so_far.quarantined,):
        return "The rows that the job finished do not add up to what the trail says. Verify the case before anything else."
    return None


_ASTRAY = """
    SELECT count(*), count(*) FILTER (WHERE
        current.calculation_id IS DISTINCT FROM leaf.calculation_id
        AND NOT EXISTS (SELECT FROM remediation_outcome conflict
                        WHERE conflict.job_id = chunk.job_id AND conflict.transaction_id = leaf.transaction_id)
        AND NOT EXISTS (SELECT FROM transactions_supersession later
                        WHERE later.transaction_id = leaf.transaction_id AND later.superseded_id = leaf.calculation_id)
        AND NOT EXISTS (SELECT FROM transactions_calculation later
                        WHERE later.transaction_id = leaf.transaction_id AND later.id = current.calculation_id
                          AND later.replaces_id = leaf.calculation_id))
    FROM remediation_jobchunk chunk,
        LATERAL amends_chunk_transactions(chunk.plan_chunk_id, chunk.first_leaf, chunk.leaf_count) AS leaf
    LEFT JOIN transactions_currentcalculation current ON current.transaction_id = leaf.transaction_id
    WHERE chunk.job_id = %(job)s AND chunk.stage = %(stage)s AND chunk.status = 'done'
"""

_AUDITED = """
    SELECT coalesce(sum((entry.data ->> 'applied')::bigint + (entry.data ->> 'conflicts')::bigint), 0)::bigint
    FROM remediation_jobchunk chunk
    JOIN audit_auditentry entry ON entry.subject_type = 'remediation.jobchunk' AND entry.subject_id = chunk.id
        AND entry.event = 'chunk.applied'
    WHERE chunk.job_id = %s
"""

register_gate("conflicts", _conflicts)
register_gate("failures", _failures)
register_gate("invariants", _invariants)
