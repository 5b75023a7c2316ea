"""The canonical text is PostgreSQL's own, and the hashes over it are the database's."""

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.netstrings import netstrings
from transactions.canonical import (
    MAX_DEPTH,
    CalculationFields,
    FloatRefused,
    NaiveTime,
    NestedTooDeep,
    NotCanonical,
    TextRefused,
    amounts_json,
    canonical_json,
    facts_hash,
    leaf_hash,
    leaf_maker,
    microseconds,
    postgres_time,
    reported_leaf,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=6),
    max_leaves=20,
)
in_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def asked(sql: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


@in_database
@given(values)
def test_the_text_is_what_postgresql_prints(db: None, value: Any) -> None:
    assert canonical_json(value) == asked("SELECT %s::jsonb::text", json.dumps(value))


def test_keys_are_ordered_by_length_and_then_octets() -> None:
    value = {"total": 1, "é": 2, "zz": 3, "a": 4, "tax": 5, "ab": 6, "Z": 7}
    assert canonical_json(value) == '{"Z": 7, "a": 4, "ab": 6, "zz": 3, "é": 2, "tax": 5, "total": 1}'


def test_texts_are_escaped_as_postgresql_does_it() -> None:
    assert canonical_json(['"\\/', "\b\f\n\r\t", "\x01\x1f\x7f", "é€😀", "\\u0000"]) == (
        '["\\"\\\\/", "\\b\\f\\n\\r\\t", "\\u0001\\u001f\x7f", "é€😀", "\\\\u0000"]'
    )


@pytest.mark.parametrize(
    "value", [1.5, {"lines": [{"price": 1.0}]}, [b"x"], {"a": (1,)}, {"a": {1, 2}}, object()]
)
def test_what_has_no_exact_form_is_refused(value: Any) -> None:
    with pytest.raises(FloatRefused):
        canonical_json(value)


def test_the_refusal_says_where() -> None:
    with pytest.raises(FloatRefused, match=r"^In lines\.1\.price: float has no exact form"):
        canonical_json({"lines": [{"price": "1.00"}, {"price": 1.0}]})
    with pytest.raises(NotCanonical, match="the key 1 is not a text"):
        canonical_json({"a": {1: "x"}})


@pytest.mark.parametrize("broken", ["a\0b", "a\ud800b", "\udfff"])
def test_nul_and_half_a_surrogate_pair_are_refused_in_texts_and_keys(broken: str) -> None:
    for value in (broken, [broken], {"a": broken}, {broken: 1}):
        with pytest.raises(TextRefused):
            canonical_json(value)


def test_a_value_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    value: Any = None
    for _ in range(MAX_DEPTH):
        value = [value]
    assert canonical_json(value) == "[" * MAX_DEPTH + "null" + "]" * MAX_DEPTH
    with pytest.raises(NestedTooDeep):
        canonical_json([value])


def test_a_netstring_counts_octets() -> None:
    assert netstrings(["aé"]) == "3:aé,".encode()
    assert netstrings([""]) == b"0:,"


def test_the_same_moment_in_two_zones_has_the_same_microseconds() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
    assert (
        microseconds(moment)
        == microseconds(moment.astimezone(timezone(timedelta(hours=9))))
        == 1772366400123457
    )
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)) == -1
    with pytest.raises(NaiveTime):
        microseconds(datetime(2026, 3, 1))  # noqa: DTZ001


def test_facts_hash_is_over_the_netstrings_of_the_facts() -> None:
    hashed = facts_hash(
        source="till",
        reference="A:1",
        store="store-1",
        currency="USD",
        scale=2,
        occurred_at_us=-5,
        inputs_text="{}",
    )
    assert hashed == sha256(b"7:facts/1,4:till,3:A:1,7:store-1,3:USD,1:2,2:-5,2:{},").digest()


def test_moving_a_character_from_one_fact_to_the_next_changes_the_hash() -> None:
    rest: dict[str, Any] = {
        "store": "s",
        "currency": "USD",
        "scale": 2,
        "occurred_at_us": 0,
        "inputs_text": "{}",
    }
    assert facts_hash(source="ab", reference="c", **rest) != facts_hash(source="a", reference="bc", **rest)


