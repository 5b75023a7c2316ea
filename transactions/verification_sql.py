"""The questions that a verification asks of transactions, calculations and what was kept of them."""

from audit.verification import SEALED_AFTER

FACTS_OF_TEXTS = """sha256(convert_to(
    '7:facts/1,' || octet_length(source) || ':' || source || ',' || octet_length(reference) || ':' || reference || ','
    || octet_length(store) || ':' || store || ',' || octet_length(currency) || ':' || currency || ','
    || octet_length(scale) || ':' || scale || ',' || octet_length(occurred_at) || ':' || occurred_at || ','
    || octet_length(inputs) || ':' || inputs || ',', 'UTF8'))"""
"""`amends_facts_hash` over texts that are made already, which `_TEXTS` does: the function makes each of them twice."""

_TEXTS = """
    t.source::text, t.reference::text, store.reference::text AS store, t.currency::text, t.scale::text,
    (extract(epoch FROM t.occurred_at) * 1000000)::bigint::text AS occurred_at, t.inputs::text, t.facts_hash AS kept_facts
"""

INGEST_PIECES = f"""
    SELECT piece.id, octet_length(piece.leaves) / 32
    FROM transactions_ingestleaves piece
    WHERE %(since)s = 0 OR EXISTS (
        SELECT FROM audit_auditentry entry
        WHERE entry.subject_type = 'transactions.ingestbatch' AND entry.subject_id = piece.batch_id
          AND entry.event IN ('transactions.imported', 'transactions.covered') AND {SEALED_AFTER})
    ORDER BY piece.batch_id, piece.position
"""

_PIECE_ROWS = f"""
    SELECT id, reference, transaction_id, kept_facts, facts, amounts_text, release_id, calculated_at,
           amends_reported_leaf(id, transaction_id, release_id, calculated_at, facts, amounts_text) AS leaf
    FROM (
        SELECT id, reference, transaction_id, kept_facts, amounts_text, release_id, calculated_at, {FACTS_OF_TEXTS} AS facts
        FROM (
            SELECT c.id, c.transaction_id, c.release_id, c.calculated_at, c.amounts::text AS amounts_text, {_TEXTS}
            FROM transactions_calculation c
            LEFT JOIN transactions_transaction t
              ON t.id = c.transaction_id AND t.id BETWEEN %(lowest)s AND %(highest)s
            LEFT JOIN transactions_store store ON store.id = t.store_id
            WHERE c.batch_id = piece.batch_id AND c.id BETWEEN piece.first_calculation AND piece.last_calculation
            ORDER BY c.id OFFSET 0
        ) AS texts
        OFFSET 0
    ) AS told
"""

PIECE_SPAN = """
    SELECT min(c.transaction_id) AS lowest, max(c.transaction_id) AS highest
    FROM transactions_ingestleaves piece
    JOIN transactions_calculation c ON c.batch_id = piece.batch_id AND c.id BETWEEN piece.first_calculation AND piece.last_calculation
    WHERE piece.id = %(piece)s
"""
"""Between which transactions a piece's are. Asked first: they are then read at once instead of one by one, which saves a seventh."""

INGEST_PIECE = f"""
    SELECT piece.batch_id, piece.position, piece.leaves, piece.root,
           coalesce(rows.leaves = piece.leaves AND rows.facts_hold, false)
    FROM transactions_ingestleaves piece
    CROSS JOIN LATERAL (
        SELECT string_agg(leaf, ''::bytea) AS leaves, bool_and(kept_facts = facts) AS facts_hold FROM ({_PIECE_ROWS}) AS hashed
    ) AS rows
    WHERE piece.id = %(piece)s
"""
"""A piece, and whether its rows hash to its leaves. In the order of the index that they are read by; out of it they would not."""

INGEST_PIECE_ROWS = f"""
    SELECT rows.id, rows.reference, coalesce(leaf, ''),
           coalesce(amends_reported_leaf(rows.id, transaction_id, release_id, calculated_at, kept_facts, amounts_text), ''),
           coalesce(kept_facts = facts, false), transaction_id
    FROM transactions_ingestleaves piece CROSS JOIN LATERAL ({_PIECE_ROWS}) AS rows
    WHERE piece.id = %(piece)s
    ORDER BY rows.id
"""

