-- Four eyes and frozen plans, kept by the database for every writer, raw SQL as the application included.
-- Plain triggers and not django-pgtrigger's, because those can be switched off by a session setting that the application may set.

-- How many people's approvals of exactly this plan's digest count: not its requester's, nor those of whoever ever edited its case.
CREATE FUNCTION amends_valid_approvals(plan_to_count bigint) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, public, pg_temp
RETURN (
    SELECT count(DISTINCT approval.decided_by_id)
    FROM public.remediation_approval approval
    JOIN public.remediation_plan plan ON plan.id = approval.plan_id
    WHERE plan.id = plan_to_count
      AND approval.decision = 'approve'
      AND approval.digest = plan.digest
      AND approval.decided_by_id <> plan.requested_by_id
      AND NOT EXISTS (
          SELECT FROM public.remediation_caserevision revision
          WHERE revision.case_id = plan.case_id AND revision.edited_by_id = approval.decided_by_id)
);

-- SHA-256 over every chunk of a plan, in order: bounds, counts, money, root and leaves. The manifest carries it, the digest covers the manifest.
CREATE FUNCTION amends_chunks_digest(plan_to_digest bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, public, pg_temp
RETURN (
    SELECT encode(sha256(convert_to(coalesce(string_agg(
        amends_netstring(chunk.position::text) || amends_netstring(chunk.scanned::text)
        || amends_netstring(chunk.unchanged::text) || amends_netstring(chunk.proposed::text)
        || amends_netstring(chunk.failed::text) || amends_netstring(chunk.moved_since::text)
        || amends_netstring(chunk.money::text) || amends_netstring(encode(chunk.root, 'hex'))
        || amends_netstring(encode(chunk.leaves_digest, 'hex')), '' ORDER BY chunk.position), ''), 'UTF8')), 'hex')
    FROM public.remediation_planchunk chunk
    WHERE chunk.plan_id = plan_to_digest
);

CREATE FUNCTION amends_guard_approval() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    plan public.remediation_plan;
BEGIN
    -- One lock for decisions on a case and edits of it: two that pass each other would not see each other's rows.
    PERFORM FROM public.remediation_case WHERE id = (
        SELECT case_id FROM public.remediation_plan WHERE id = NEW.plan_id) FOR UPDATE;
    SELECT * INTO STRICT plan FROM public.remediation_plan WHERE id = NEW.plan_id;
    IF plan.status <> 'ready' THEN
        RAISE EXCEPTION 'plan % is %: only a plan that is ready can be decided on', plan.id, plan.status
            USING ERRCODE = 'AM010';
    END IF;
    IF NEW.digest IS DISTINCT FROM plan.digest THEN
        RAISE EXCEPTION 'the decision is on another digest than plan %''s', plan.id USING ERRCODE = 'AM011';
    END IF;
    IF NEW.decided_by_id = plan.requested_by_id THEN
        RAISE EXCEPTION 'whoever requested plan % may not decide on it', plan.id USING ERRCODE = 'AM012';
    END IF;
    IF EXISTS (SELECT FROM public.remediation_caserevision revision
               WHERE revision.case_id = plan.case_id AND revision.edited_by_id = NEW.decided_by_id) THEN
        RAISE EXCEPTION 'whoever edited case % may not decide on its plans', plan.case_id USING ERRCODE = 'AM012';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER four_eyes BEFORE INSERT ON remediation_approval
    FOR EACH ROW EXECUTE FUNCTION amends_guard_approval();

CREATE FUNCTION amends_lock_case() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM FROM public.remediation_case WHERE id = NEW.case_id FOR UPDATE;
    RETURN NEW;
END
$$;
CREATE TRIGGER edits_wait_for_decisions BEFORE INSERT ON remediation_caserevision
    FOR EACH ROW EXECUTE FUNCTION amends_lock_case();

-- A plan is written once, sealed once, and then only its status moves, along the arrows of remediation/lifecycle.py.
CREATE FUNCTION amends_guard_plan() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'previewing' OR NEW.digest IS NOT NULL THEN
            RAISE EXCEPTION 'a plan begins as previewing, without a digest' USING ERRCODE = 'AM020';
        END IF;
        RETURN NEW;
    END IF;

    IF (NEW.id, NEW.revision_id, NEW.case_id, NEW.kind, NEW.source_plan_id, NEW.reason, NEW.targets, NEW.calculator_digest,
        NEW.high_water, NEW.policy, NEW.requested_by_id, NEW.requested_at)
       IS DISTINCT FROM
       (OLD.id, OLD.revision_id, OLD.case_id, OLD.kind, OLD.source_plan_id, OLD.reason, OLD.targets, OLD.calculator_digest,
        OLD.high_water, OLD.policy, OLD.requested_by_id, OLD.requested_at) THEN
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
CREATE TRIGGER frozen BEFORE INSERT OR UPDATE ON remediation_plan
    FOR EACH ROW EXECUTE FUNCTION amends_guard_plan();

-- A chunk belongs to a preview under way: bounded with it, scanned once.
CREATE FUNCTION amends_guard_plan_chunk() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    plan_status text;
BEGIN
    SELECT status INTO STRICT plan_status FROM public.remediation_plan WHERE id = NEW.plan_id;
    IF plan_status <> 'previewing' THEN
        RAISE EXCEPTION 'plan % is %: its chunks are frozen', NEW.plan_id, plan_status USING ERRCODE = 'AM021';
    END IF;
    IF TG_OP = 'UPDATE' AND (OLD.scanned_at IS NOT NULL
       OR (NEW.id, NEW.plan_id, NEW.position, NEW.release_id, NEW.after_at, NEW.after_id, NEW.through_at, NEW.through_id,
           NEW.source_chunk_id)
          IS DISTINCT FROM
          (OLD.id, OLD.plan_id, OLD.position, OLD.release_id, OLD.after_at, OLD.after_id, OLD.through_at, OLD.through_id,
           OLD.source_chunk_id)) THEN
        RAISE EXCEPTION 'chunk % of plan % is frozen', OLD.position, OLD.plan_id USING ERRCODE = 'AM021';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE INSERT OR UPDATE ON remediation_planchunk
    FOR EACH ROW EXECUTE FUNCTION amends_guard_plan_chunk();

-- A job applies only a plan that is being executed, and what has finished stays finished.
CREATE FUNCTION amends_guard_job() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.kind = 'apply' AND NOT EXISTS (
            SELECT FROM public.remediation_plan WHERE id = NEW.plan_id AND status = 'executing') THEN
            RAISE EXCEPTION 'plan % is not being executed: a job cannot apply it', NEW.plan_id USING ERRCODE = 'AM023';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.case_id, NEW.plan_id, NEW.kind, NEW.requested_by_id, NEW.requested_at)
       IS DISTINCT FROM (OLD.id, OLD.case_id, OLD.plan_id, OLD.kind, OLD.requested_by_id, OLD.requested_at)
       OR (OLD.status IN ('finished', 'failed') AND NEW IS DISTINCT FROM OLD) THEN
        RAISE EXCEPTION 'job % cannot be rewritten', OLD.id USING ERRCODE = 'AM021';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER frozen BEFORE INSERT OR UPDATE ON remediation_job
    FOR EACH ROW EXECUTE FUNCTION amends_guard_job();

-- Leaves are large and do not compress: out of line, uncompressed, so that a slice is read without the rest.
ALTER TABLE remediation_planchunkleaves ALTER COLUMN leaves SET STORAGE EXTERNAL;

DO $$
DECLARE
    append_only text;
BEGIN
    FOREACH append_only IN ARRAY ARRAY[
        'remediation_case', 'remediation_caserevision', 'remediation_planchunkleaves', 'remediation_planmember',
        'remediation_approval', 'remediation_outcome'
    ] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION amends_refuse_change()', append_only);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change()', append_only);
    END LOOP;
END
$$;
