"""A uniform random sample of what stands in a window, drawn without reading all of it."""

from django.db import connection

from transactions.selection import Condition, Selection
from transactions.standing import standing, standing_by_hour

_INDEX_ENTRY = 0.2
_PROBE = 2.0
"""Microseconds, about: reading an entry of the keyset's index, and looking for a random id. They only decide between the two ways."""


def random_sample(selection: Selection, *, size: int, seed: int) -> Condition:
    """SQL for two parts of a WITH clause over `%(releases)s`: `member`, and `frame` with one row.

    About `size` of the transactions that stand in the selection's window are looked at (`frame.looked_at`), of all that do
    (`frame.standing`, exact). Those that match the rest of the selection too are `member`s: id, transaction_id, release_id,
    calculated_at, total of the calculation, currency and scale. The same seed in the same database gives the same sample.
    They are looked up in the order of their ids, which is about the order that they lie in.
    """
    window = selection.window
    hours, condition = standing_by_hour(window), selection.condition()
    population, low, high = _known(window)
    drawn = _ids(window, size, population, low, high)
    sql = f"""
        looked_up AS MATERIALIZED ({drawn.sql} ORDER BY id),
        framed AS MATERIALIZED (
            SELECT c.* FROM looked_up
            CROSS JOIN LATERAL (
                SELECT id, transaction_id, release_id, calculated_at, total FROM transactions_calculation
                WHERE id BETWEEN looked_up.id AND looked_up.id ORDER BY id LIMIT 1
            ) AS c
            CROSS JOIN LATERAL (
                SELECT FROM transactions_currentcalculation current
                WHERE current.transaction_id = c.transaction_id AND current.calculation_id = c.id OFFSET 0
            ) AS standing
            WHERE c.release_id = ANY(%(releases)s) AND {window.condition().sql}
        ),
        member AS MATERIALIZED (
            SELECT c.*, t.currency, t.scale FROM framed c
            CROSS JOIN LATERAL (
                SELECT reference, store_id, currency, scale, occurred_at FROM transactions_transaction WHERE id = c.transaction_id OFFSET 0
            ) AS t
            WHERE {condition.sql}
        ),
        frame AS MATERIALIZED (
            SELECT (SELECT count(*) FROM framed) AS looked_at, (SELECT sum(transactions)::bigint FROM ({hours.sql}) AS counted) AS standing
        )
    """
    return Condition(sql, hours.params | condition.params | drawn.params | {"seed": seed})


def everything(selection: Selection) -> Condition:
    """The same two parts of a WITH clause, of all that match: `looked_at` and `standing` are then null."""
    condition = selection.condition()
    sql = f"""
        member AS MATERIALIZED (
            SELECT c.id, c.transaction_id, c.release_id, c.calculated_at, c.total, t.currency, t.scale
            FROM {standing(selection, with_facts=True)}
            WHERE c.release_id = ANY(%(releases)s) AND {condition.sql}
        ),
        frame AS (SELECT NULL::bigint AS looked_at, NULL::bigint AS standing)
    """
    return Condition(sql, condition.params)


def _known(window: Selection) -> tuple[int, int, int]:
    """How many stand in the window, and from which id to which calculations reach. What is drawn by it stays right where they grow."""
    hours = standing_by_hour(window)
    releases = [release.pk for release in window.releases()]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT coalesce(sum(transactions), 0)::bigint FROM ({hours.sql}) AS counted),"
            " (SELECT coalesce(min(id), 0) FROM transactions_calculation), (SELECT coalesce(max(id), 0) FROM transactions_calculation)",
            hours.params | {"releases": releases},
        )
        found: tuple[int, int, int] = cursor.fetchone()
    return found


def _ids(window: Selection, size: int, population: int, low: int, high: int) -> Condition:
    """SQL for the ids that are looked at; the caller leaves out those that are not in the window, or do not stand.

    Either those of the window whose hash is lowest, read from the keyset's index alone; or, where the window is large, ids drawn at
    random from all there are, which costs the more the fewer of those are in it.
    """
    share = min(size / population, 1.0) if population else 1.0
    probes = int(share * (high - low + 1))
    if probes * _PROBE < population * _INDEX_ENTRY:
        sql = """
            SELECT DISTINCT %(low)s + (hashint8extended(number, %(seed)s) & 9223372036854775807) %% %(span)s AS id
            FROM generate_series(1, %(probes)s::bigint) AS number
        """
        return Condition(sql, {"low": low, "span": high - low + 1, "probes": probes})
    # Of the 2^64 hashes, so large a share, from the lowest up.
    bound = min(round(share * 2**64) - 2**63, 2**63 - 1)
    sql = f"""
        SELECT c.id FROM transactions_calculation c
        WHERE c.release_id = ANY(%(releases)s) AND {window.condition().sql} AND hashint8extended(c.id, %(seed)s) <= %(bound)s
    """
    return Condition(sql, {"bound": bound})
