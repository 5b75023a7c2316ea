-- How many approvals a plan needs, from what was scanned and a policy: as remediation/policy.py has it. What a plan's chunks add up to decides,
-- and not what its manifest says that they do. Money of one currency counts by what goes up and what goes down together, where figures were
-- kept of that (a plan that takes another back has that one's), else by what remains of it. A currency without a limit, where others have
-- one, has the limit 0.
CREATE FUNCTION amends_required_approvals(plan_asked bigint, policy jsonb) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, public, pg_temp
RETURN (
    WITH RECURSIVE sources AS (
        SELECT plan_asked AS id
        UNION ALL
        SELECT plan.source_plan_id FROM sources JOIN public.remediation_plan plan ON plan.id = sources.id
        WHERE plan.source_plan_id IS NOT NULL
    ), added AS (
        SELECT part.key, abs(sum((part.value ->> 'delta')::numeric)) AS changed, max((part.value ->> 'largest')::numeric) AS largest
        FROM public.remediation_planchunk chunk, jsonb_each(chunk.money) part
        WHERE chunk.plan_id = plan_asked GROUP BY part.key
    ), both_ways AS (
        SELECT chunk.plan_id, part.key, sum(abs((bin.value ->> 1)::numeric)) AS changed
        FROM sources
        JOIN public.remediation_planchunk chunk ON chunk.plan_id = sources.id
        JOIN public.remediation_planchunkfigures figures ON figures.plan_chunk_id = chunk.id,
            jsonb_each(figures.spread) part, jsonb_each(part.value -> 'bins') bin
        GROUP BY chunk.plan_id, part.key
    ), money AS (
        SELECT split_part(added.key, ':', 1) AS currency, power(10::numeric, split_part(added.key, ':', 2)::integer) AS unit,
            greatest(added.changed, (SELECT max(both_ways.changed) FROM both_ways WHERE both_ways.key = added.key)) AS changed,
            added.largest
        FROM added
    )
    SELECT CASE
        WHEN coalesce((SELECT sum(chunk.proposed) FROM public.remediation_planchunk chunk WHERE chunk.plan_id = plan_asked), 0)
             > coalesce((policy ->> 'large_count')::numeric, 0)
          OR EXISTS (
            SELECT FROM money
            WHERE coalesce(policy -> 'large_money', '{}') <> '{}'
              AND changed > coalesce((policy -> 'large_money' ->> currency)::numeric, 0) * unit)
          OR EXISTS (
            SELECT FROM money
            WHERE coalesce(policy -> 'largest_single', '{}') <> '{}'
              AND largest > coalesce((policy -> 'largest_single' ->> currency)::numeric, 0) * unit)
        THEN greatest((policy ->> 'approvals_for_large')::integer, (policy ->> 'approvals')::integer)
        ELSE (policy ->> 'approvals')::integer
    END
);

-- Sealing asks it: a plan says under which policy it was previewed, and needs and keeps fresh no less than that asks for.
CREATE OR REPLACE FUNCTION amends_guard_plan() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'previewing' OR NEW.digest IS NOT NULL THEN
            RAISE EXCEPTION 'a plan begins as previewing, without a digest' USING ERRCODE = 'AM020';
        END IF;
        IF NEW.retries_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM public.remediation_plan source WHERE source.id = NEW.retries_id AND source.case_id = NEW.case_id
              AND source.revision_id = NEW.revision_id AND source.kind = 'apply' AND source.status IN ('executed', 'stopped')) THEN
            RAISE EXCEPTION 'plan % was not applied for case %: it has nothing to try again', NEW.retries_id, NEW.case_id
                USING ERRCODE = 'AM020';
        END IF;
        RETURN NEW;
    END IF;

    IF (NEW.id, NEW.revision_id, NEW.case_id, NEW.kind, NEW.source_plan_id, NEW.reason, NEW.targets, NEW.calculator_digest,
        NEW.high_water, NEW.policy, NEW.requested_by_id, NEW.requested_at, NEW.retries_id)
       IS DISTINCT FROM
       (OLD.id, OLD.revision_id, OLD.case_id, OLD.kind, OLD.source_plan_id, OLD.reason, OLD.targets, OLD.calculator_digest,
        OLD.high_water, OLD.policy, OLD.requested_by_id, OLD.requested_at, OLD.retries_id) THEN
        RAISE EXCEPTION 'plan % is frozen: preview again instead', OLD.id USING ERRCODE = 'AM021';
    END IF;
    IF (OLD.status, NEW.status) <> ('previewing', 'ready')
       AND (NEW.manifest, NEW.digest, NEW.required_approvals, NEW.fresh_until)
           IS DISTINCT FROM (OLD.manifest, OLD.digest, OLD.required_approvals, OLD.fresh_until) THEN
        RAISE EXCEPTION 'plan % is sealed: preview again instead', OLD.id USING ERRCODE = 'AM021';
    END IF;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF (OLD.status || '→' || NEW.status) <> ALL (ARRAY[
        'previewing→ready', 'previewing→failed', 'previewing→superseded',
        'ready→approved', 'ready→rejected', 'ready→superseded',
        'approved→executing', 'approved→superseded',
        'executing→executed', 'executing→stopped']) THEN
        RAISE EXCEPTION 'plan % is %: it cannot become %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'AM020';
    END IF;
    IF NEW.status IN ('ready', 'executing') THEN
        IF EXISTS (SELECT FROM public.remediation_planchunk chunk
                   WHERE chunk.plan_id = OLD.id AND chunk.scanned_at IS NULL) THEN
            RAISE EXCEPTION 'plan % has chunks that were never scanned', OLD.id USING ERRCODE = 'AM022';
        END IF;
        IF NEW.digest IS DISTINCT FROM sha256(convert_to(NEW.manifest::text, 'UTF8'))
           OR (NEW.manifest ->> 'plan') IS DISTINCT FROM OLD.id::text
           OR (NEW.manifest ->> 'retries') IS DISTINCT FROM OLD.retries_id::text
           OR (NEW.manifest ->> 'chunks') IS DISTINCT FROM public.amends_chunks_digest(OLD.id) THEN
            RAISE EXCEPTION 'the digest of plan % is not that of its chunks', OLD.id USING ERRCODE = 'AM022';
        END IF;
    END IF;
    IF NEW.status = 'ready' THEN
        IF (NEW.manifest -> 'policy') IS DISTINCT FROM OLD.policy THEN
            RAISE EXCEPTION 'plan % was previewed under another policy than its manifest says', OLD.id USING ERRCODE = 'AM022';
        END IF;
        IF (NEW.required_approvals < public.amends_required_approvals(OLD.id, OLD.policy)) IS NOT FALSE THEN
            RAISE EXCEPTION 'plan % needs % approvals by its policy, not %',
                OLD.id, public.amends_required_approvals(OLD.id, OLD.policy), NEW.required_approvals USING ERRCODE = 'AM022';
        END IF;
        IF (NEW.fresh_until > OLD.requested_at + (OLD.policy ->> 'fresh_hours')::integer * interval '1 hour') IS NOT FALSE THEN
            RAISE EXCEPTION 'plan % is fresh for % hours by its policy', OLD.id, OLD.policy ->> 'fresh_hours' USING ERRCODE = 'AM022';
        END IF;
    END IF;
    IF NEW.status IN ('approved', 'executing')
       AND public.amends_valid_approvals(OLD.id) < OLD.required_approvals THEN
        RAISE EXCEPTION 'plan % needs % approvals by others than its requester and editors and has %',
            OLD.id, OLD.required_approvals, public.amends_valid_approvals(OLD.id) USING ERRCODE = 'AM023';
    END IF;
    IF NEW.status = 'executing' AND OLD.fresh_until < statement_timestamp() THEN
        RAISE EXCEPTION 'plan % was fresh until %: preview again', OLD.id, OLD.fresh_until USING ERRCODE = 'AM024';
    END IF;
    RETURN NEW;
END
$$;
