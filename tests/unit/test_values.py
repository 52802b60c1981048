"""What can be stored is taken as plain data; what cannot is refused where it is, with a way out."""

from __future__ import annotations

import asyncio
import collections
import fractions
import math
import pathlib
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from tests.unit.odd_values import (
    Level,
    Mood,
    OddBytes,
    OddDict,
    OddFloat,
    OddInt,
    OddList,
    OddSet,
    OddStr,
    Point,
    Rights,
    Tone,
    nested,
)
from tests.unit.values import BERLIN, exactly

from perdure import limits
from perdure.core.codec import pack, unpack
from perdure.core.values import same, take
from perdure.errors import NotStorable, UsageError

# ---- what becomes plain ---------------------------------------------------------------------


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
