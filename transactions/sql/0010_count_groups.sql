-- The same for a caller who has counted alike moves already: `moves[i]` pointers moved from a release and hour to another release and hour.
CREATE FUNCTION amends_count_moves(
    from_releases bigint[], from_hours timestamptz[], to_releases bigint[], to_hours timestamptz[], moves bigint[]
) RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO public.transactions_standingchange (release_id, hour, change)
    SELECT moved.release_id, moved.hour, sum(moved.change)
    FROM (
        SELECT alike.release_id, alike.hour, -alike.moves
        FROM unnest(from_releases, from_hours, moves) AS alike (release_id, hour, moves)
        UNION ALL
        SELECT alike.release_id, alike.hour, alike.moves
        FROM unnest(to_releases, to_hours, moves) AS alike (release_id, hour, moves)
    ) AS moved (release_id, hour, change)
    GROUP BY 1, 2
    HAVING sum(moved.change) <> 0
$$;
