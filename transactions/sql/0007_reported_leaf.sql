-- The leaf of a calculation that came in, with the facts it was made of, format 1 of reported leaves (transactions/canonical.py computes the
-- same): fields of fixed size as PostgreSQL sends them, then the size of the amounts' text and the text. The first octet is RFC 6962's mark
-- of a leaf; the text is made by the caller, behind OFFSET 0, because inlining would make it twice.
CREATE FUNCTION amends_reported_leaf(
    id bigint, transaction bigint, release bigint, calculated_at timestamptz, facts_hash bytea, amounts text
) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(
    '\x007265706f727465642f31'::bytea
    || int8send(id) || int8send(transaction) || int8send(release) || timestamptz_send(calculated_at)
    || facts_hash || int4send(octet_length(amounts)) || convert_to(amounts, 'UTF8'));

-- Leaves are large and do not compress.
ALTER TABLE transactions_ingestleaves ALTER COLUMN leaves SET STORAGE EXTERNAL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON transactions_ingestleaves
    FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON transactions_ingestleaves
    FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
