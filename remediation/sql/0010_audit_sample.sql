-- Audit samples are written once, by people who had no part in what they judge, and hold only corrections that were applied.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON remediation_auditsample FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON remediation_auditsample FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON remediation_auditsampleitem FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON remediation_auditsampleitem FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON remediation_auditsampleverdict FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON remediation_auditsampleverdict FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON remediation_auditsampleconclusion FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON remediation_auditsampleconclusion FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();

-- What somebody had to do with the case that a job belongs to, in words; NULL where nothing. Nobody judges their own work.
CREATE FUNCTION amends_part_in_case(judged_job bigint, person bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, public, pg_temp
RETURN (
    SELECT CASE
        WHEN EXISTS (SELECT FROM public.remediation_case opened WHERE opened.id = job.case_id AND opened.opened_by_id = person)
          OR EXISTS (SELECT FROM public.remediation_caserevision edit WHERE edit.case_id = job.case_id AND edit.edited_by_id = person)
            THEN 'opened or edited the case'
        WHEN EXISTS (SELECT FROM public.remediation_plan plan WHERE plan.case_id = job.case_id AND plan.requested_by_id = person)
            THEN 'asked for a plan of the case'
        WHEN EXISTS (SELECT FROM public.remediation_approval approval JOIN public.remediation_plan plan ON plan.id = approval.plan_id
                     WHERE plan.case_id = job.case_id AND approval.decided_by_id = person)
            THEN 'decided on a plan of the case'
        WHEN EXISTS (SELECT FROM public.remediation_job started
                     WHERE started.case_id = job.case_id AND started.kind = 'apply' AND started.requested_by_id = person)
            THEN 'applied a plan of the case'
        WHEN EXISTS (SELECT FROM public.remediation_job steered
                     JOIN public.audit_auditentry entry ON entry.subject_type = 'remediation.job' AND entry.subject_id = steered.id
                     WHERE steered.case_id = job.case_id AND entry.actor_id = person
                       AND entry.event IN ('job.pausing', 'job.paused', 'job.resumed', 'job.tuned', 'job.cancelling', 'job.cancelled'))
            THEN 'steered a job of the case'
    END
    FROM public.remediation_job job WHERE job.id = judged_job
);

CREATE FUNCTION amends_guard_audit_sample() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    judged_job bigint;
    person bigint;
    part text;
BEGIN
    IF TG_TABLE_NAME = 'remediation_auditsample' THEN
        judged_job := NEW.job_id;
        person := NEW.drawn_by_id;
        IF NOT EXISTS (SELECT FROM public.remediation_job job JOIN public.remediation_plan plan ON plan.id = job.plan_id
                       WHERE job.id = judged_job AND job.kind = 'apply' AND job.status IN ('finished', 'failed', 'cancelled')
                         AND plan.digest = NEW.plan_digest) THEN
            RAISE EXCEPTION 'job % is no apply that has ended, or applied another plan', judged_job USING ERRCODE = 'AM030';
        END IF;
    ELSIF TG_TABLE_NAME = 'remediation_auditsampleverdict' THEN
        SELECT sample.job_id INTO STRICT judged_job FROM public.remediation_auditsampleitem item
            JOIN public.remediation_auditsample sample ON sample.id = item.sample_id WHERE item.id = NEW.item_id;
        person := NEW.recorded_by_id;
    ELSE
        SELECT sample.job_id INTO STRICT judged_job FROM public.remediation_auditsample sample WHERE sample.id = NEW.sample_id;
        person := NEW.concluded_by_id;
        IF (SELECT size FROM public.remediation_auditsample WHERE id = NEW.sample_id) <> (
                SELECT count(*) FROM public.remediation_auditsampleitem item WHERE item.sample_id = NEW.sample_id AND EXISTS (
                    SELECT FROM public.remediation_auditsampleverdict verdict WHERE verdict.item_id = item.id))
           OR NEW.last_verdict_id IS DISTINCT FROM (
                SELECT max(verdict.id) FROM public.remediation_auditsampleverdict verdict
                JOIN public.remediation_auditsampleitem item ON item.id = verdict.item_id WHERE item.sample_id = NEW.sample_id) THEN
            RAISE EXCEPTION 'audit sample % has corrections without a verdict, or newer verdicts', NEW.sample_id USING ERRCODE = 'AM031';
        END IF;
    END IF;
    part := public.amends_part_in_case(judged_job, person);
    IF part IS NOT NULL THEN
        RAISE EXCEPTION 'whoever % does not judge its corrections', part USING ERRCODE = 'AM032';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER judged_by_others BEFORE INSERT ON remediation_auditsample FOR EACH ROW EXECUTE FUNCTION amends_guard_audit_sample();
CREATE TRIGGER judged_by_others BEFORE INSERT ON remediation_auditsampleverdict FOR EACH ROW EXECUTE FUNCTION amends_guard_audit_sample();
CREATE TRIGGER judged_by_others BEFORE INSERT ON remediation_auditsampleconclusion FOR EACH ROW EXECUTE FUNCTION amends_guard_audit_sample();

-- A drawn correction was applied by the sample's own job: its chunk is done, its leaf is the chunk's, and it is no conflict.
CREATE FUNCTION amends_guard_audit_sample_item() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.remediation_auditsample sample
        JOIN public.remediation_jobchunk chunk ON chunk.id = NEW.job_chunk_id AND chunk.job_id = sample.job_id
        JOIN public.remediation_planchunkleaves stored ON stored.plan_chunk_id = chunk.plan_chunk_id
        WHERE sample.id = NEW.sample_id AND NEW.number BETWEEN 1 AND sample.size AND NEW.position BETWEEN 0 AND sample.population - 1
          AND chunk.status = 'done' AND NEW.leaf_number >= chunk.first_leaf AND NEW.leaf_number < chunk.first_leaf + chunk.leaf_count
          AND NEW.transaction_id BETWEEN chunk.first_transaction AND chunk.last_transaction
          AND NEW.leaf = substring(stored.leaves FROM NEW.leaf_number * 32 + 1 FOR 32)
          AND NOT EXISTS (SELECT FROM public.remediation_outcome outcome
                          WHERE outcome.job_id = sample.job_id AND outcome.transaction_id = NEW.transaction_id)
          AND (EXISTS (SELECT FROM public.transactions_calculation proposal
                       WHERE proposal.plan_chunk_id = chunk.plan_chunk_id AND proposal.transaction_id = NEW.transaction_id
                         AND proposal.id = NEW.calculation_id AND proposal.replaces_id = NEW.replaces_id)
               OR EXISTS (SELECT FROM public.remediation_planmember member
                          WHERE member.plan_chunk_id = chunk.plan_chunk_id AND member.transaction_id = NEW.transaction_id
                            AND member.calculation_id = NEW.calculation_id AND member.replaces_id = NEW.replaces_id))) THEN
        RAISE EXCEPTION 'transaction % is no correction that the job of audit sample % applied', NEW.transaction_id, NEW.sample_id
            USING ERRCODE = 'AM033';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_applied BEFORE INSERT ON remediation_auditsampleitem FOR EACH ROW EXECUTE FUNCTION amends_guard_audit_sample_item();
