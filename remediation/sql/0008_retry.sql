-- A plan that tries another's rows again: it names that plan for good, and its digest covers the name.
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
