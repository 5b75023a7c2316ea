"""The questions that a verification of the trail asks of plans, jobs and pointers."""

from audit.verification import SEALED_AFTER

PLAN_CHUNKS = f"""
    SELECT chunk.id, chunk.proposed
    FROM remediation_planchunk chunk
    WHERE chunk.scanned_at IS NOT NULL AND (%(since)s = 0 OR EXISTS (
        SELECT FROM audit_auditentry entry
        WHERE entry.subject_type = 'remediation.planchunk' AND entry.subject_id = chunk.id
          AND entry.event = 'chunk.scanned' AND {SEALED_AFTER}
    ) OR EXISTS (
        SELECT FROM remediation_jobchunk done JOIN audit_auditentry entry
          ON entry.subject_type = 'remediation.jobchunk' AND entry.subject_id = done.id
        WHERE done.plan_chunk_id = chunk.id AND entry.event = 'chunk.applied' AND {SEALED_AFTER}))
    ORDER BY chunk.id
"""

PLAN_CHUNK = """
    WITH move AS MATERIALIZED (
        SELECT moves.transaction_id, moves.currency || ':' || moves.scale AS money_key, moves.delta, moves.leaf
        FROM amends_chunk_moves(%(chunk)s::bigint) AS moves ORDER BY moves.transaction_id
    ), range AS (
        SELECT done.id, count(*) AS rows, count(conflict.id) AS conflicts, min(move.transaction_id) AS lowest,
               max(move.transaction_id) AS highest, move.money_key, sum(move.delta) FILTER (WHERE conflict.id IS NULL) AS delta
        FROM remediation_jobchunk done
        JOIN move ON move.transaction_id BETWEEN done.first_transaction AND done.last_transaction
        LEFT JOIN remediation_outcome conflict ON conflict.job_id = done.job_id AND conflict.kind = 'conflict'
              AND conflict.transaction_id = move.transaction_id
        WHERE done.plan_chunk_id = %(chunk)s AND done.status = 'done'
        GROUP BY done.id, move.money_key
    )
    SELECT chunk.plan_id, chunk.position, chunk.proposed, chunk.root, chunk.leaves_digest, leaves.leaves,
           coalesce((SELECT string_agg(leaf, ''::bytea) FROM move), '') = leaves.leaves,
           (SELECT coalesce(jsonb_agg(to_jsonb(range)), '[]') FROM range),
           (SELECT coalesce(jsonb_agg(jsonb_build_object('id', entry.id, 'data', entry.data)), '[]') FROM audit_auditentry entry
            WHERE entry.subject_type = 'remediation.planchunk' AND entry.subject_id = chunk.id AND entry.event = 'chunk.scanned')
    FROM remediation_planchunk chunk LEFT JOIN remediation_planchunkleaves leaves ON leaves.plan_chunk_id = chunk.id
    WHERE chunk.id = %(chunk)s
"""
"""A plan's chunk with its leaves, whether its rows hash to them, and what was moved of it by the rows: money by job chunk and currency."""

PLAN_CHUNK_ROWS = """
    SELECT moves.transaction_id, t.reference, moves.calculation_id, moves.replaces_id, moves.leaf
    FROM amends_chunk_moves(%(chunk)s::bigint) AS moves
    LEFT JOIN transactions_transaction t ON t.id = moves.transaction_id
    ORDER BY moves.transaction_id
"""

UNMOVABLE = """
    SELECT coalesce(t.reference, proposal.transaction_id::text), proposal.id,
           CASE WHEN t.id IS NULL THEN 'its transaction ' || proposal.transaction_id
                WHEN replaced.id IS NULL THEN 'calculation ' || proposal.replaces_id || ', which it replaces,'
                ELSE 'calculation ' || replaced.id || ', which it replaces, is of another transaction: that' END
    FROM (
        SELECT transaction_id, id, replaces_id FROM transactions_calculation WHERE plan_chunk_id = %(chunk)s
        UNION ALL
        SELECT transaction_id, calculation_id, replaces_id FROM remediation_planmember WHERE plan_chunk_id = %(chunk)s
    ) AS proposal
    LEFT JOIN transactions_transaction t ON t.id = proposal.transaction_id
    LEFT JOIN transactions_calculation replaced ON replaced.id = proposal.replaces_id
    WHERE t.id IS NULL OR replaced.id IS NULL OR replaced.transaction_id <> proposal.transaction_id
    ORDER BY proposal.transaction_id LIMIT %(most)s
"""

