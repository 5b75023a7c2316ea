-- A plan made once for all ranges takes every range for a narrow one. It then looks a plan's members up by transaction, and reads the
-- members of all plans for every chunk. To plan anew costs a chunk a millisecond or two.
ALTER FUNCTION amends_apply_chunk(bigint, uuid, text) SET plan_cache_mode = 'force_custom_plan';
