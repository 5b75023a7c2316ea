-- What is written once stays as it was written. Privileges keep the application from UPDATE and DELETE; this trigger
-- keeps the owner from doing it by mistake, and says why. Every append-only table of every app carries it.
CREATE FUNCTION amends_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Write a new row that corrects the old one.';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
