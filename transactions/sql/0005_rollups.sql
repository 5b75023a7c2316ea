-- How many transactions stand on calculations of each release and hour, exact at every commit.
-- Whoever moves pointers adds rows that say by how much the counts changed, and touches no row of another's, so that no two writers
-- ever wait for each other. amends_fold_counts adds them up from time to time. A count is what was folded plus what was not yet.
ALTER TABLE transactions_standingchange SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Which hour a time is counted in: its beginning, in UTC. date_bin and not date_trunc, which looks up a time zone for each row.
CREATE FUNCTION amends_hour(moment timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('1 hour', moment, '2000-01-01 00:00:00+00');

-- Count that pointers left the one calculations and came to stand on the others, in the transaction that moved them.
-- For those who move pointers: the application may call it, but not write what it writes. 2 µs a row that moves; see the next one.
CREATE FUNCTION amends_count_moves(from_calculations bigint[], to_calculations bigint[]) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    -- Looked up by primary key, whatever the statistics say.
    INSERT INTO public.transactions_standingchange (release_id, hour, change)
    SELECT moved.release_id, moved.hour, sum(moved.change)
    FROM (
        SELECT c.release_id, public.amends_hour(c.calculated_at) AS hour, -count(*) AS change
        FROM unnest(from_calculations) AS left_behind (id)
        CROSS JOIN LATERAL (
            SELECT release_id, calculated_at FROM public.transactions_calculation WHERE id = left_behind.id OFFSET 0
        ) AS c
        GROUP BY 1, 2
        UNION ALL
        SELECT c.release_id, public.amends_hour(c.calculated_at), count(*)
        FROM unnest(to_calculations) AS stood_on (id)
        CROSS JOIN LATERAL (
            SELECT release_id, calculated_at FROM public.transactions_calculation WHERE id = stood_on.id OFFSET 0
        ) AS c
        GROUP BY 1, 2
    ) AS moved
    GROUP BY 1, 2
    HAVING sum(moved.change) <> 0;
END
$$;

-- The same for a caller who has read the calculations anyway: their releases and calculated_at, a place of the arrays for each pointer.
-- A fifth of the work, since nothing is looked up.
CREATE FUNCTION amends_count_moves(
    from_releases bigint[], from_times timestamptz[], to_releases bigint[], to_times timestamptz[]
) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    WITH alike AS MATERIALIZED (
        SELECT move.from_release, public.amends_hour(move.from_time) AS from_hour,
               move.to_release, public.amends_hour(move.to_time) AS to_hour, count(*) AS moves
        FROM unnest(from_releases, from_times, to_releases, to_times) AS move (from_release, from_time, to_release, to_time)
        GROUP BY 1, 2, 3, 4
    )
    INSERT INTO public.transactions_standingchange (release_id, hour, change)
    SELECT moved.release_id, moved.hour, sum(moved.change)
    FROM (
        SELECT from_release AS release_id, from_hour AS hour, -moves AS change FROM alike
        UNION ALL
        SELECT to_release, to_hour, moves FROM alike
    ) AS moved
    GROUP BY 1, 2
    HAVING sum(moved.change) <> 0;
END
$$;

-- Add up what was written since the last time, and say how many rows that was. One at a time: who finds another at it leaves it to them.
CREATE FUNCTION amends_fold_counts() RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7103, 0) THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM public.transactions_standingchange RETURNING release_id, hour, change
    ), summed AS (
        SELECT release_id, hour, sum(change) AS change, count(*) AS taken FROM taken GROUP BY release_id, hour
    ), added AS (
        INSERT INTO public.transactions_standingcount AS known (release_id, hour, transactions)
        SELECT release_id, hour, change FROM summed WHERE change <> 0 ORDER BY release_id, hour
        ON CONFLICT (release_id, hour) DO UPDATE SET transactions = known.transactions + excluded.transactions
    )
    SELECT coalesce(sum(taken), 0) INTO folded FROM summed;
    RETURN folded;
END
$$;

-- Count everything anew from the rows, keeping all who move pointers waiting meanwhile. The owner's: for migrations, and to mend what was
-- tampered with.
CREATE FUNCTION amends_rebuild_counts() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7103, 0);
    LOCK TABLE public.transactions_currentcalculation IN SHARE MODE;
    DELETE FROM public.transactions_standingchange;
    DELETE FROM public.transactions_standingcount;
    INSERT INTO public.transactions_standingcount (release_id, hour, transactions)
    SELECT c.release_id, public.amends_hour(c.calculated_at), count(*)
    FROM public.transactions_currentcalculation current
    JOIN public.transactions_calculation c ON c.id = current.calculation_id
    GROUP BY 1, 2;
END
$$;

-- Point at calculations that services reported, as before, and count the moves.
-- One of the two writers of the pointer. Takes its locks in transaction-id order; call it with slices in that order.
CREATE OR REPLACE FUNCTION amends_point_at_reported(calculation_ids bigint[], OUT pointed bigint, OUT moved bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    stood_on bigint[];
    left_behind bigint[];
    came_to bigint[];
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

    WITH inserted AS (
        INSERT INTO transactions_currentcalculation (transaction_id, calculation_id)
        SELECT DISTINCT ON (c.transaction_id) c.transaction_id, c.id
        FROM unnest(calculation_ids) AS given (id)
        JOIN transactions_calculation c ON c.id = given.id
        ORDER BY c.transaction_id, c.calculated_at DESC, c.id
        ON CONFLICT (transaction_id) DO NOTHING
        RETURNING calculation_id
    )
    SELECT count(*), array_agg(calculation_id) INTO pointed, stood_on FROM inserted;

    moved := 0;
    IF pointed = cardinality(calculation_ids) THEN
        PERFORM public.amends_count_moves('{}', stood_on);
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

    WITH superseded AS (
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
        WHERE newest.calculated_at > standing.calculated_at
        RETURNING superseded_id, superseded_by_id
    )
    SELECT count(*), array_agg(superseded_id), array_agg(superseded_by_id) INTO moved, left_behind, came_to FROM superseded;
    PERFORM public.amends_count_moves(left_behind, stood_on || came_to);
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

SELECT amends_rebuild_counts();

REVOKE EXECUTE ON FUNCTION amends_fold_counts FROM PUBLIC;