ids = st.integers(1, 2**63 - 1)
moments = st.datetimes(datetime(1900, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
calculations = st.tuples(
    ids, ids, ids, moments, st.dictionaries(texts, st.integers(-(2**63), 2**63 - 1), max_size=6)
)


@in_database
@given(calculations, calculations, st.binary(min_size=32, max_size=32))
def test_the_leaf_is_the_one_that_the_database_computes(
    db: None, standing: tuple[Any, ...], replaced: tuple[Any, ...], facts: bytes
) -> None:
    def fields(of: tuple[Any, ...]) -> CalculationFields:
        return CalculationFields(of[0], of[1], of[2], microseconds(of[3]), canonical_json(of[4]))

    def params(of: tuple[Any, ...]) -> list[object]:
        return [*of[:4], json.dumps(of[4])]

    in_sql = asked(
        "SELECT amends_leaf_2(%s, %s, %s, %s, %s::jsonb::text, %s, %s, %s, %s, %s::jsonb::text, %s)",
        *params(standing),
        *params(replaced),
        facts,
    )
    assert leaf_hash(fields(standing), fields(replaced), facts) == bytes(in_sql)


@given(calculations, calculations, st.binary(min_size=32, max_size=32))
def test_a_chunks_leaf_maker_makes_the_same_leaf(
    standing: tuple[Any, ...], replaced: tuple[Any, ...], facts: bytes
) -> None:
    at, replaced_at = microseconds(standing[3]), microseconds(replaced[3])
    amounts, replaced_amounts = amounts_json(standing[4]), amounts_json(replaced[4])
    assert amounts == canonical_json(standing[4])
    leaf = leaf_maker(standing_release=standing[2], standing_at_us=at, replaced_release=replaced[2])
    assert leaf(
        standing[1], standing[0], amounts, replaced[0], postgres_time(replaced_at), replaced_amounts, facts
    ) == leaf_hash(
        CalculationFields(*standing[:3], at, amounts),
        CalculationFields(replaced[0], standing[1], replaced[2], replaced_at, replaced_amounts),
        facts,
    )


@in_database
@given(calculations, st.binary(min_size=32, max_size=32))
def test_the_reported_leaf_is_the_one_that_the_database_computes(
    db: None, reported: tuple[Any, ...], facts: bytes
) -> None:
    in_sql = asked(
        "SELECT amends_reported_leaf(%s, %s, %s, %s, %s, %s::jsonb::text)",
        *reported[:4],
        facts,
        json.dumps(reported[4]),
    )
    fields = CalculationFields(*reported[:3], microseconds(reported[3]), canonical_json(reported[4]))
    assert reported_leaf(fields, facts) == bytes(in_sql)


def test_every_field_of_a_reported_leaf_counts_and_none_passes_for_another() -> None:
    reported = CalculationFields(2, 7, 1, 10, '{"total": 1}')
    leaves = {reported_leaf(reported, bytes(32)), reported_leaf(reported, bytes(31) + b"\1")}
    others: dict[str, Any] = {
        "id": 3,
        "transaction_id": 8,
        "release_id": 2,
        "calculated_at_us": 11,
        "amounts_text": '{"total": 2}',
    }
    for name, other in others.items():
        leaves.add(reported_leaf(reported._replace(**{name: other}), bytes(32)))
    leaves.add(reported_leaf(CalculationFields(7, 2, 1, 10, '{"total": 1}'), bytes(32)))
    assert len(leaves) == 8
    assert (
        reported_leaf(reported, bytes(32))
        == sha256(
            b"\0reported/1"
            + (2).to_bytes(8, "big")
            + (7).to_bytes(8, "big")
            + (1).to_bytes(8, "big")
            + postgres_time(10)
            + bytes(32)
            + (12).to_bytes(4, "big")
            + b'{"total": 1}'
        ).digest()
    )


def test_every_field_of_a_leaf_counts() -> None:
    standing = CalculationFields(2, 7, 1, 10, '{"total": 1}')
    replaced = CalculationFields(1, 7, 1, 9, '{"total": 2}')
    leaves = {leaf_hash(standing, replaced, bytes(32)), leaf_hash(replaced, standing, bytes(32))}
    leaves.add(leaf_hash(standing, replaced, bytes(31) + b"\1"))
    others: dict[str, Any] = {
        "id": 3,
        "transaction_id": 8,
        "release_id": 2,
        "calculated_at_us": 11,
        "amounts_text": "{}",
    }
    for name, other in others.items():
        changed = {name: other}
        leaves.add(leaf_hash(standing._replace(**changed), replaced, bytes(32)))
        leaves.add(leaf_hash(standing, replaced._replace(**changed), bytes(32)))
    assert len(leaves) == 13
