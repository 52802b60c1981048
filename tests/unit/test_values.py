"""What can be stored is taken as plain data; what cannot is refused where it is, with a way out."""

from __future__ import annotations

import asyncio
import collections
import enum
import fractions
import math
import pathlib
import re
import struct
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from tests.unit.values import BERLIN, exactly

from perdure import limits
from perdure.core.codec import LEVELS_MAX, Code, pack, unpack
from perdure.core.values import same, take
from perdure.errors import Malformed, NewerFormat, NotStorable, UsageError

# ---- what becomes plain ---------------------------------------------------------------------


class Mood(enum.Enum):
    GOOD = "good"
    SCORE = 3
    NESTED = (1, [2])


class Level(enum.IntEnum):
    LOW = 1


class Tone(enum.StrEnum):
    DRY = "dry"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: list[int]


class OddStr(str):
    def __str__(self) -> str:
        return "something else"


class OddInt(int):
    def __int__(self) -> int:
        return -1

    def __index__(self) -> int:
        return -1


class OddFloat(float):
    def __float__(self) -> float:
        return -1.0


class OddBytes(bytes):
    def __bytes__(self) -> bytes:
        return b"something else"


class OddDict(dict[Any, Any]):
    def items(self) -> Any:
        raise AssertionError

    __iter__ = keys = values = items


class OddList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise AssertionError

    def __len__(self) -> int:
        return 99


