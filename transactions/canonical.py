"""One text and one hash for one value, format version 1.

The canonical JSON of a value is what PostgreSQL prints for `value::jsonb::text`, so that a row can be hashed
in the database and here, independently, to the same bytes: keys ordered by their UTF-8 length and then their
bytes, ", " and ": " between, non-ASCII characters as they are. Hashes are taken over netstrings, so that no
field can be mistaken for part of another; leaves, of which there are millions, over fields of fixed size and texts
whose sizes stand before them. `amends_leaf_2` in this app's SQL computes `leaf_hash`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from audit.netstrings import netstrings

MAX_DEPTH = 64
"""Objects and lists inside each other that a value may have."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class NotCanonical(ValueError):
    """A value has no canonical JSON. The message says where in the value, and why."""


class FloatRefused(NotCanonical):
    """A float (or another inexact or unknown type) stands in a value; numbers with a point are kept as
    decimal texts.
    """


class TextRefused(NotCanonical):
    """A text holds what PostgreSQL cannot store: NUL, or half of a surrogate pair."""


class NestedTooDeep(NotCanonical):
    """A value has more than `MAX_DEPTH` levels."""


class _Refused(Exception):
    """Somewhere in the value is a part that has no canonical form; `_refuse` finds it."""


class NaiveTime(ValueError):
    """A time without an offset: it does not say when it is."""


def canonical_json(value: Any) -> str:
    """The text that PostgreSQL prints for `value` as jsonb.

    `value` is made of str, int, bool, None, list and dict with str keys. Raises `FloatRefused` for any other
    type, `TextRefused` for NUL and lone surrogates, `NestedTooDeep` beyond `MAX_DEPTH` levels.
    """
    try:
        text = _text_of(value)
    except _Refused:
        _refuse(value, ())
        raise
    # One look at the whole text instead of one at every part; only what looks wrong is walked again, for the
    # place.
    if "\\u0000" in text or not (text.isascii() or _is_utf8(text)):
        _refuse(value, ())
    return text


