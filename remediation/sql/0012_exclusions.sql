-- SHA-256 over every chunk of a plan, in order: counts, money, root and leaves; where the plan's case leaves something out, what was left out too.
CREATE OR REPLACE FUNCTION amends_chunks_digest(plan_to_digest bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, public, pg_temp
RETURN (
    SELECT encode(sha256(convert_to(coalesce(string_agg(
        amends_netstring(chunk.position::text) || amends_netstring(chunk.scanned::text)
        || amends_netstring(chunk.unchanged::text) || amends_netstring(chunk.proposed::text)
        || amends_netstring(chunk.failed::text) || amends_netstring(chunk.moved_since::text)
        || amends_netstring(chunk.money::text) || amends_netstring(encode(chunk.root, 'hex'))
        || amends_netstring(encode(chunk.leaves_digest, 'hex'))
        || CASE WHEN revision.exclusions = '{}' THEN ''
                ELSE amends_netstring(chunk.left_out::text) || amends_netstring(chunk.left_out_sums::text) END,
        '' ORDER BY chunk.position), ''), 'UTF8')), 'hex')
    FROM public.remediation_planchunk chunk
    JOIN public.remediation_plan plan ON plan.id = chunk.plan_id
    JOIN public.remediation_caserevision revision ON revision.id = plan.revision_id
    WHERE chunk.plan_id = plan_to_digest
);

-- Nothing is left out of a plan whose case leaves nothing out: its digest would not cover it. What is left out is counted once.
CREATE FUNCTION amends_guard_left_out() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM public.remediation_plan plan JOIN public.remediation_caserevision revision ON revision.id = plan.revision_id
               WHERE plan.id = NEW.plan_id AND revision.exclusions = '{}') THEN
        RAISE EXCEPTION 'the case of plan % leaves nothing out', NEW.plan_id USING ERRCODE = 'AM021';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER left_out_by_exclusions BEFORE INSERT OR UPDATE ON remediation_planchunk
    FOR EACH ROW WHEN (NEW.left_out <> 0 OR NEW.left_out_sums <> '{}') EXECUTE FUNCTION amends_guard_left_out();
