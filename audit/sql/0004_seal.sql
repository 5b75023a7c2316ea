-- An entry's hash, format entry/1: what audit.seal.entry_hash computes in Python.
-- Its fields are joined as netstrings, the time as microseconds since 1970 UTC.
CREATE FUNCTION amends_entry_hash(entry audit_auditentry) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT sha256(convert_to(string_agg(octet_length(field)::text || ':' || field || ',', '' ORDER BY place), 'UTF8'))
    FROM unnest(ARRAY[
        'entry/1', (entry).id::text, (entry).event, coalesce((entry).actor_id::text, ''), (entry).actor_label, (entry).subject_type,
        (entry).subject_id::text, (entry).subject_label, (entry).reason, (entry).request_id, (entry).data::text,
        (extract(epoch FROM (entry).occurred_at) * 1000000)::bigint::text
    ]) WITH ORDINALITY AS told (field, place)
);

-- Every entry waits for its seal from the moment that it is committed. With the owner's rights: nobody else may write the queue, and so
-- nobody can write an entry that does not wait.
CREATE FUNCTION amends_queue_entries() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.audit_sealqueue (entry_id) SELECT id FROM written;
    RETURN NULL;
END
$$;
CREATE TRIGGER wait_for_seal AFTER INSERT ON audit_auditentry
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION amends_queue_entries();
INSERT INTO audit_sealqueue (entry_id) SELECT id FROM audit_auditentry;

INSERT INTO audit_trail (id, uuid) VALUES (1, gen_random_uuid());

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_trail FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_auditseal FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_auditseal FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_auditkey FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_auditkey FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_checkpoint FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_checkpointpublication FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_checkpointpublication
    FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
