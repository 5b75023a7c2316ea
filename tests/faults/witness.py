"""A second book of every pointer that moves, kept by a trigger that only the campaign's database has.

What the engine says of itself is held against it: `faults_pointer_log` tells which transaction was moved from which calculation to
which, by which database transaction (`xid`, comparable with the xmin of the rows that it wrote), and when.
"""

from typing import Any

import psycopg

_SQL = """
CREATE TABLE faults_pointer_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id bigint NOT NULL,
    old_id bigint NOT NULL,
    new_id bigint NOT NULL,
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON faults_pointer_log (xid);
CREATE FUNCTION faults_witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.faults_pointer_log (transaction_id, old_id, new_id)
    SELECT transaction_id, before.calculation_id, after.calculation_id
    FROM before JOIN after USING (transaction_id)
    WHERE before.calculation_id <> after.calculation_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER faults_witness AFTER UPDATE ON transactions_currentcalculation
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION faults_witness();
GRANT SELECT ON faults_pointer_log TO PUBLIC;
"""


def install(owner: "psycopg.Connection[Any]") -> None:
    """Begin the book, as the owner of the database."""
    owner.execute(_SQL)
