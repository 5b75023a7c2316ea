"""The rollups of what transactions stand on, by release and hour: folding them, and proving that they equal the rows.

`recount()` is the proof: it lists every count that differs from the rows, of one state of the database, so it may be asked at any
time, while others write. It reads every pointer. `manage.py recount_rollups` asks it for people and scripts.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

COUNTS = """
    SELECT release_id, hour, sum(transactions)::bigint AS transactions
    FROM (
        SELECT release_id, hour, transactions FROM transactions_standingcount WHERE {where}
        UNION ALL
        SELECT release_id, hour, change FROM transactions_standingchange WHERE {where}
    ) AS parts
    GROUP BY release_id, hour
    HAVING sum(transactions) <> 0
"""
"""SQL for the counts as they are: what was folded and what was not yet, of one snapshot, since it is one statement.

`where` narrows it, by release_id and hour.
"""


@dataclass(frozen=True)
class Difference:
    """A count that is not what the rows say. `hour` is its beginning, in UTC."""

    release_id: int
    hour: datetime
    rollup: int
    rows: int


def recount() -> list[Difference]:
    """Every count that differs from the rows; an empty list where they agree. Reads every pointer, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH counted AS (
                SELECT c.release_id, amends_hour(c.calculated_at) AS hour, count(*) AS transactions
                FROM transactions_currentcalculation current
                JOIN transactions_calculation c ON c.id = current.calculation_id
                GROUP BY 1, 2
            )
            SELECT release_id, hour, coalesce(kept.transactions, 0), coalesce(counted.transactions, 0)
            FROM ({COUNTS.format(where="TRUE")}) AS kept FULL JOIN counted USING (release_id, hour)
            WHERE kept.transactions IS DISTINCT FROM counted.transactions
            ORDER BY release_id, hour
            """
        )
        return [Difference(*row) for row in cursor.fetchall()]


def fold_counts() -> int:
    """Add up what pointers that moved wrote since the last time; how many rows that was. Safe to be asked by several at once.

    Readers are exact without it; they only have less to add up themselves.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT amends_fold_counts()")
        return int(cursor.fetchone()[0])
