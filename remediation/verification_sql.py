"""The questions that a verification asks of the database."""

APPLIED = """
    EXISTS (
        SELECT FROM remediation_jobchunk done
        WHERE done.plan_chunk_id = {chunk} AND done.status = 'done'
          AND done.last_transaction >= {transaction} AND done.first_transaction <= {transaction}
          AND NOT EXISTS (
              SELECT FROM remediation_outcome outcome
              WHERE outcome.job_id = done.job_id AND outcome.transaction_id = {transaction} AND outcome.kind = 'conflict'))
"""
"""Whether a plan chunk's row was applied: its range was finished, and the row is not among the conflicts."""

MOVES = f"""
    SELECT proposal.id AS to_id, proposal.replaces_id AS from_id
    FROM transactions_calculation proposal
    WHERE proposal.transaction_id = judged.transaction_id AND proposal.batch_id IS NULL
      AND {APPLIED.format(chunk="proposal.plan_chunk_id", transaction="judged.transaction_id")}
    UNION ALL
    SELECT member.calculation_id, member.replaces_id
    FROM remediation_planmember member
    WHERE member.transaction_id = judged.transaction_id
      AND {APPLIED.format(chunk="member.plan_chunk_id", transaction="judged.transaction_id")}
    UNION ALL
    SELECT supersession.superseded_by_id, supersession.superseded_id
    FROM transactions_supersession supersession
    WHERE supersession.transaction_id = judged.transaction_id
"""
"""Every recorded move of a transaction's pointer after its first, of all plans of all cases and of its services."""

FATE = """
    CASE WHEN conflict.id IS NOT NULL THEN 'conflicts' WHEN done.status = 'done' THEN 'applied'
         WHEN done.status = 'quarantined' THEN 'failed' ELSE 'left' END
"""
"""What became of a `move` of the plan chunk `chunk`, whose `leaf_number` counts from 0; needs what `DONE` joins."""

DONE = """
    LEFT JOIN remediation_jobchunk done ON done.plan_chunk_id = %(chunk)s AND done.status IN ('done', 'quarantined')
        AND move.leaf_number >= done.first_leaf AND move.leaf_number < done.first_leaf + done.leaf_count
    LEFT JOIN remediation_outcome conflict ON conflict.job_id = done.job_id
        AND conflict.transaction_id = move.transaction_id AND conflict.kind = 'conflict'
"""

PLAN_CHUNK = f"""
    WITH move AS MATERIALIZED (
        SELECT moves.*, row_number() OVER (ORDER BY moves.transaction_id) - 1 AS leaf_number
        FROM amends_chunk_moves(%(chunk)s) AS moves
    ), judged AS MATERIALIZED (
        SELECT move.transaction_id, move.calculation_id, move.currency || ':' || move.scale AS money_key, move.delta,
               current.calculation_id AS stands_on,
               {FATE} AS fate
        FROM move
        LEFT JOIN transactions_currentcalculation current ON current.transaction_id = move.transaction_id
        {DONE}
    )
    SELECT
        (SELECT coalesce(string_agg(leaf, ''::bytea ORDER BY transaction_id), '') FROM move)
            = (SELECT leaves FROM remediation_planchunkleaves WHERE plan_chunk_id = %(chunk)s)
        AND (SELECT sha256(leaves.leaves) = chunk.leaves_digest FROM remediation_planchunkleaves leaves
             JOIN remediation_planchunk chunk ON chunk.id = leaves.plan_chunk_id WHERE chunk.id = %(chunk)s),
        (SELECT count(*) FROM judged
         WHERE judged.fate = 'applied'
           AND (judged.stands_on IS NOT DISTINCT FROM judged.calculation_id) IS DISTINCT FROM (
               -- Moves to it, less moves away from it: 1 where it stands, 0 where it was left again. An original was pointed at first.
               SELECT sum((recorded.to_id = judged.calculation_id)::int - (recorded.from_id = judged.calculation_id)::int)
                      + (SELECT (origin.plan_chunk_id IS NULL AND NOT EXISTS (
                             SELECT FROM transactions_supersession first
                             WHERE first.transaction_id = judged.transaction_id AND first.superseded_by_id = origin.id))::int
                         FROM transactions_calculation origin WHERE origin.id = judged.calculation_id) = 1
               FROM ({MOVES}) AS recorded)),
        (SELECT coalesce(jsonb_agg(jsonb_build_object(
             'fate', fate, 'money_key', money_key, 'rows', rows, 'delta', delta)), '[]')
         FROM (SELECT fate, money_key, count(*) AS rows, sum(delta) AS delta FROM judged GROUP BY fate, money_key) AS grouped)
"""
"""For one plan chunk: whether its rows hash to the approved leaves, rows that no move explains, and rows and money by fate."""

