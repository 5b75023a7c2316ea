-- As before, in less time: what a chunk adds to sums and counts is grouped while its rows are read, where it was taken from arrays
-- of as many places as there are rows; and a pointer that was locked is moved where it lies, where it was looked up once more.

-- Moves that are alike but for their amounts: how many, and what they add to totals of that currency and scale, in smallest units.
CREATE TYPE amends_moves_alike AS (
    currency varchar, scale smallint, from_release bigint, from_hour timestamptz, to_release bigint, to_hour timestamptz,
    moves bigint, delta numeric
);

-- Apply one leased chunk of a job: the second of the two writers of the pointer.
-- Refuses with AM001 where the job is not running, AM002 where the lease is not the caller's, AM003 where the plan is not approved,
-- AM004 where the rows are not the ones that were previewed. Everything it does, it does in the caller's transaction:
-- pointers, conflicts, the audit entry and the finished chunk stand or fall together.
CREATE OR REPLACE FUNCTION amends_apply_chunk(
    leased_chunk bigint, lease_token uuid, request_id text DEFAULT '', OUT applied bigint, OUT conflicts bigint
)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    -- A plan made once for all ranges takes every range for a narrow one, and then reads the members of all plans for every chunk.
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    chunk public.remediation_jobchunk;
    job public.remediation_job;
    plan public.remediation_plan;
    frozen public.remediation_planchunk;
    stored bytea;
    hashed bytea;
    row_count bigint;
    transaction_ids bigint[];
    calculation_ids bigint[];
    replaced_ids bigint[];
    places tid[];
    outdated bigint[] := '{}';
    held_back bigint[];
    alike public.amends_moves_alike[];
    money jsonb;
    conflicts_digest text := '';
    low bigint;
    high bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'chunks are applied in READ COMMITTED only: each statement must see what was committed before it';
    END IF;
    SELECT * INTO STRICT chunk FROM public.remediation_jobchunk WHERE id = leased_chunk;
    -- Whoever stops a job takes this lock exclusively; what is read after it is what they left.
    PERFORM pg_advisory_xact_lock_shared(7101, chunk.job_id::integer);
    SELECT * INTO STRICT job FROM public.remediation_job WHERE id = chunk.job_id;
    IF job.kind <> 'apply' OR job.status <> 'running' THEN
        RAISE EXCEPTION 'job % is %', job.id, job.status USING ERRCODE = 'AM001';
    END IF;
    -- A worker that knows no stages, of an older release, must not jump a gate.
    IF chunk.stage > job.stage THEN
        RAISE EXCEPTION 'job % is at stage %, not at %', job.id, job.stage, chunk.stage USING ERRCODE = 'AM001';
    END IF;
    SELECT * INTO chunk FROM public.remediation_jobchunk
        WHERE id = leased_chunk AND status = 'leased' AND token = lease_token FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of chunk % was lost', leased_chunk USING ERRCODE = 'AM002';
    END IF;
    SELECT * INTO STRICT plan FROM public.remediation_plan WHERE id = job.plan_id;
    IF plan.status <> 'executing' OR public.amends_valid_approvals(plan.id) < plan.required_approvals THEN
        RAISE EXCEPTION 'plan % is not approved', plan.id USING ERRCODE = 'AM003';
    END IF;
    SELECT * INTO STRICT frozen FROM public.remediation_planchunk WHERE id = chunk.plan_chunk_id AND plan_id = plan.id;

    SELECT leaves INTO STRICT stored FROM public.remediation_planchunkleaves WHERE plan_chunk_id = frozen.id;
    IF sha256(stored) IS DISTINCT FROM frozen.leaves_digest THEN
        RAISE EXCEPTION 'the leaves of chunk % of plan % are not the approved ones', frozen.position, plan.id
            USING ERRCODE = 'AM004';
    END IF;
    -- Where only a part of the plan's chunk is moved, only that part is read.
    low := 0;
    high := 9223372036854775807;
    IF chunk.first_leaf > 0 OR chunk.leaf_count < frozen.proposed THEN
        stored := substring(stored FROM chunk.first_leaf * 32 + 1 FOR chunk.leaf_count * 32);
        SELECT min(leaf.transaction_id), max(leaf.transaction_id) INTO low, high
            FROM public.amends_chunk_transactions(frozen.id, chunk.first_leaf, chunk.leaf_count) AS leaf;
    END IF;
    -- Sorted once, for all: an ORDER BY in each aggregate would sort the chunk again. Out of order it would not hash to the leaves.
    WITH move AS MATERIALIZED (
        SELECT * FROM public.amends_chunk_moves(frozen.id, low, high) AS moves ORDER BY moves.transaction_id LIMIT chunk.leaf_count
    ), listed AS (
        SELECT count(*) AS rows, string_agg(move.leaf, ''::bytea) AS leaves, array_agg(move.transaction_id) AS transaction_ids,
               array_agg(move.calculation_id) AS calculation_ids, array_agg(move.replaces_id) AS replaced_ids
        FROM move
    ), grouped AS (
        SELECT move.currency, move.scale, move.from_release, public.amends_hour(move.from_time) AS from_hour,
               move.to_release, public.amends_hour(move.to_time) AS to_hour, count(*) AS moves, sum(move.delta) AS delta
        FROM move GROUP BY 1, 2, 3, 4, 5, 6
    )
    SELECT listed.rows, listed.leaves, listed.transaction_ids, listed.calculation_ids, listed.replaced_ids,
           (SELECT array_agg(grouped::public.amends_moves_alike) FROM grouped)
        INTO row_count, hashed, transaction_ids, calculation_ids, replaced_ids, alike
        FROM listed;
    IF row_count <> chunk.leaf_count OR hashed IS DISTINCT FROM stored THEN
        RAISE EXCEPTION 'the rows of chunk % of plan % are not the ones that were previewed and approved',
            frozen.position, plan.id USING ERRCODE = 'AM004';
    END IF;

    -- In transaction-id order, as everywhere. A statement of its own, so that the next one sees what the last holder committed.
    SELECT array_agg(locked.ctid) INTO places FROM (
        SELECT current.ctid FROM public.transactions_currentcalculation current
        WHERE current.transaction_id = ANY (transaction_ids) ORDER BY current.transaction_id FOR UPDATE
    ) AS locked;
    -- Places and transactions are beside each other in their arrays: each has one.
    IF coalesce(cardinality(places), 0) <> row_count THEN
        RAISE EXCEPTION 'chunk % of plan %: of % transactions only % stand on a calculation', frozen.position, plan.id, row_count,
            coalesce(cardinality(places), 0) USING ERRCODE = 'AM004';
    END IF;
    IF plan.kind = 'revert' THEN
        -- A report that the correction held back, after the revert was previewed: its pointer stands still, yet going back would hide it.
        SELECT coalesce(array_agg(move.transaction_id), '{}') INTO outdated
            FROM unnest(transaction_ids, calculation_ids) AS move (transaction_id, calculation_id)
            JOIN public.transactions_calculation back_to ON back_to.id = move.calculation_id
            WHERE EXISTS (
                SELECT FROM public.transactions_calculation newer
                WHERE newer.transaction_id = move.transaction_id AND newer.plan_chunk_id IS NULL
                  AND newer.calculated_at > back_to.calculated_at);
    END IF;
    UPDATE public.transactions_currentcalculation current
        SET calculation_id = move.calculation_id
        FROM unnest(places, transaction_ids, calculation_ids, replaced_ids)
            AS move (place, transaction_id, calculation_id, replaces_id)
        WHERE current.ctid = move.place AND current.transaction_id = move.transaction_id AND current.calculation_id = move.replaces_id
          AND move.transaction_id <> ALL (outdated);
    GET DIAGNOSTICS applied = ROW_COUNT;
    conflicts := row_count - applied;

    IF conflicts > 0 THEN
        WITH listed AS (
            INSERT INTO public.remediation_outcome (job_id, plan_chunk_id, transaction_id, kind, reason, detail)
            SELECT job.id, frozen.id, move.transaction_id, 'conflict',
                   CASE WHEN found.id = move.replaces_id THEN
                            'Its service has reported a newer calculation since, which the correction held back: going back would hide it.'
                        WHEN found.plan_chunk_id IS NOT NULL THEN 'Another plan corrected it after this one was previewed.'
                        ELSE 'Its service recalculated it after this plan was previewed.' END,
                   jsonb_build_object('expected', move.replaces_id, 'found', found.id, 'proposed', move.calculation_id)
            FROM unnest(transaction_ids, calculation_ids, replaced_ids) AS move (transaction_id, calculation_id, replaces_id)
            LEFT JOIN public.transactions_currentcalculation current ON current.transaction_id = move.transaction_id
            LEFT JOIN public.transactions_calculation found ON found.id = current.calculation_id
            WHERE current.calculation_id IS DISTINCT FROM move.calculation_id
            RETURNING transaction_id
        )
        SELECT array_agg(listed.transaction_id),
               encode(sha256(string_agg(int8send(listed.transaction_id), ''::bytea ORDER BY listed.transaction_id)), 'hex')
            INTO held_back, conflicts_digest FROM listed;
        IF coalesce(cardinality(held_back), 0) <> conflicts THEN
            RAISE EXCEPTION 'chunk %: % rows did not move, % of them are conflicts', leased_chunk, conflicts,
                coalesce(cardinality(held_back), 0);
        END IF;
        -- What did not move is taken off again.
        SELECT alike || array_agg(ROW(
                   move.currency, move.scale, move.from_release, public.amends_hour(move.from_time),
                   move.to_release, public.amends_hour(move.to_time), -1, -move.delta)::public.amends_moves_alike)
            INTO alike
            FROM public.amends_chunk_moves(frozen.id, low, high) AS move WHERE move.transaction_id = ANY (held_back);
    END IF;
    IF applied > 0 THEN
        PERFORM public.amends_count_moves(
            array_agg(moved.from_release), array_agg(moved.from_hour), array_agg(moved.to_release), array_agg(moved.to_hour),
            array_agg(moved.moves))
            FROM unnest(alike) AS moved;
    END IF;
    SELECT coalesce(jsonb_object_agg(summed.currency || ':' || summed.scale, summed.delta), '{}') INTO money FROM (
        SELECT moved.currency, moved.scale, sum(moved.delta) AS delta FROM unnest(alike) AS moved
        GROUP BY moved.currency, moved.scale HAVING sum(moved.moves) > 0
    ) AS summed;

    UPDATE public.remediation_jobchunk
        SET status = 'done', lease_until = NULL, finished_at = clock_timestamp(), failure = '',
            first_transaction = transaction_ids[1], last_transaction = transaction_ids[cardinality(transaction_ids)],
            result = jsonb_build_object('applied', applied, 'conflicts', conflicts, 'money', money)
        WHERE id = leased_chunk;
    INSERT INTO public.audit_auditentry
        (event, actor_id, actor_label, subject_type, subject_id, subject_label, reason, request_id, data)
    SELECT 'chunk.applied', job.requested_by_id, account.username, 'remediation.jobchunk', chunk.id,
           format('Job %s, chunk %s', job.id, chunk.position), plan.reason, amends_apply_chunk.request_id,
           jsonb_build_object(
               'job', job.id, 'plan', plan.id, 'plan_chunk', frozen.id, 'first_leaf', chunk.first_leaf,
               'leaf_count', chunk.leaf_count, 'applied', applied, 'conflicts', conflicts,
               'conflicts_digest', conflicts_digest, 'money', money, 'root', encode(frozen.root, 'hex'))
    FROM public.auth_user account WHERE account.id = job.requested_by_id;
END
$$;

-- Nobody counts a row at a time any more.
DROP FUNCTION amends_count_moves(bigint[], timestamptz[], bigint[], timestamptz[]);
