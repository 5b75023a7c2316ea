-- What the figures of a chunk were when it was scanned stays.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON remediation_planchunkfigures FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON remediation_planchunkfigures FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