def _text_of(value: Any, levels: int = MAX_DEPTH) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int:
        return str(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if levels == 0:
        raise _Refused
    if kind is dict:
        return (
            "{"
            + ", ".join([start + _text_of(value[key], levels - 1) for key, start in _members(tuple(value))])
            + "}"
        )
    if kind is list:
        return "[" + ", ".join([_text_of(item, levels - 1) for item in value]) + "]"
    raise _Refused


@lru_cache(maxsize=4096)
def _members(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`keys` in jsonb's order, each with the text that opens its member. Remembered: rows of a source share
    their keys.
    """
    if not all(type(key) is str for key in keys):
        raise _Refused
    by_length = sorted(keys, key=_by_length_then_octets)
    return tuple((key, encode_basestring(key) + ": ") for key in by_length)


def _by_length_then_octets(key: str) -> tuple[int, bytes]:
    octets = key.encode("utf-8", "surrogatepass")
    return len(octets), octets


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(value: Any, path: tuple[str | int, ...]) -> None:
    """Raise for the first part of `value` that has no canonical form; `path` leads to it. Silent where there
    is none.
    """
    kind = type(value)
    if len(path) >= MAX_DEPTH and (kind is dict or kind is list):
        raise NestedTooDeep(f"The value has more than {MAX_DEPTH} levels. Flatten it.")
    if kind is str:
        _check_text(value, path)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise NotCanonical(f"{_at(path)}the key {key!r} is not a text.")
            _check_text(key, path)
            _refuse(item, (*path, key))
    elif kind is list:
        for index, item in enumerate(value):
            _refuse(item, (*path, index))
    elif not (kind is int or kind is bool or value is None):
        raise FloatRefused(
            f"{_at(path)}{kind.__name__} has no exact form. "
            'Keep numbers with a point as decimal texts, such as "12.30".'
        )


def _check_text(text: str, path: tuple[str | int, ...]) -> None:
    if "\0" in text:
        raise TextRefused(
            f"{_at(path)}the text holds a NUL character, which PostgreSQL cannot store. Remove it."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextRefused(
            f"{_at(path)}the text holds half of a surrogate pair at character {error.start + 1}: "
            "its encoding is broken."
        ) from None


def _at(path: tuple[str | int, ...]) -> str:
    return f"In {'.'.join(str(step) for step in path)}: " if path else ""


def microseconds(moment: datetime) -> int:
    """Microseconds from 1970-01-01T00:00Z to `moment`, exactly. Raises `NaiveTime` where it has no offset."""
    if moment.tzinfo is None:
        raise NaiveTime(f"{moment.isoformat()} has no offset. Give the time zone that it was written in.")
    return (moment - _EPOCH) // _MICROSECOND


def facts_hash(
    *,
    source: str,
    reference: str,
    store: str,
    currency: str,
    scale: int,
    occurred_at_us: int,
    inputs_text: str,
) -> bytes:
    """SHA-256 (32 bytes) of the facts of a transaction.

    `store` is the store's reference, `occurred_at_us` from `microseconds`, `inputs_text` from
    `canonical_json`.
    """
    fields = ("facts/1", source, reference, store, currency, str(scale), str(occurred_at_us), inputs_text)
    # `netstrings`, spelled out: an import comes here for every row.
    text = "".join([f"{len(field)}:{field}," for field in fields])
    if text.isascii():
        return sha256(text.encode()).digest()
    return sha256(netstrings(fields)).digest()


class CalculationFields(NamedTuple):
    """What a leaf covers of a calculation: its time in microseconds since 1970 UTC, its amounts as canonical
    JSON.
    """

    id: int
    transaction_id: int
    release_id: int
    calculated_at_us: int
    amounts_text: str


LEAF_FORMAT = 2
"""Format 2 of a leaf: SHA-256 over 0x00 (RFC 6962's mark of a leaf), "leaf/2", and then, as PostgreSQL sends them: id, transaction,
release and time of the calculation to stand on, the same of the one that it replaces, the facts' hash, the octets of both amounts' texts
(4 octets each), and both texts. Numbers are 8 octets, highest first; a time is microseconds since 2000-01-01T00:00Z. `amends_leaf_2`.
"""
_LEAF = Struct(">7s7q8s32s2I").pack
_LEAF_MARK = b"\0leaf/2"
_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01T00:00Z, in microseconds since 1970."""


def postgres_time(microseconds_since_1970: int) -> bytes:
    """A time as PostgreSQL sends it, `timestamptz_send`: 8 octets."""
    return (microseconds_since_1970 - _POSTGRES_EPOCH_US).to_bytes(8, "big", signed=True)


def leaf_hash(standing: CalculationFields, replaced: CalculationFields, facts_hash: bytes) -> bytes:
    """SHA-256 (32 bytes) of one move: the calculation to stand on, the one it replaces, and the facts of
    both.

    The same as `amends_leaf_2` in SQL, byte for byte.
    """
    amounts, replaced_amounts = standing.amounts_text.encode(), replaced.amounts_text.encode()
    fixed = _LEAF(
        _LEAF_MARK,
        *standing[:3],
        standing.calculated_at_us - _POSTGRES_EPOCH_US,
        *replaced[:3],
        postgres_time(replaced.calculated_at_us),
        facts_hash,
        len(amounts),
        len(replaced_amounts),
    )
    return sha256(fixed + amounts + replaced_amounts).digest()


_REPORTED = Struct(">11s4q32sI").pack
_REPORTED_MARK = b"\0reported/1"


def reported_leaf(calculation: CalculationFields, facts_hash: bytes) -> bytes:
    """SHA-256 (32 bytes) of one calculation that came in, and the facts it was made of, format `reported/1`.

    The same as `amends_reported_leaf` in SQL, byte for byte.
    """
    amounts = calculation.amounts_text.encode()
    fixed = _REPORTED(
        _REPORTED_MARK,
        *calculation[:3],
        calculation.calculated_at_us - _POSTGRES_EPOCH_US,
        facts_hash,
        len(amounts),
    )
    return sha256(fixed + amounts).digest()


def leaf_maker(
    *, standing_release: int, standing_at_us: int, replaced_release: int
) -> Callable[[int, int, str, int, bytes, str, bytes], bytes]:
    """`leaf_hash` for the moves of one chunk, which share releases and the time of the preview.

    The function takes transaction id, standing calculation's id and amounts' text, replaced calculation's id, time (as `postgres_time`)
    and amounts' text, and the facts' hash: nothing else changes from row to row, and a preview hashes every row.
    """
    standing_at = standing_at_us - _POSTGRES_EPOCH_US
    pack, mark = _LEAF, _LEAF_MARK

    def leaf(
        transaction_id: int,
        standing_id: int,
        standing_amounts: str,
        replaced_id: int,
        replaced_at: bytes,
        replaced_amounts: str,
        facts_hash: bytes,
    ) -> bytes:
        amounts, replaced = standing_amounts.encode(), replaced_amounts.encode()
        fixed = pack(
            mark,
            standing_id,
            transaction_id,
            standing_release,
            standing_at,
            replaced_id,
            transaction_id,
            replaced_release,
            replaced_at,
            facts_hash,
            len(amounts),
            len(replaced),
        )
        return sha256(fixed + amounts + replaced).digest()

    return leaf


def amounts_json(amounts: dict[str, int]) -> str:
    """`canonical_json` of amounts, which are whole numbers: a preview comes here for every row."""
    text, in_order = _amounts_form(tuple(amounts))
    joined: str = text % in_order(amounts)
    return joined


@lru_cache(maxsize=4096)
def _amounts_form(names: tuple[str, ...]) -> tuple[str, Callable[[dict[str, int]], Any]]:
    """Amounts of these names as a text with a place for each number, and what puts the numbers in their order."""
    members = _members(names)
    places = ", ".join(start.replace("%", "%%") + "%s" for _, start in members)
    in_order = itemgetter(*(name for name, _ in members)) if members else _no_amounts
    return f"{{{places}}}", in_order


def _no_amounts(_: dict[str, int]) -> tuple[()]:
    return ()
