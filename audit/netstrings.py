"""Texts joined so that none can be mistaken for part of another, ready to be hashed: https://cr.yp.to/proto/netstrings.txt."""

from collections.abc import Iterable


def netstrings(fields: Iterable[str]) -> bytes:
    """Each of `fields` in UTF-8 with its length in octets before it, joined: "abc" and "" give b"3:abc,0:,"."""
    return b"".join([b"%d:%b," % (len(octets), octets) for octets in map(str.encode, fields)])
