"""What came in leaves hashes: a leaf for each calculation with its facts, and the trail carries the root over them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.merkle import EMPTY_ROOT, leaf_hash, merkle_root, split_leaves
from audit.models import AuditEntry
from tests.conftest import UserFactory
from tests.transactions.test_ingest import NOON, reported, taken_in
from transactions import leaves
from transactions.canonical import (
    CalculationFields,
    canonical_json,
    facts_hash,
    microseconds,
    reported_leaf,
)
from transactions.leaves import AlreadyCovered, batch_root, cover_batch
from transactions.models import Calculation, IngestBatch, IngestLeaves

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@pytest.fixture
def engineer(db: None, users: UserFactory) -> User:
    return users("engineer")


def leaf_in_python(calculation: Calculation) -> bytes:
    """The leaf from the fields of the rows, not from any hash that is kept."""
    t = calculation.transaction
    facts = facts_hash(
        source=t.source,
        reference=t.reference,
        store=t.store.reference,
        currency=t.currency,
        scale=t.scale,
        occurred_at_us=microseconds(t.occurred_at),
        inputs_text=canonical_json(t.inputs),
    )
    return reported_leaf(
        CalculationFields(
            calculation.pk,
            t.pk,
            calculation.release_id,
            microseconds(calculation.calculated_at),
            canonical_json(calculation.amounts),
        ),
        facts,
    )


def expected_leaves(batch_id: int) -> list[bytes]:
    rows = Calculation.objects.filter(batch=batch_id).select_related("transaction__store").order_by("pk")
    return [leaf_in_python(each) for each in rows]


def entry_of(batch_id: int) -> dict[str, Any]:
    entry = AuditEntry.objects.get(subject_type="transactions.ingestbatch", subject_id=batch_id)
    return dict(entry.data)


def test_a_batch_keeps_a_leaf_for_each_calculation_and_its_entry_carries_their_root(engineer: User) -> None:
    batch = taken_in(engineer, *(reported(i) for i in range(3))).batch_id
    kept = IngestLeaves.objects.get(batch=batch)
    hashed = expected_leaves(batch)
    assert split_leaves(bytes(kept.leaves)) == hashed
    assert bytes(kept.root) == merkle_root(hashed)
    ids = sorted(Calculation.objects.values_list("pk", flat=True))
    assert (kept.position, kept.first_calculation, kept.last_calculation) == (0, ids[0], ids[-1])
    assert entry_of(batch)["calculations"] == 3
    assert entry_of(batch)["root"] == merkle_root([leaf_hash(merkle_root(hashed))]).hex()


def test_a_batch_is_kept_in_pieces_in_the_order_of_its_calculations(
    engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaves, "PIECE", 3)
    batch = taken_in(engineer, *(reported(i) for i in range(8))).batch_id
    pieces = list(IngestLeaves.objects.filter(batch=batch).order_by("position"))
    assert [(piece.position, len(piece.leaves) // 32) for piece in pieces] == [(0, 3), (1, 3), (2, 2)]
    assert b"".join(bytes(piece.leaves) for piece in pieces) == b"".join(expected_leaves(batch))
    ids = sorted(Calculation.objects.values_list("pk", flat=True))
    spans = [(piece.first_calculation, piece.last_calculation) for piece in pieces]
    assert spans == [(ids[0], ids[2]), (ids[3], ids[5]), (ids[6], ids[7])]
    assert entry_of(batch)["root"] == batch_root(bytes(piece.root) for piece in pieces).hex()


def test_only_what_is_new_leaves_a_leaf(engineer: User) -> None:
    taken_in(engineer, reported(0))
    later = reported(0, calculated_at=NOON + timedelta(hours=2), amounts={"fee": 500, "total": 500})
    batch = taken_in(engineer, reported(0), later, reported(1)).batch_id
    assert split_leaves(bytes(IngestLeaves.objects.get(batch=batch).leaves)) == expected_leaves(batch)
    assert entry_of(batch)["calculations"] == 2
    assert taken_in(engineer, reported(0)).batch_id is None
    assert IngestLeaves.objects.count() == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            texts.filter(bool),
            texts.filter(bool),
            st.dictionaries(texts, texts | st.integers(-(10**30), 10**30) | st.none(), max_size=4),
            st.dictionaries(texts, st.integers(-(10**40), 10**40), max_size=3),
            st.integers(-(2**63), 2**63 - 1),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda row: row[0],
    )
)
def test_the_database_and_python_agree_on_hostile_values(engineer: User, rows: list[Any]) -> None:
    before = IngestBatch.objects.count()
    records = [
        reported(i, reference=reference, store=store, inputs=inputs, amounts=amounts | {"total": total})
        for i, (reference, store, inputs, amounts, total) in enumerate(rows)
    ]
    with transaction.atomic():
        batch = taken_in(engineer, *records, source=f"hostile {before}").batch_id
    assert split_leaves(bytes(IngestLeaves.objects.get(batch=batch).leaves)) == expected_leaves(batch)


def test_a_batch_that_came_in_by_other_means_is_covered_once(db: None) -> None:
    batch = IngestBatch.objects.create(source="old", origin="before leaves were kept")
    cover_batch(batch)
    assert entry_of(batch.pk) == {"calculations": 0, "root": EMPTY_ROOT.hex()}


def test_a_covered_batch_is_not_covered_again(engineer: User) -> None:
    taken_in(engineer, reported(0))
    batch = IngestBatch.objects.get()
    with pytest.raises(AlreadyCovered):
        cover_batch(batch)