class OddSet(set[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise AssertionError


@dataclass
class Note:
    text: str
    tags: set[str] = field(default_factory=set)
    parent: Note | None = None


@dataclass(frozen=True, slots=True)
class Slotted:
    at: datetime


@attrs.define
class Attrs:
    name: str
    notes: list[Note]


class Struct(msgspec.Struct, rename="camel"):
    full_name: str
    moods: list[Mood]


class Model(pydantic.BaseModel):
    mood: Mood
    notes: list[Note]
    by_tone: dict[Tone, int]
    at: datetime


class Root(pydantic.RootModel[list[int]]):
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Mood.GOOD, "good"),
        ([Mood.SCORE], [3]),
        (Mood.NESTED, (1, [2])),
        (Level.LOW, 1),
        (Tone.DRY, "dry"),
        (Rights.READ | Rights.WRITE, 3),
        (Point(1, [2]), (1, [2])),
        (OddStr("a"), "a"),
        (OddInt(5), 5),
        (OddFloat(0.5), 0.5),
        (OddBytes(b"a"), b"a"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (OddDict({"a": OddList([1])}), {"a": [1]}),
        (OddSet({1}), {1}),
        (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        ({Tone.DRY: 1, Mood.GOOD: 2, OddStr("k"): 3}, {"dry": 1, "good": 2, "k": 3}),
        (Note("n", {"t"}), {"text": "n", "tags": {"t"}, "parent": None}),
        (Slotted(datetime(2026, 1, 1, tzinfo=UTC)), {"at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (Attrs("a", [Note("n")]), {"name": "a", "notes": [take(Note("n"))]}),
        (Struct("Ann", [Mood.GOOD]), {"full_name": "Ann", "moods": ["good"]}),
        (Root([1, 2]), [1, 2]),
        ({frozenset({(1, Mood.GOOD)})}, {frozenset({(1, "good")})}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_becomes_plain(value: Any, expected: Any) -> None:
    assert exactly(take(value), expected)


def test_a_pydantic_model_becomes_plain_at_any_depth() -> None:
    at = datetime(2026, 5, 4, 3, 2, 1, tzinfo=BERLIN)
    model = Model(mood=Mood.GOOD, notes=[Note("n")], by_tone={Tone.DRY: 1}, at=at)
    notes = [{"text": "n", "tags": set[str](), "parent": None}]
    expected = {"mood": "good", "notes": notes, "by_tone": {"dry": 1}, "at": at}
    assert exactly(take([{"m": model}]), [{"m": expected}])


def test_an_ordered_dict_keeps_its_own_order() -> None:
    moved = collections.OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    assert list(take(moved)) == ["b", "a"]


def test_what_is_taken_shares_nothing_mutable() -> None:
    inner = [1]
    value = {"a": inner, "b": (inner, {"c": inner}), "s": {1}}
    taken = take(value)
    inner.append(2)
    value["s"].add(2)  # type: ignore[attr-defined]
    assert exactly(taken, {"a": [1], "b": ([1], {"c": [1]}), "s": {1}})


def test_a_uuid_forgets_whether_it_was_made_safely() -> None:
    made = uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe)
    assert take(made).is_safe is uuid.SafeUUID.unknown
    assert take(made) == made


# ---- what is refused ------------------------------------------------------------------------


def generator() -> Iterator[int]:
    yield 1


def named(module: str, name: str, **fields: Any) -> Any:
    """An object of a class that says it is from another library."""
    return type(name, (), {"__module__": module, **fields})()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1j, "[value.real, value.imag]"),
        (print, "look it up in your own table of what may be called"),
        (lambda: 1, "look it up in your own table of what may be called"),
        (Note, "the class Note cannot be stored; store its name"),
        (math, "the module math cannot be stored; store its name"),
        (generator(), "list(value)"),
        (range(3), "list(value)"),
        (collections.deque([1]), "list(value)"),
        ({}.keys(), "list(value)"),
        (collections.ChainMap(), "dict(value)"),
        (fractions.Fraction(1, 3), "str(value)"),
        (pathlib.PurePath("a"), "str(value)"),
        (re.compile("a"), "value.pattern"),
        (ValueError("x"), "str(value), or repr(value)"),
        (threading.Lock(), "locks live as long as a process"),
        (asyncio.Lock(), "locks live as long as a process"),
        (pydantic.SecretStr("hidden"), "keep secrets out of the state"),
        (named("numpy", "generic"), "value.item()"),
        (named("numpy", "ndarray"), "value.tolist()"),
        (named("pandas.core.frame", "DataFrame"), "its rows as dicts"),
        (named("pydantic.v1.main", "BaseModel"), "value.dict()"),
        (named("shop", "Basket"), "vars(value), or make its class a dataclass"),
        (named("shop", "Basket", __slots__=()), "store the plain values it is made of"),
        (object(), "store the plain values it is made of"),
        (Mood, "the class Mood"),
        ({1: 2}, "a key that is a value of type int (1)"),
        ({None: 2}, "use str(key), or store a list of [key, value] pairs"),
        ({(1, 2): 2}, "a value of type tuple cannot be stored"),
        ({b"a": 2}, "a value of type bytes"),
        ({Mood.SCORE: 1}, "Mood cannot be stored"),
        ({Mood.GOOD: 1, "good": 2}, "two of its keys would become one"),
        ({Mood.GOOD, "good"}, "two members of a set would become one"),
        ({Slotted(datetime(2026, 1, 1, tzinfo=UTC))}, "would become mutable"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_it_is_refused_with_a_way_out(value: Any, told: str) -> None:
    with pytest.raises(NotStorable) as refused:
        take({"l": [1, value]}, ("plan", "x"))
    assert told in str(refused.value)
    assert str(refused.value).startswith("plan/x/l/1: ")
    assert refused.value.path == ("plan", "x", "l", 1)
    assert isinstance(refused.value, UsageError)
    assert isinstance(refused.value, TypeError)
    assert "hidden" not in str(refused.value)


def test_an_open_file_is_refused(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "f").open("w") as file, pytest.raises(NotStorable, match="path of the file"):
        take(file)


def test_a_coroutine_is_refused() -> None:
    coroutine = asyncio.sleep(0)
    with pytest.raises(NotStorable, match="await it"):
        take(coroutine)
    coroutine.close()


def test_a_model_that_fails_to_give_its_data_is_refused_with_the_reason() -> None:
    note = Note("n")
    del note.text
    with pytest.raises(NotStorable, match=r"^a/b: this Note .*'text'"):
        take({"b": note}, ("a",))


def test_an_object_that_stands_only_for_itself_is_refused() -> None:
    class Endless:
        def model_dump(self, mode: str) -> Any:
            return Endless()

    with pytest.raises(NotStorable):
        take(Endless())


@pytest.mark.parametrize("kind", ["list", "dict", "dataclass"])
def test_a_value_that_contains_itself_is_refused_by_path(kind: str) -> None:
    loop: Any
    if kind == "list":
        loop = [0, {"in": ([],)}]
        loop[1]["in"][0].append(loop)
        end, start = "s/1/in/0/0", "s"
    elif kind == "dict":
        loop = {"a": {}}
        loop["a"]["b"] = loop["a"]
        end, start = "s/a/b", "s/a"
    else:
        loop = Note("n")
        loop.parent = loop
        end, start = "s/parent", "s"
    with pytest.raises(NotStorable) as refused:
        take(loop, ("s",))
    assert str(refused.value) == f"{end}: contains itself, as {start}"


def nested(levels: int, kind: type = list) -> Any:
    value: Any = None
    for _ in range(levels):
        value = {"a": value} if kind is dict else kind([value])
    return value


@pytest.mark.parametrize("kind", [list, dict, tuple, frozenset])
def test_values_may_be_nested_as_deep_as_the_limit(kind: type) -> None:
    deepest = nested(limits.depth_max, kind)
    assert exactly(take(deepest), deepest)
    assert same(unpack(pack(deepest)), deepest)
    with pytest.raises(NotStorable, match=r"^s.*: nested over 128 deep$"):
        take([deepest], ("s",))
    with pytest.raises(NotStorable, match="nested over 128 deep"):
        take(deepest, ("s", 0), depth=1)


def test_what_makes_itself_anew_at_each_look_is_too_deep() -> None:
    class Endless:
        def model_dump(self, mode: str) -> Any:
            return {"child": Endless()}

    with pytest.raises(NotStorable, match="nested over 128 deep"):
        take(Endless())


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
