"""Values survive being taken, packed and unpacked, to the last bit (P13), and nothing else does."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure import limits
from perdure.core.codec import pack, pack_many, unpack
from perdure.core.values import same, take
from perdure.errors import Malformed, NewerFormat, NotStorable
from perdure.testing.strategies import hashables, scalars, values


def spelled(value: Any) -> Any:
    """All there is to know of a value, so that equal spellings mean the same value.

    Written without the code under test, and compared with it.
    """
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, [(key, spelled(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return kind, [spelled(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted((spelled(item) for item in value), key=repr)
    if isinstance(value, float):
        return kind, struct.pack("<d", value)
    if isinstance(value, Decimal):
        return kind, value.as_tuple()
    if isinstance(value, datetime | time):
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, spelled_zone(value.tzinfo)
    if isinstance(value, date | timedelta | UUID):
        return kind, repr(value)
    return kind, value


def spelled_zone(zone: Any) -> Any:
    if isinstance(zone, ZoneInfo):
        return "key", zone.key
    return "offset", repr(zone) if isinstance(zone, timezone) else zone


def containers_in(value: Any) -> list[Any]:
    """Every mutable container within, by identity."""
    children = value.values() if isinstance(value, dict) else value
    found = [value] if isinstance(value, dict | list | set) else []
    if isinstance(value, dict | list | tuple | set | frozenset):
        for child in children:
            found += containers_in(child)
    return found


@given(values())
def test_what_is_unpacked_is_what_was_packed(value: Any) -> None:
    back = unpack(pack(value))
    assert spelled(back) == spelled(value)
    assert same(back, value)
    assert pack(back) == pack(value)


@given(st.lists(values(), max_size=6))
@example([datetime(2026, 1, 1, tzinfo=UTC)])
@example([datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)])
@example([datetime(1926, 1, 1, tzinfo=UTC)])
@example([date(2026, 1, 1), time(1), timedelta(1), UUID(int=1), Decimal("1.0")])
@example([(1, 2), {1}, frozenset({1}), [], ()])
@example([float("nan"), -0.0, 2**64, -(2**63), True, 1, b"\xd6\xff", "\ud800", "\xff"])
def test_many_are_packed_as_they_are_one_by_one(many: list[Any]) -> None:
    assert pack_many(many) == pack(many)


@given(values())
def test_taking_a_plain_value_changes_nothing_and_shares_nothing(value: Any) -> None:
    before = spelled(value)
    taken = take(value)
    assert spelled(taken) == before == spelled(value)
    mine = {id(container) for container in containers_in(value)}
    assert mine.isdisjoint(id(container) for container in containers_in(taken))


@given(scalars(), scalars())
@example(1, True)
@example(0.0, -0.0)
@example(1, 1.0)
@example(float("nan"), -float("nan"))
@example(Decimal("1.0"), Decimal("1.00"))
@example(b"a", "a")
@example(UTC.utcoffset(None), 0)
@example(
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(0), "UTC")),
)
@example(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")))
@example(time(1, fold=0), time(1, fold=1))
def test_two_scalars_are_the_same_exactly_if_their_bytes_are(a: Any, b: Any) -> None:
    alike = spelled(a) == spelled(b)
    for one, other in ((a, b), ([a], [b]), ({"k": (a,)}, {"k": (b,)})):
        assert same(one, other) == alike
        assert (pack(one) == pack(other)) == alike


@given(values(), values())
@example({"a": 1, "b": 2}, {"b": 2, "a": 1})
@example([1], (1,))
@example({1}, {True})
@example({1}, frozenset({1}))
@example({}, [])
@example([1, 2], [1])
@example({"a": 1}, {"a": 1, "b": 1})
@example({"a": []}, {"a": {}})
def test_two_values_are_the_same_exactly_if_their_bytes_are(a: Any, b: Any) -> None:
    alike = spelled(a) == spelled(b)
    assert same(a, b) == alike
    assert (pack(a) == pack(b)) == alike


@given(st.sets(hashables(), max_size=8))
def test_the_order_in_which_a_set_grew_does_not_show(members: set[Any]) -> None:
    backwards: set[Any] = set()
    for member in reversed(list(members)):
        backwards.add(member)
    assert pack(backwards) == pack(members)


def unpack_or_refuse(data: bytes) -> None:
    """Nothing but these two is raised; what is read can be packed again, and is then the same."""
    try:
        value = unpack(data)
    except (Malformed, NewerFormat):
        return
    try:
        again = pack(value)
    except NotStorable:
        assert depth(value) > limits.depth_max
        return
    assert same(unpack(again), value)


def depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return 0
    return 1 + max(map(depth, children), default=0)


@given(st.binary(max_size=60))
def test_random_bytes_are_a_value_or_malformed(data: bytes) -> None:
    unpack_or_refuse(data)


@given(st.integers(0, 20), st.binary(max_size=40))
def test_random_extensions_are_a_value_or_malformed(code: int, payload: bytes) -> None:
    unpack_or_refuse(bytes([0xC7, len(payload), code]) + payload)


@given(values(), st.data())
def test_damaged_values_are_a_value_or_malformed(value: Any, data: st.DataObject) -> None:
    packed = bytearray(pack(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(packed) - 1))
        packed[at] = data.draw(st.integers(0, 255))
    unpack_or_refuse(bytes(packed))


@given(values(), st.data())
def test_a_value_cut_short_or_followed_by_more_is_malformed(
    value: Any, data: st.DataObject
) -> None:
    packed = pack(value)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(Malformed):
        unpack(packed[:cut])
    with pytest.raises(Malformed):
        unpack(packed + data.draw(st.binary(min_size=1, max_size=3)))
