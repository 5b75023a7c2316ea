-- A case's trail is read in the order of time, its chunks' entries among it: they name their job in their data, and nothing else does that
-- finds them. The texts of remediation/trail_of_a_case.py and of this index have to agree.
CREATE INDEX auditentry_chunk_at ON audit_auditentry ((data ->> 'job'), occurred_at, id)
    WHERE subject_type IN ('remediation.jobchunk', 'remediation.planchunk');