SCOPE = f"""
    SELECT judged.transaction_id, coalesce(now.amounts::text, 'null'), coalesce(now.total, 0), t.inputs::text, t.scale, t.currency,
           CASE
               WHEN EXISTS (SELECT FROM transactions_supersession later WHERE later.transaction_id = t.id
                            AND later.superseded_by_id = now.id AND later.of_correction) THEN 'superseded'
               WHEN EXISTS (SELECT FROM remediation_outcome outcome
                            JOIN remediation_job job ON job.id = outcome.job_id AND job.case_id = %(case)s
                            WHERE outcome.transaction_id = t.id AND outcome.kind = 'conflict') THEN 'conflict'
               WHEN now.plan_chunk_id IS NULL AND now.id > %(previewed_up_to)s::bigint THEN 'arrived_since'
               ELSE 'differs'
           END,
           now.id IS NOT NULL AND now.transaction_id = t.id
           AND t.facts_hash = amends_facts_hash(
               t.source, t.reference, store.reference, t.currency, t.scale, t.occurred_at, t.inputs)
           AND CASE WHEN now.plan_chunk_id IS NULL THEN NOT EXISTS (
                   SELECT FROM transactions_calculation newer WHERE newer.transaction_id = t.id
                   AND newer.plan_chunk_id IS NULL AND newer.calculated_at > now.calculated_at)
               ELSE {APPLIED.format(chunk="now.plan_chunk_id", transaction="t.id")} END
    FROM (
        SELECT c.transaction_id
        FROM transactions_calculation c
        JOIN transactions_transaction t ON t.id = c.transaction_id
        WHERE c.release_id = %(release)s AND c.id <= %(high_water)s
          AND (c.calculated_at, c.id) > (%(after_at)s, %(after_id)s)
          AND (c.calculated_at, c.id) <= (%(through_at)s, %(through_id)s)
          AND {{condition}}
          AND (c.plan_chunk_id IS NULL OR {APPLIED.format(chunk="c.plan_chunk_id", transaction="c.transaction_id")})
          -- A transaction with several matching calculations is counted at the first of them. OFFSET 0 and "+ 0" keep these two
          -- what they are, a look at one transaction's calculations: as joins, or over the keyset, they would read a release for each row.
          AND NOT EXISTS (
              SELECT FROM transactions_calculation earlier
              WHERE earlier.transaction_id = c.transaction_id AND earlier.plan_chunk_id IS NULL AND earlier.id < c.id
                AND earlier.release_id + 0 = ANY(%(releases)s) AND {{earlier}} OFFSET 0)
          AND NOT EXISTS (
              SELECT FROM transactions_calculation earlier
              WHERE earlier.transaction_id = c.transaction_id AND earlier.batch_id IS NULL AND earlier.id < c.id
                AND earlier.release_id + 0 = ANY(%(releases)s) AND {{earlier}}
                AND {APPLIED.format(chunk="earlier.plan_chunk_id", transaction="earlier.transaction_id")} OFFSET 0)
    ) AS judged
    JOIN transactions_transaction t ON t.id = judged.transaction_id
    LEFT JOIN transactions_store store ON store.id = t.store_id
    LEFT JOIN transactions_currentcalculation current ON current.transaction_id = t.id
    LEFT JOIN transactions_calculation now ON now.id = current.calculation_id
    ORDER BY judged.transaction_id
"""
"""Every transaction in a piece of the scope, each once: what it stands on now, and whether facts and pointer are explained."""

DANGLING = """
    SELECT count(*)
    FROM transactions_calculation c
    WHERE c.release_id = %(release)s AND c.id <= %(high_water)s
      AND (c.calculated_at, c.id) > (%(after_at)s, %(after_id)s)
      AND (c.calculated_at, c.id) <= (%(through_at)s, %(through_id)s)
      AND NOT EXISTS (SELECT FROM transactions_transaction t WHERE t.id = c.transaction_id OFFSET 0)
"""
"""Calculations in a piece of the scope whose transaction is not there: no constraint holds the two together."""
