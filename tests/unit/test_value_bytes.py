"""Bytes of values: what is packed, and what no value packs to."""

from __future__ import annotations

import re
import struct
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.odd_values import (
    Mood,
    OddDict,
    OddList,
    OddSet,
    OddStr,
    nested,
)
from tests.unit.values import exactly

from perdure import limits
from perdure.core.codec import LEVELS_MAX, Code, pack, unpack
from perdure.core.values import same, take
from perdure.errors import Malformed, NewerFormat, NotStorable


def test_the_codec_leaves_room_around_the_deepest_value_and_no_more() -> None:
    assert unpack(pack(nested(LEVELS_MAX))) == nested(LEVELS_MAX)
    for kind in (list, dict, tuple, frozenset):
        with pytest.raises(NotStorable, match="deep"):
            pack(nested(LEVELS_MAX + 1, kind))
    with pytest.raises(NotStorable):
        pack([nested(LEVELS_MAX), 2**70])


def test_the_codec_takes_only_plain_values() -> None:
    for value in (object(), [{"a": Mood.GOOD}], OddStr("a"), (1j,), {1: 2}, [{None: 1}]):
        with pytest.raises(NotStorable):
            pack(value)


def test_the_codec_reads_containers_beneath_what_they_override() -> None:
    value = OddDict({"a": OddList([OddSet({1}), (1,)]), "b": OddDict()})
    assert exactly(unpack(pack(value)), {"a": [{1}, (1,)], "b": {}})
    assert same(value, {"a": [{1}, (1,)], "b": {}})
    assert not same(value, {"a": [{1}, (1, 2)], "b": {}})


def test_packing_changes_nothing() -> None:
    value = {"a": [(1,), {2}], "b": {"\ud800": 2**99}}
    pack(value)
    assert exactly(value, {"a": [(1,), {2}], "b": {"\ud800": 2**99}})


@pytest.mark.parametrize(
    "around",
    [
        lambda value: {"\ud800": value},
        lambda value: ({"\ud800": value},),
        lambda value: [{"\ud800": (value, 2**99)}],
        lambda value: {"a": ("\ud800", frozenset({1, "\ud800"})), "\ud800": value},
    ],
    ids=["map", "tuple", "list", "members"],
)
def test_odd_texts_are_packed_once_however_deep_they_are(around: Any) -> None:
    value: Any = 1
    for _ in range(limits.depth_max // 3):
        value = around(value)
    assert exactly(unpack(pack(take(value))), value)


# ---- bytes ----------------------------------------------------------------------------------


def extension(code: int, payload: bytes) -> bytes:
    return struct.pack(">BBB", 0xC7, len(payload), code) + payload


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (extension(Code.BIGINT, b"\x05"), "more bytes than it needs"),
        (extension(Code.BIGINT, b""), "more bytes than it needs"),
        (extension(Code.BIGINT, b"\x00" * 3 + b"\xff" * 9), "more bytes than it needs"),
        (extension(Code.DATETIME, b"\x07\xe0"), "requires a buffer"),
        (extension(Code.DATE, b"\x07\xe0\x0d\x01"), "month"),
        (extension(Code.DATE, b"\x07\xe0\x01\x01\x00"), "requires a buffer"),
        (extension(Code.TIME, b"\x01\x00\x00\x00\x00\x00\x00\x20"), "unknown flags"),
        (extension(Code.TIME, b"\x01\x00\x00\x00\x00\x00\x00\x00z"), "more bytes"),
        (extension(Code.TIME, b"\x01\x00\x00\x00\x00\x00\x00\x02"), "requires a buffer"),
        (extension(Code.TIME, b"\x01" + b"\x00" * 6 + b"\x02\x7f" + b"\xff" * 7), "a day or more"),
        (extension(Code.TIMEDELTA, struct.pack(">iII", 1, 86_400, 0)), "normal form"),
        (extension(Code.TIMEDELTA, struct.pack(">iII", 2**31 - 1, 0, 0)), "days"),
        (extension(Code.UUID, b"x" * 15), "16"),
        (extension(Code.DECIMAL, b"1_0"), "unusual"),
        (extension(Code.DECIMAL, b"one"), "ConversionSyntax"),
        (extension(Code.DECIMAL, b"1e5"), "unusual"),
        (extension(Code.TUPLE, b"\x80"), "should hold an array"),
        (extension(Code.TUPLE, b"\x90\x90"), "trailing"),
        (extension(Code.SET, b"\x92\x01\x01"), "a member twice"),
        (extension(Code.SET, b"\x91\x90"), "unhashable"),
        (extension(Code.TEXT, b"plain"), "needs no extension"),
        (extension(Code.MAP, b"\x91\xa1a"), "not a packed value"),
        (extension(Code.MAP, b"\x92\x01\x01"), "a key of type int"),
        (extension(Code.MAP, b"\x94\xa1a\x01\xa1a\x01"), "a key twice"),
        (b"\x81\x01\x01", "a key of type int"),
        (b"\x91\x81\xc0\x01", "a key of type NoneType"),
        (extension(Code.TUPLE, b"\x91\x81\xc3\x01"), "a key of type bool"),
        (b"\x91" * 100_000, "recursion"),
        (b"\xdd\xff\xff\xff\xff", "truncated"),
        (b"\x01\x01", "trailing"),
        (b"", "truncated"),
    ],
)
def test_bytes_that_no_value_packs_to_are_malformed(data: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=re.escape(told)):
        unpack(data)
    with pytest.raises(Malformed):
        unpack(memoryview(data))


def test_a_value_of_a_newer_kind_is_of_a_newer_format_P10() -> None:
    for data in (extension(99, b""), b"\x91" + extension(99, b""), extension(8, b"\x91\xc7\0\x63")):
        with pytest.raises(NewerFormat, match=r"type 99 is unknown.*pip install --upgrade"):
            unpack(data)


def test_a_decimal_packs_alike_whatever_the_thread_prefers() -> None:
    import decimal

    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert exactly(unpack(pack(Decimal("1.25E+30"))), Decimal("1.25E+30"))
        assert pack(Decimal("1E+30")).endswith(b"1E+30")


def test_two_nans_in_a_set_stay_two() -> None:
    two = {float("nan"), float("nan")}
    assert len(two) == 2
    assert len(unpack(pack(two))) == 2
    assert same(unpack(pack(two)), two)
