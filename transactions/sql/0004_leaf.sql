-- The leaf of a move, format 2 (transactions/canonical.py computes the same): fields of fixed size as PostgreSQL sends them, then the sizes
-- of both amounts' texts and the texts. A third of what format 1 cost, which spelled every field out as a text.
-- The first octet is RFC 6962's mark of a leaf; the texts are made by the caller, behind OFFSET 0, because inlining would make them twice.
CREATE FUNCTION amends_leaf_2(
    standing_id bigint, standing_transaction bigint, standing_release bigint, standing_at timestamptz, standing_amounts text,
    replaced_id bigint, replaced_transaction bigint, replaced_release bigint, replaced_at timestamptz, replaced_amounts text,
    facts_hash bytea
) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(
    '\x006c6561662f32'::bytea
    || int8send(standing_id) || int8send(standing_transaction) || int8send(standing_release) || timestamptz_send(standing_at)
    || int8send(replaced_id) || int8send(replaced_transaction) || int8send(replaced_release) || timestamptz_send(replaced_at)
    || facts_hash || int4send(octet_length(standing_amounts)) || int4send(octet_length(replaced_amounts))
    || convert_to(standing_amounts || replaced_amounts, 'UTF8'));
