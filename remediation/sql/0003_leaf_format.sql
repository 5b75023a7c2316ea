-- As before, but leaves by the format that the chunk was scanned in: 1 spelled every field out, 2 is a third of the work.
CREATE OR REPLACE FUNCTION amends_chunk_moves(plan_chunk bigint) RETURNS TABLE (
    transaction_id bigint, calculation_id bigint, replaces_id bigint, currency varchar, scale smallint, delta bigint, leaf bytea
)
    LANGUAGE sql STABLE
AS $$
    SELECT told.standing_transaction, told.standing_id, told.replaced_id, told.currency, told.scale,
           told.standing_total - told.replaced_total,
           CASE WHEN (SELECT leaf_format FROM public.remediation_planchunk WHERE id = plan_chunk) = 1
           THEN public.amends_leaf_of_texts(
               told.standing_id::text, told.standing_transaction::text, told.standing_release::text,
               public.amends_microseconds(told.standing_at), told.standing_amounts,
               told.replaced_id::text, told.replaced_transaction::text, told.replaced_release::text,
               public.amends_microseconds(told.replaced_at), told.replaced_amounts, encode(told.facts_hash, 'hex'))
           ELSE public.amends_leaf_2(
               told.standing_id, told.standing_transaction, told.standing_release, told.standing_at, told.standing_amounts,
               told.replaced_id, told.replaced_transaction, told.replaced_release, told.replaced_at, told.replaced_amounts,
               told.facts_hash)
           END
    FROM (
        SELECT standing.id AS standing_id, standing.transaction_id AS standing_transaction, standing.release_id AS standing_release,
               standing.calculated_at AS standing_at, standing.amounts::text AS standing_amounts, standing.total AS standing_total,
               replaced.id AS replaced_id, replaced.transaction_id AS replaced_transaction, replaced.release_id AS replaced_release,
               replaced.calculated_at AS replaced_at, replaced.amounts::text AS replaced_amounts, replaced.total AS replaced_total,
               facts.currency, facts.scale, facts.facts_hash
        FROM public.transactions_calculation standing
        JOIN public.transactions_calculation replaced ON replaced.id = standing.replaces_id
        JOIN public.transactions_transaction facts ON facts.id = standing.transaction_id
        WHERE standing.plan_chunk_id = plan_chunk AND replaced.transaction_id = standing.transaction_id
        UNION ALL
        SELECT standing.id AS standing_id, standing.transaction_id AS standing_transaction, standing.release_id AS standing_release,
               standing.calculated_at AS standing_at, standing.amounts::text AS standing_amounts, standing.total AS standing_total,
               replaced.id AS replaced_id, replaced.transaction_id AS replaced_transaction, replaced.release_id AS replaced_release,
               replaced.calculated_at AS replaced_at, replaced.amounts::text AS replaced_amounts, replaced.total AS replaced_total,
               facts.currency, facts.scale, facts.facts_hash
        FROM public.remediation_planmember member
        JOIN public.transactions_calculation standing ON standing.id = member.calculation_id
        JOIN public.transactions_calculation replaced ON replaced.id = member.replaces_id
        JOIN public.transactions_transaction facts ON facts.id = member.transaction_id
        WHERE member.plan_chunk_id = plan_chunk AND standing.transaction_id = member.transaction_id
          AND replaced.transaction_id = standing.transaction_id
        OFFSET 0  -- a query of its own, so that each amounts' text is made once, though the leaf takes its size too
    ) AS told
$$;