REPORTED_COUNTS = """
    SELECT coalesce(there.batch_id, covered.batch_id), coalesce(there.rows, 0), covered.leaves
    FROM (
        SELECT batch_id, count(*) AS rows FROM transactions_calculation WHERE batch_id IS NOT NULL GROUP BY batch_id
    ) AS there
    FULL JOIN (
        SELECT batch_id, sum(octet_length(leaves) / 32) AS leaves FROM transactions_ingestleaves GROUP BY batch_id
    ) AS covered ON covered.batch_id = there.batch_id
    WHERE there.rows IS DISTINCT FROM covered.leaves
    ORDER BY 1
"""

OUTSIDE_OF_PIECES = """
    SELECT c.id, t.reference
    FROM transactions_calculation c LEFT JOIN transactions_transaction t ON t.id = c.transaction_id
    WHERE c.batch_id = %(batch)s AND NOT EXISTS (
        SELECT FROM transactions_ingestleaves piece
        WHERE piece.batch_id = c.batch_id AND c.id BETWEEN piece.first_calculation AND piece.last_calculation)
    ORDER BY c.id LIMIT %(most)s
"""

UNKNOWN_RELEASES = """
    SELECT min(c.id), c.release_id
    FROM transactions_calculation c
    WHERE NOT EXISTS (SELECT FROM transactions_release release WHERE release.id = c.release_id)
    GROUP BY c.release_id ORDER BY 1 LIMIT %(most)s
"""

BATCHES = f"""
    WITH named AS (
        SELECT id AS batch_id FROM transactions_ingestbatch WHERE id > %(after)s AND id <= %(through)s
        UNION
        SELECT batch_id FROM transactions_ingestleaves WHERE batch_id > %(after)s AND batch_id <= %(through)s
    ), entries AS (
        SELECT entry.subject_id AS batch_id, bool_or({SEALED_AFTER}) AS is_new, jsonb_agg(jsonb_build_object(
            'id', entry.id, 'root', entry.data -> 'root', 'calculations', entry.data -> 'calculations',
            'superseding', entry.data -> 'superseding_corrections') ORDER BY entry.id) AS entries
        FROM audit_auditentry entry
        WHERE entry.subject_type = 'transactions.ingestbatch' AND entry.event IN ('transactions.imported', 'transactions.covered')
          AND entry.subject_id > %(after)s AND entry.subject_id <= %(through)s
        GROUP BY entry.subject_id
    ), kept AS (
        SELECT batch_id, array_agg(root ORDER BY position) AS roots, array_agg(position ORDER BY position) AS positions,
               sum(octet_length(leaves) / 32)::bigint AS leaves
        FROM transactions_ingestleaves WHERE batch_id > %(after)s AND batch_id <= %(through)s GROUP BY batch_id
    ), superseding AS (
        SELECT newer.batch_id, count(*) AS corrections
        FROM transactions_supersession s JOIN transactions_calculation newer ON newer.id = s.superseded_by_id
        WHERE s.of_correction AND newer.batch_id > %(after)s AND newer.batch_id <= %(through)s
        GROUP BY newer.batch_id
    )
    SELECT coalesce(named.batch_id, entries.batch_id), batch.id IS NOT NULL, coalesce(kept.roots, '{{}}'),
           coalesce(kept.positions, '{{}}'), coalesce(kept.leaves, 0), coalesce(entries.entries, '[]'),
           coalesce(superseding.corrections, 0)
    FROM named FULL JOIN entries ON entries.batch_id = named.batch_id
    LEFT JOIN transactions_ingestbatch batch ON batch.id = coalesce(named.batch_id, entries.batch_id)
    LEFT JOIN kept ON kept.batch_id = coalesce(named.batch_id, entries.batch_id)
    LEFT JOIN superseding ON superseding.batch_id = coalesce(named.batch_id, entries.batch_id)
    WHERE %(since)s = 0 OR entries.is_new IS DISTINCT FROM false
    ORDER BY 1
"""
"""Batches by id, with what is there of each: itself, its pieces, its entries, and how many corrections it superseded."""

SUPERSESSIONS = """
    SELECT s.id, coalesce(t.reference, s.transaction_id::text)
    FROM transactions_supersession s
    LEFT JOIN transactions_transaction t ON t.id = s.transaction_id
    LEFT JOIN transactions_calculation older ON older.id = s.superseded_id
    LEFT JOIN transactions_calculation newer ON newer.id = s.superseded_by_id
    WHERE s.id > %(after)s AND s.id <= %(through)s
      AND NOT coalesce(t.id = older.transaction_id AND t.id = newer.transaction_id AND newer.plan_chunk_id IS NULL
                       AND newer.calculated_at > older.calculated_at AND s.of_correction = (older.plan_chunk_id IS NOT NULL), false)
    ORDER BY s.id
"""