JOB_CHUNKS = f"""
    SELECT done.id, done.position, done.job_id, done.status, job.plan_id, done.plan_chunk_id, done.first_leaf, done.leaf_count, done.result,
           done.first_transaction, done.last_transaction, encode(chunk.root, 'hex'), conflict.number, conflict.digest,
           coalesce(told.entries, '[]')
    FROM remediation_jobchunk done
    JOIN remediation_job job ON job.id = done.job_id AND job.kind = 'apply'
    LEFT JOIN remediation_planchunk chunk ON chunk.id = done.plan_chunk_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS number,
               coalesce(encode(sha256(string_agg(int8send(outcome.transaction_id), ''::bytea ORDER BY outcome.transaction_id)), 'hex'), '')
                   AS digest
        FROM remediation_outcome outcome
        WHERE outcome.plan_chunk_id = done.plan_chunk_id AND outcome.job_id = done.job_id AND outcome.kind = 'conflict'
          AND outcome.transaction_id BETWEEN done.first_transaction AND done.last_transaction
    ) AS conflict
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('id', entry.id, 'event', entry.event, 'data', entry.data) ORDER BY entry.id) AS entries,
               bool_or({SEALED_AFTER}) AS is_new
        FROM audit_auditentry entry
        WHERE entry.subject_type = 'remediation.jobchunk' AND entry.subject_id = done.id
          AND entry.event IN ('chunk.applied', 'chunk.quarantined')
    ) AS told ON true
    WHERE done.id > %(after)s AND done.id <= %(through)s AND (%(since)s = 0 OR told.is_new IS DISTINCT FROM false)
    ORDER BY done.id
"""
"""Chunks of apply jobs with what the trail tells of each, and the conflicts that are on record for it."""

CHUNKS_GONE = """
    SELECT entry.id, entry.subject_id
    FROM audit_auditentry entry
    WHERE entry.event IN ('chunk.applied', 'chunk.quarantined') AND NOT EXISTS (
        SELECT FROM remediation_jobchunk chunk WHERE chunk.id = entry.subject_id)
    ORDER BY entry.id LIMIT %(most)s
"""
SCANS_GONE = """
    SELECT entry.id, entry.subject_id
    FROM audit_auditentry entry
    WHERE entry.event = 'chunk.scanned' AND NOT EXISTS (
        SELECT FROM remediation_planchunk chunk WHERE chunk.id = entry.subject_id AND chunk.scanned_at IS NOT NULL)
    ORDER BY entry.id LIMIT %(most)s
"""
STRAY_CONFLICTS = """
    SELECT outcome.id, coalesce(t.reference, outcome.transaction_id::text), outcome.job_id
    FROM remediation_outcome outcome
    LEFT JOIN transactions_transaction t ON t.id = outcome.transaction_id
    WHERE outcome.kind = 'conflict' AND NOT EXISTS (
        SELECT FROM remediation_jobchunk done
        WHERE done.plan_chunk_id = outcome.plan_chunk_id AND done.status = 'done' AND done.job_id = outcome.job_id
          AND outcome.transaction_id BETWEEN done.first_transaction AND done.last_transaction)
    ORDER BY outcome.id LIMIT %(most)s
"""
"""Conflicts that are on record where no finished chunk of their job was."""
STRAY_PROPOSALS = """
    SELECT named.plan_chunk_id, named.rows
    FROM (
        SELECT plan_chunk_id, count(*) AS rows FROM transactions_calculation WHERE plan_chunk_id IS NOT NULL GROUP BY plan_chunk_id
        UNION ALL
        SELECT plan_chunk_id, count(*) FROM remediation_planmember GROUP BY plan_chunk_id
    ) AS named
    WHERE NOT EXISTS (
        SELECT FROM remediation_planchunk chunk WHERE chunk.id = named.plan_chunk_id AND chunk.scanned_at IS NOT NULL)
    ORDER BY 1 LIMIT %(most)s
"""
"""Proposals of chunks that are not there, or were never scanned."""

_APPLIED = """
    JOIN remediation_jobchunk done ON done.plan_chunk_id = {row}.plan_chunk_id AND done.status = 'done'
     AND {row}.transaction_id BETWEEN done.first_transaction AND done.last_transaction
    WHERE {row}.transaction_id > %(after)s AND {row}.transaction_id <= %(through)s
      AND NOT EXISTS (
          SELECT FROM remediation_outcome outcome
          WHERE outcome.job_id = done.job_id AND outcome.transaction_id = {row}.transaction_id AND outcome.kind = 'conflict')
"""

