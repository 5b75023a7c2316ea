-- As before, but by the primary key for certain. Asked for id = x, with statistics from before the first import, the planner finds the
-- keyset's index, which has the id last, as good as the primary key's, and goes through all of it for every row.
CREATE OR REPLACE FUNCTION amends_count_moves(from_calculations bigint[], to_calculations bigint[]) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO public.transactions_standingchange (release_id, hour, change)
    SELECT moved.release_id, moved.hour, sum(moved.change)
    FROM (
        SELECT c.release_id, public.amends_hour(c.calculated_at) AS hour, -count(*) AS change
        FROM unnest(from_calculations) AS left_behind (id)
        CROSS JOIN LATERAL (
            SELECT release_id, calculated_at FROM public.transactions_calculation
            WHERE id BETWEEN left_behind.id AND left_behind.id ORDER BY id LIMIT 1
        ) AS c
        GROUP BY 1, 2
        UNION ALL
        SELECT c.release_id, public.amends_hour(c.calculated_at), count(*)
        FROM unnest(to_calculations) AS stood_on (id)
        CROSS JOIN LATERAL (
            SELECT release_id, calculated_at FROM public.transactions_calculation
            WHERE id BETWEEN stood_on.id AND stood_on.id ORDER BY id LIMIT 1
        ) AS c
        GROUP BY 1, 2
    ) AS moved
    GROUP BY 1, 2
    HAVING sum(moved.change) <> 0;
END
$$;
