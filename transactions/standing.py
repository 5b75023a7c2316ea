"""What transactions stand on, as SQL to read from: their calculations one by one, and their numbers by release and hour."""

from transactions.rollups import COUNTS
from transactions.selection import Condition, Selection

_ALONG_THE_KEYSET = """
    transactions_calculation c
    CROSS JOIN LATERAL (
        SELECT FROM transactions_currentcalculation current
        WHERE current.transaction_id = c.transaction_id AND current.calculation_id = c.id OFFSET 0
    ) AS standing
"""
_FACTS = """
    CROSS JOIN LATERAL (
        SELECT id, reference, store_id, currency, scale, occurred_at FROM transactions_transaction
        WHERE id = c.transaction_id OFFSET 0
    ) AS t
"""
_FROM_THE_FACTS = """
    transactions_transaction t
    CROSS JOIN LATERAL (
        SELECT calculation_id FROM transactions_currentcalculation WHERE transaction_id = t.id OFFSET 0
    ) AS standing
    CROSS JOIN LATERAL (
        SELECT id, transaction_id, release_id, calculated_at, total FROM transactions_calculation
        WHERE id BETWEEN standing.calculation_id AND standing.calculation_id AND transaction_id = t.id ORDER BY id LIMIT 1
    ) AS c
"""


def begins_at_facts(selection: Selection) -> bool:
    """Whether the transactions of stores or references are looked at, all of them, rather than those of a window."""
    return bool(selection.stores or selection.references)


def standing(selection: Selection, *, with_facts: bool = False) -> str:
    """SQL for FROM: calculations `c` that their transactions stand on and, `with_facts` or where the selection needs them, facts `t`.

    Everything is looked up by primary key, from the keyset or, where stores or references are selected, from their transactions. OFFSET 0
    keeps the planner from choosing otherwise. It takes the two columns of the pointer for independent, so it expects next to no match and
    would sort all for a page of them; and an ANALYZE during the first import finds no row, whereupon joins that look free take time by the
    square. A calculation is looked up by BETWEEN and ORDER BY for the same reason: then the keyset's index, which has the id last and must
    be gone through whole, seems as good as the primary key's.
    """
    if begins_at_facts(selection):
        return _FROM_THE_FACTS
    return _ALONG_THE_KEYSET + (_FACTS if with_facts or selection.needs_transaction else "")


def hours_where_any_stand(selection: Selection) -> Condition:
    """SQL for `release_id`, `hour`, `transactions` of every hour that the window touches, of `%(releases)s`, where any stand.

    The window is all of the selection that is looked at, and the hours that it begins and ends in are counted whole.
    """
    pieces, params = ["release_id = ANY(%(releases)s)"], {}
    if selection.calculated_from is not None:
        pieces.append("hour >= amends_hour(%(calculated_from)s)")
        params["calculated_from"] = selection.calculated_from
    if selection.calculated_before is not None:
        pieces.append("hour < %(calculated_before)s")
        params["calculated_before"] = selection.calculated_before
    return Condition(COUNTS.format(where=" AND ".join(pieces)), params)


def standing_by_hour(selection: Selection) -> Condition:
    """SQL for release, hour and number of the transactions in the selection's window, of `%(releases)s`; other criteria are not looked at.

    From the rollups, except for the hours that the window cuts in two: those are counted along the keyset, in the same snapshot.
    """
    hours = hours_where_any_stand(selection)
    whole, cut = [], []
    if selection.calculated_from is not None:
        whole.append("counted.hour >= %(calculated_from)s")
        cut.append("c.calculated_at >= %(calculated_from)s")
    if selection.calculated_before is not None:
        whole.append("counted.hour + interval '1 hour' <= %(calculated_before)s")
        cut.append("c.calculated_at < %(calculated_before)s")
    if not whole:
        return hours
    sql = f"""
        SELECT release_id, hour, transactions
        FROM (
            SELECT counted.release_id, counted.hour, CASE WHEN {" AND ".join(whole)} THEN counted.transactions ELSE (
                SELECT count(*) FROM {_ALONG_THE_KEYSET}
                WHERE c.release_id = counted.release_id AND c.calculated_at >= counted.hour
                  AND c.calculated_at < counted.hour + interval '1 hour' AND {" AND ".join(cut)}
            ) END AS transactions
            FROM ({hours.sql}) AS counted
        ) AS within
        WHERE transactions <> 0
    """
    return Condition(sql, hours.params)