POINTERS = f"""
    WITH moved AS MATERIALIZED (
        SELECT proposal.transaction_id, proposal.id AS to_id, proposal.replaces_id AS from_id
        FROM transactions_calculation proposal {_APPLIED.format(row="proposal")} AND proposal.batch_id IS NULL
        UNION ALL
        SELECT member.transaction_id, member.calculation_id, member.replaces_id
        FROM remediation_planmember member {_APPLIED.format(row="member")}
        UNION ALL
        SELECT transaction_id, superseded_by_id, superseded_id
        FROM transactions_supersession WHERE transaction_id > %(after)s AND transaction_id <= %(through)s
    ), reported AS MATERIALIZED (
        SELECT id, transaction_id, batch_id, calculated_at FROM transactions_calculation
        WHERE plan_chunk_id IS NULL AND transaction_id > %(after)s AND transaction_id <= %(through)s
    ), known AS MATERIALIZED (
        SELECT id, batch_id, reference FROM transactions_transaction WHERE id > %(after)s AND id <= %(through)s
    ), standing AS MATERIALIZED (
        SELECT transaction_id, calculation_id FROM transactions_currentcalculation
        WHERE transaction_id > %(after)s AND transaction_id <= %(through)s
    ), origin AS (
        -- Where it stands now, less every move that led there: what is left is where it was pointed at first.
        SELECT transaction_id, calculation_id, sum(times) AS times
        FROM (
            SELECT transaction_id, calculation_id, 1 AS times FROM standing
            UNION ALL SELECT transaction_id, to_id, -1 FROM moved
            UNION ALL SELECT transaction_id, from_id, 1 FROM moved
        ) AS counted
        GROUP BY transaction_id, calculation_id HAVING sum(times) <> 0
    ), newest AS (
        -- Hardly ever any: where there are no more reports than transactions, each has the one that it began with, or is found above.
        SELECT transaction_id, max(calculated_at) AS calculated_at FROM reported
        WHERE (SELECT count(*) FROM reported) > (SELECT count(*) FROM known)
        GROUP BY transaction_id HAVING count(*) > 1
    ), unexplained AS (
        SELECT coalesce(known.id, origin.transaction_id) AS transaction_id,
               CASE WHEN known.id IS NULL THEN 'gone' WHEN origin.transaction_id IS NULL THEN 'unpointed' ELSE 'moved' END AS what
        FROM known
        FULL JOIN origin ON origin.transaction_id = known.id
        LEFT JOIN reported ON reported.id = origin.calculation_id AND reported.transaction_id = known.id
        WHERE NOT coalesce(origin.times = 1 AND reported.batch_id = known.batch_id, false)
        UNION
        SELECT newest.transaction_id, 'held back'
        FROM newest
        JOIN standing ON standing.transaction_id = newest.transaction_id
        JOIN reported ON reported.id = standing.calculation_id AND reported.calculated_at < newest.calculated_at
    )
    SELECT unexplained.transaction_id, known.reference, standing.calculation_id, min(what)
    FROM unexplained
    LEFT JOIN known ON known.id = unexplained.transaction_id
    LEFT JOIN standing ON standing.transaction_id = unexplained.transaction_id
    GROUP BY unexplained.transaction_id, known.reference, standing.calculation_id ORDER BY 1
"""
"""Transactions whose pointer no record explains, among some: "gone", "unpointed", "moved", or "held back" from a newer report."""

ALL_TRANSACTIONS = """
    SELECT least((SELECT min(id) FROM transactions_transaction), (SELECT min(transaction_id) FROM transactions_currentcalculation)),
           greatest((SELECT max(id) FROM transactions_transaction), (SELECT max(transaction_id) FROM transactions_currentcalculation))
"""
TOUCHED = f"""
    SELECT min(c.transaction_id), max(c.transaction_id)
    FROM transactions_ingestleaves piece
    JOIN transactions_calculation c
      ON c.id BETWEEN piece.first_calculation AND piece.last_calculation AND c.batch_id = piece.batch_id
    JOIN audit_auditentry entry ON entry.subject_type = 'transactions.ingestbatch' AND entry.subject_id = piece.batch_id
     AND entry.event IN ('transactions.imported', 'transactions.covered') AND {SEALED_AFTER}
    GROUP BY piece.id
    UNION ALL
    SELECT done.first_transaction, done.last_transaction
    FROM remediation_jobchunk done
    JOIN audit_auditentry entry ON entry.subject_type = 'remediation.jobchunk' AND entry.subject_id = done.id
     AND entry.event = 'chunk.applied' AND {SEALED_AFTER}
    WHERE done.first_transaction IS NOT NULL
    ORDER BY 1
"""
"""Spans of transactions whose pointers can have moved since."""
