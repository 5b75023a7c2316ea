-- What was said about a case stays said.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON remediation_casecomment FOR EACH ROW EXECUTE FUNCTION amends_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON remediation_casecomment FOR EACH STATEMENT EXECUTE FUNCTION amends_refuse_change();
