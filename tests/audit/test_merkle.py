"""The Merkle root is RFC 6962's."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import EMPTY_ROOT, LeafSizeWrong, leaf_hash, merkle_root, split_leaves

leaves = st.binary(min_size=32, max_size=32)


def by_definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word: split at the largest power of two smaller than the size."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return sha256(b"\1" + by_definition(entries[:split]) + by_definition(entries[split:])).digest()


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_the_root_follows_the_definition(entries: list[bytes]) -> None:
    assert merkle_root(map(leaf_hash, entries)) == by_definition(entries)


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle_root([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(leaves, min_size=1, max_size=20), st.data())
def test_any_changed_swapped_added_or_dropped_leaf_changes_the_root(
    given_leaves: list[bytes], data: st.DataObject
) -> None:
    root = merkle_root(given_leaves)
    place = data.draw(st.integers(0, len(given_leaves) - 1))
    changed = given_leaves.copy()
    changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
    assert merkle_root(changed) != root
    assert merkle_root([*given_leaves, given_leaves[-1]]) != root
    assert merkle_root(given_leaves[:-1]) != root
    if given_leaves[::-1] != given_leaves:
        assert merkle_root(given_leaves[::-1]) != root


def test_a_leaf_of_another_size_is_refused() -> None:
    with pytest.raises(LeafSizeWrong):
        merkle_root([bytes(32), bytes(64)])


@given(st.lists(leaves, max_size=10))
def test_stored_leaves_are_split_again(given_leaves: list[bytes]) -> None:
    assert split_leaves(b"".join(given_leaves)) == given_leaves


def test_stored_leaves_that_do_not_come_out_even_are_refused() -> None:
    with pytest.raises(LeafSizeWrong):
        split_leaves(bytes(33))
