"""What a plan's leaves are made of, and where two of its chunks could hold the same transaction."""

from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from remediation.conclusion import _shared_ranges
from remediation.models import PlanChunk
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, verified
from tests.remediation.incident import fee, report, totals
from tests.remediation.tampering import tamper
from transactions.canonical import LEAF_FORMAT

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25)), max_size=8)


@given(spans)
def test_only_where_chunks_overlap_is_looked_for_transactions_in_two_of_them(
    given_spans: list[tuple[int, int]],
) -> None:
    chunks = [(number, low, low + size) for number, (low, size) in enumerate(given_spans)]
    shared = _shared_ranges(chunks)
    for transaction in range(90):
        holders = {number for number, low, high in chunks if low <= transaction <= high}
        looked_at = [set(numbers) for numbers, low, high in shared if low <= transaction <= high]
        assert len(looked_at) <= 1
        if len(holders) > 1:
            assert looked_at
            assert holders <= looked_at[0]


@pytest.mark.usefixtures("committed_db")
def test_a_plan_whose_leaves_are_of_the_first_format_is_applied_and_verified_by_it(
    users: UserFactory, owner_connection: "psycopg.Connection[Any]"
) -> None:
    engineer, approver = _people(users)
    ids = report(4)
    plan = previewed(engineer)
    assert asked("SELECT leaf_format FROM remediation_planchunk") == LEAF_FORMAT == 2
    tamper(owner_connection, "UPDATE remediation_planchunk SET leaf_format = 1")
    chunk = plan.chunks.get()
    assert _recomputed(chunk) != _stored(chunk)
    tamper(owner_connection, f"UPDATE remediation_planchunkleaves SET leaves = ({_LEAVES.format(chunk.pk)})")
    tamper(
        owner_connection,
        f"UPDATE remediation_planchunk SET leaves_digest = sha256(({_LEAVES.format(chunk.pk)}))",
    )
    assert _recomputed(chunk) == _stored(chunk)
    tamper(
        owner_connection,
        "UPDATE remediation_plan SET manifest = jsonb_set(manifest, '{chunks}', to_jsonb(amends_chunks_digest(id)))",
    )
    tamper(
        owner_connection,
        "UPDATE remediation_plan SET digest = sha256(convert_to(manifest::text, 'UTF8'))",
    )
    plan.refresh_from_db()
    applied(approved(plan, approver), engineer)
    assert totals(ids) == [fee(1000 + i, 2) for i in range(4)]
    assert verified(plan.case, engineer)["problems"] == []


_LEAVES = "SELECT string_agg(leaf, ''::bytea ORDER BY transaction_id) FROM amends_chunk_moves({})"


def asked(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        (answer,) = cursor.fetchone()
    return answer


def _recomputed(chunk: PlanChunk) -> bytes:
    return bytes(asked(_LEAVES.format(chunk.pk)))


def _stored(chunk: PlanChunk) -> bytes:
    chunk.refresh_from_db()
    return bytes(chunk.leaves.leaves)


def _people(users: UserFactory) -> tuple[User, User]:
    return users("engineer"), users("approver")
