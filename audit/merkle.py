"""Merkle trees as RFC 6962 section 2.1 defines them.

What a leaf stands for is hashed with 0x00 before it and an inner node with 0x01, so that one can never pass for the other. A
tree that is not full is split at the largest power of two below its size, and so no leaf is ever counted
twice.
"""

from collections.abc import Iterable
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""
LEAF_SIZE = 32
"""Octets of a leaf and of a root."""


class LeafSizeWrong(ValueError):
    """A leaf is not 32 octets."""


def leaf_hash(data: bytes) -> bytes:
    """The leaf (32 bytes) that stands for `data` in a tree."""
    return sha256(b"\0" + data).digest()


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The root (32 bytes) over `leaves`, which are hashes already, in their order. Raises `LeafSizeWrong`.

    Goes through the tree level by level: a node without a neighbour moves up as it is, which is RFC 6962's
    split.
    """
    level = list(leaves)
    for size in set(map(len, level)):
        if size != LEAF_SIZE:
            raise LeafSizeWrong(f"A leaf has {size} octets, not {LEAF_SIZE}.")
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        paired = [
            sha256(b"\1" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def split_leaves(stored: bytes) -> list[bytes]:
    """The leaves of a chunk, which are stored one after the other. Raises `LeafSizeWrong` where octets are
    left over.
    """
    if len(stored) % LEAF_SIZE:
        raise LeafSizeWrong(f"{len(stored)} octets are not a whole number of leaves of {LEAF_SIZE}.")
    return [stored[start : start + LEAF_SIZE] for start in range(0, len(stored), LEAF_SIZE)]
