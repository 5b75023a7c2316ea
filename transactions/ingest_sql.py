"""The statements that land what was staged. Each is one pass over the staged rows, whatever their number.

Rows are inserted in the order of their keys, so that two landings of overlapping rows wait for each other instead of deadlocking.
"""

CREATE_STAGING = """
    DROP TABLE IF EXISTS pg_temp.staged, pg_temp.resolved, pg_temp.landed;
    CREATE TEMPORARY TABLE staged (
        position bigint, scale smallint, occurred_at timestamptz, calculated_at timestamptz, amounts jsonb, total bigint,
        facts_hash bytea, reference text, store text, store_name text, store_country text, currency text, inputs jsonb, service text,
        calculator text, version text, personal text, record text
    ) ON COMMIT PRESERVE ROWS;
    CREATE TEMPORARY TABLE resolved (
        position bigint, transaction_id bigint, release_id bigint, calculated_at timestamptz, amounts jsonb, total bigint,
        personal jsonb, same_facts boolean, is_new boolean
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE landed (id bigint, transaction_id bigint, leaf bytea) ON COMMIT DELETE ROWS;
    ALTER TABLE pg_temp.landed ALTER COLUMN leaf SET STATISTICS 0;
    CREATE INDEX ON pg_temp.landed (transaction_id, id);
"""

ANALYZE_STAGED = "ANALYZE pg_temp.staged (position, reference, store, store_name, store_country, service, calculator, version)"
ANALYZE_RESOLVED = (
    "ANALYZE pg_temp.resolved (position, transaction_id, release_id, calculated_at, same_facts)"
)
"""Only what is sorted and joined by."""

ROOM_TO_SORT = "SET LOCAL work_mem = '64MB'"

INSERT_STORES = """
    INSERT INTO transactions_store (reference, name, country)
    SELECT DISTINCT ON (store) store, store_name, store_country
    FROM (
        SELECT store, store_name, store_country, min(position) AS position
        FROM pg_temp.staged GROUP BY store, store_name, store_country
    ) AS mentioned
    ORDER BY store, position
    ON CONFLICT (reference) DO NOTHING
"""

INSERT_RELEASES = """
    INSERT INTO transactions_release (service, calculator, version)
    SELECT DISTINCT service, calculator, version FROM pg_temp.staged ORDER BY calculator, service, version
    ON CONFLICT (calculator, service, version) DO NOTHING
"""

INSERT_TRANSACTIONS = """
    INSERT INTO transactions_transaction
        (source, reference, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id)
    SELECT %(source)s, first.reference, store.id, first.currency, first.scale, first.occurred_at, first.inputs,
           first.facts_hash, %(batch)s
    FROM (SELECT DISTINCT ON (reference) * FROM pg_temp.staged ORDER BY reference, position) AS first
    JOIN transactions_store store ON store.reference = first.store
    ORDER BY first.reference
    ON CONFLICT (source, reference) DO NOTHING
"""

RESOLVE = """
    INSERT INTO pg_temp.resolved
    SELECT staged.position, t.id, release.id, staged.calculated_at, staged.amounts, staged.total, nullif(staged.personal, '')::jsonb,
           t.facts_hash = staged.facts_hash, t.batch_id = %(batch)s
    FROM pg_temp.staged
    JOIN transactions_transaction t ON t.source = %(source)s AND t.reference = staged.reference
    JOIN transactions_release release
      ON release.calculator = staged.calculator AND release.service = staged.service AND release.version = staged.version
"""

INSERT_CALCULATIONS = """
    WITH inserted AS (
        INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)
        SELECT DISTINCT ON (transaction_id, release_id, calculated_at)
               transaction_id, release_id, amounts, total, calculated_at, %(batch)s
        FROM pg_temp.resolved WHERE same_facts
        ORDER BY transaction_id, release_id, calculated_at, position
        ON CONFLICT (transaction_id, release_id, calculated_at) WHERE plan_chunk_id IS NULL DO NOTHING
        RETURNING id, transaction_id, release_id, calculated_at, amounts
    )
    INSERT INTO pg_temp.landed
    SELECT id, transaction_id,
           amends_reported_leaf(id, transaction_id, release_id, calculated_at, facts_hash, amounts_text)
    FROM (
        SELECT inserted.id, transaction_id, release_id, calculated_at, t.facts_hash, amounts::text AS amounts_text
        FROM inserted JOIN transactions_transaction t ON t.id = transaction_id
        OFFSET 0
    ) AS told
"""
"""What landed is hashed as it stands in the table, in the statement that put it there."""

INSERT_PERSONAL = """
    INSERT INTO transactions_personaldata (transaction_id, data)
    SELECT DISTINCT ON (transaction_id) transaction_id, personal
    FROM pg_temp.resolved WHERE is_new AND same_facts AND personal IS NOT NULL
    ORDER BY transaction_id, position
    ON CONFLICT (transaction_id) DO NOTHING
"""
"""Only with a transaction that is new: what was erased does not come back with the file that it came from."""

_JUDGED = """
    SELECT resolved.position, resolved.is_new, resolved.same_facts, known.amounts = resolved.amounts AS same_amounts,
           landed.id IS NOT NULL AS landed, known.amounts AS known_amounts,
           row_number() OVER (PARTITION BY known.id ORDER BY resolved.position) AS mention,
           dense_rank() OVER (PARTITION BY resolved.transaction_id ORDER BY known.calculated_at, known.release_id) AS calculation_number
    FROM pg_temp.resolved
    LEFT JOIN transactions_calculation known
      ON known.transaction_id = resolved.transaction_id AND known.release_id = resolved.release_id
     AND known.calculated_at = resolved.calculated_at AND known.plan_chunk_id IS NULL AND resolved.same_facts
    LEFT JOIN pg_temp.landed ON landed.id = known.id
"""

CLASSIFY = f"""
    SELECT count(*) FILTER (WHERE same_facts AND same_amounts AND landed AND mention = 1),
           count(*) FILTER (WHERE same_facts AND same_amounts AND NOT (landed AND mention = 1)),
           count(*) FILTER (WHERE same_facts AND same_amounts AND landed AND mention = 1
                              AND (NOT is_new OR calculation_number > 1)),
           count(*) FILTER (WHERE NOT same_facts OR NOT same_amounts)
    FROM ({_JUDGED}) AS judged
"""
"""Imported, unchanged, how many of the imported are further calculations of a known transaction, and rejected."""

REJECTIONS = f"""
    SELECT judged.position, CASE WHEN same_facts THEN 'amounts' ELSE 'reference' END,
           CASE WHEN same_facts THEN
                'Another result of this release at this time is known: ' || known_amounts::text
                || '. A result is never overwritten; report it with its own time.'
           ELSE 'This reference is known with other facts (store, currency, scale, time or inputs). '
                || 'Facts are never overwritten; give another reference, or mend the row.' END,
           staged.record
    FROM ({_JUDGED}) AS judged
    JOIN pg_temp.staged ON staged.position = judged.position
    WHERE NOT same_facts OR NOT same_amounts
    ORDER BY judged.position
"""

NEXT_SLICE = """
    SELECT array_agg(id), max(transaction_id), (array_agg(id ORDER BY transaction_id DESC, id DESC))[1]
    FROM (
        SELECT id, transaction_id FROM pg_temp.landed WHERE (transaction_id, id) > (%(transaction)s, %(id)s)
        ORDER BY transaction_id, id LIMIT %(limit)s
    ) AS slice
"""
