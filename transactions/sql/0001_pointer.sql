-- The pointer table is the one hot update: room on every page keeps the moves HOT.
ALTER TABLE transactions_currentcalculation SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- A netstring, so that fields of any content can be hashed one after the other without being mistaken for each other.
CREATE FUNCTION amends_netstring(field text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN octet_length(field)::text || ':' || field || ',';

-- STABLE and not IMMUTABLE, here and below, because PostgreSQL calls extract() and convert_to() so; it inlines them all the same.
-- Microseconds since 1970 UTC: a time as a whole number, the same in every session's time zone.
CREATE FUNCTION amends_microseconds(moment timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN (extract(epoch FROM moment) * 1000000)::bigint::text;

-- The facts of a transaction, format 1: what transactions.canonical.facts_hash computes in Python.
CREATE FUNCTION amends_facts_hash(
    source text, reference text, store_reference text, currency text, scale smallint, occurred_at timestamptz, inputs jsonb
) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(
    '7:facts/1,'
    || amends_netstring(source) || amends_netstring(reference) || amends_netstring(store_reference)
    || amends_netstring(currency) || amends_netstring(scale::text) || amends_netstring(amends_microseconds(occurred_at))
    || amends_netstring(inputs::text), 'UTF8'));

-- The leaf of a move, format 1: the calculation to stand on, the one it replaces, and the facts both were made of.
-- transactions/canonical.py computes the same in Python. This one takes the fields as texts: whoever hashes many rows makes those in a
-- subquery behind OFFSET 0, since inlining would otherwise make every text twice, once for its length.
CREATE FUNCTION amends_leaf_of_texts(
    standing_id text, standing_transaction text, standing_release text, standing_at_us text, standing_amounts text,
    replaced_id text, replaced_transaction text, replaced_release text, replaced_at_us text, replaced_amounts text,
    facts_hash_hex text
) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(
    '6:leaf/1,'
    || amends_netstring(standing_id) || amends_netstring(standing_transaction) || amends_netstring(standing_release)
    || amends_netstring(standing_at_us) || amends_netstring(standing_amounts)
    || amends_netstring(replaced_id) || amends_netstring(replaced_transaction) || amends_netstring(replaced_release)
    || amends_netstring(replaced_at_us) || amends_netstring(replaced_amounts)
    || amends_netstring(facts_hash_hex), 'UTF8'));

CREATE FUNCTION amends_leaf(
    standing_id bigint, standing_transaction bigint, standing_release bigint, standing_at timestamptz, standing_amounts jsonb,
    replaced_id bigint, replaced_transaction bigint, replaced_release bigint, replaced_at timestamptz, replaced_amounts jsonb,
    facts_hash bytea
) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN amends_leaf_of_texts(
    standing_id::text, standing_transaction::text, standing_release::text, amends_microseconds(standing_at), standing_amounts::text,
    replaced_id::text, replaced_transaction::text, replaced_release::text, amends_microseconds(replaced_at), replaced_amounts::text,
    encode(facts_hash, 'hex'));

-- Point at calculations that services reported: the newest counts, and what is replayed late never undoes what is newer.
-- One of the two writers of the pointer. Takes its locks in transaction-id order; call it with slices in that order.
CREATE FUNCTION amends_point_at_reported(calculation_ids bigint[], OUT pointed bigint, OUT moved bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'pointers are moved in READ COMMITTED only: each statement must see what was committed before it';
    END IF;
    IF EXISTS (
        SELECT FROM unnest(calculation_ids) AS given (id)
        JOIN transactions_calculation c ON c.id = given.id
        WHERE c.plan_chunk_id IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'a proposal is pointed at only by applying an approved plan'
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    INSERT INTO transactions_currentcalculation (transaction_id, calculation_id)
    SELECT DISTINCT ON (c.transaction_id) c.transaction_id, c.id
    FROM unnest(calculation_ids) AS given (id)
    JOIN transactions_calculation c ON c.id = given.id
    ORDER BY c.transaction_id, c.calculated_at DESC, c.id
    ON CONFLICT (transaction_id) DO NOTHING;
    GET DIAGNOSTICS pointed = ROW_COUNT;

    moved := 0;
    IF pointed = cardinality(calculation_ids) THEN
        RETURN;
    END IF;

    -- The locks are a statement of their own: the next ones then see what the last holder of each lock committed.
    PERFORM FROM (
        SELECT FROM transactions_currentcalculation current
        WHERE current.transaction_id IN (
            SELECT c.transaction_id FROM unnest(calculation_ids) AS given (id)
            JOIN transactions_calculation c ON c.id = given.id)
        ORDER BY current.transaction_id
        FOR UPDATE
    ) AS locked;

    INSERT INTO transactions_supersession (transaction_id, superseded_id, superseded_by_id, of_correction)
    SELECT newest.transaction_id, standing.id, newest.id, standing.plan_chunk_id IS NOT NULL
    FROM (
        SELECT DISTINCT ON (c.transaction_id) c.transaction_id, c.id, c.calculated_at
        FROM unnest(calculation_ids) AS given (id)
        JOIN transactions_calculation c ON c.id = given.id
        ORDER BY c.transaction_id, c.calculated_at DESC, c.id
    ) AS newest
    JOIN transactions_currentcalculation current ON current.transaction_id = newest.transaction_id
    JOIN transactions_calculation standing ON standing.id = current.calculation_id
    WHERE newest.calculated_at > standing.calculated_at;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = 0 THEN
        RETURN;
    END IF;

    UPDATE transactions_currentcalculation current
    SET calculation_id = newest.id
    FROM (
        SELECT DISTINCT ON (c.transaction_id) c.transaction_id, c.id, c.calculated_at
        FROM unnest(calculation_ids) AS given (id)
        JOIN transactions_calculation c ON c.id = given.id
        ORDER BY c.transaction_id, c.calculated_at DESC, c.id
    ) AS newest, transactions_calculation standing
    WHERE current.transaction_id = newest.transaction_id
      AND standing.id = current.calculation_id
      AND newest.calculated_at > standing.calculated_at;
END
$$;

-- After a large import plans are made on what is there now, and not on the empty tables of a minute ago. ANALYZE is the owner's to do.
CREATE FUNCTION amends_refresh_statistics() RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
    ANALYZE public.transactions_transaction;
    ANALYZE public.transactions_calculation;
    ANALYZE public.transactions_currentcalculation;
$$;

ALTER TABLE transactions_calculation ADD CONSTRAINT calculation_total_is_its_amount
    CHECK (coalesce((amounts -> 'total')::text = total::text, false));

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY[
        'transactions_store', 'transactions_release', 'transactions_ingestbatch', 'transactions_transaction',
        'transactions_calculation', 'transactions_supersession'
    ] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION amends_refuse_change()', append_only);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change()', append_only);
    END LOOP;
END
$$;

REVOKE EXECUTE ON FUNCTION amends_point_at_reported FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION amends_refresh_statistics FROM PUBLIC;
