"""Typed states: each kind of field, in each kind of model: set, read, refused, and read again."""

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import msgspec
import pydantic
import pytest
import typing_extensions
from typing_extensions import TypedDict

import perdure
from perdure.core.changes import Set, pack_changes, unpack_changes
from perdure.core.values import same
from perdure.errors import BadStored, NotStorable, WrongType
from perdure.state import Document
from perdure.state.typed import install, typed_state


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Word(StrEnum):
    YES = "yes"


class Level(IntEnum):
    LOW = 1


class Mode(Flag):
    READ = auto()
    WRITE = auto()


UserId = NewType("UserId", str)
Names = typing_extensions.TypeAliasType("Names", list[str])
T = typing.TypeVar("T")
Pair = typing_extensions.TypeAliasType("Pair", tuple[T, T], type_params=(T,))


class Span(NamedTuple):
    start: int
    colour: Colour = Colour.RED


@dataclass
class Item:
    title: str
    size: int = 0


@dataclass(frozen=True)
class Still:
    title: str


class StillStruct(msgspec.Struct, frozen=True):
    title: str


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Cow(msgspec.Struct, tag="cow"):
    name: str


@dataclass
class One:
    size: int
    kind: Literal["one"] = "one"


@dataclass
class Two:
    size: int
    kind: Literal["two"] = "two"


class Loose(TypedDict, total=False):
    colour: Colour
    size: int


class Exact(TypedDict):
    size: typing_extensions.Required[int]
    text: typing_extensions.NotRequired[str]
    name: typing_extensions.NotRequired[str]


LOOSE = pydantic.ConfigDict(arbitrary_types_allowed=True)
MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=2)))

Case = tuple[Any, Any, Any, Any]
"""An annotation, a value, what is stored of it, and a value that is refused."""

VALUES: dict[str, Case] = {
    "str": (str, "a", "a", 1),
    "int": (int, 10**30, 10**30, True),
    "int, not a float": (int, 1, 1, 1.0),
    "float": (float, 1.5, 1.5, "1.5"),
    "int for float": (float, 3, 3, True),
    "bool": (bool, True, True, 1),
    "bytes": (bytes, b"\x00", b"\x00", "a"),
    "Decimal": (Decimal, Decimal("1.50"), Decimal("1.50"), 1.5),
    "UUID": (UUID, UUID(int=5), UUID(int=5), str(UUID(int=5))),
    "date": (date, date(2026, 1, 2), date(2026, 1, 2), MOMENT),
    "time": (time, time(1, 2), time(1, 2), "01:02"),
    "timedelta": (timedelta, timedelta(1), timedelta(1), 1),
    "datetime": (datetime, MOMENT, MOMENT, "2026"),
    "datetime in UTC": (
        datetime,
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        1,
    ),
    "NewType": (UserId, UserId("u"), "u", 1),
    "alias": (Names, ["a"], ["a"], [1]),
    "generic alias": (Pair[int], (1, 2), (1, 2), (1, "2")),
    "Literal": (Literal["a", 1], 1, 1, True),
    "Literal of members": (Literal[Colour.RED], Colour.RED, "red", Colour.BLUE),
    "Optional": (int | None, None, None, "x"),
    "Enum": (Colour, Colour.BLUE, "blue", "green"),
    "str Enum": (Word, Word.YES, "yes", "no"),
    "IntEnum": (Level, Level.LOW, 1, 2),
    "Flag": (Mode, Mode.READ | Mode.WRITE, 3, 8),
    "list of Enums": (list[Colour], [Colour.RED], ["red"], ["x"]),
    "dict of Enums": (dict[str, Colour], {"a": Colour.RED}, {"a": "red"}, {"a": 1}),
    "set": (set[int], {1, 2}, {1, 2}, {"a"}),
    "set of Enums": (set[Colour], {Colour.RED}, {"red"}, {"x"}),
    "set of tuples": (set[tuple[int, Colour]], {(1, Colour.RED)}, {(1, "red")}, {(1, "x")}),
    "frozenset": (frozenset[int], frozenset({1}), frozenset({1}), frozenset({"a"})),
    "frozenset of Enums": (frozenset[Colour], frozenset({Colour.RED}), frozenset({"red"}), 3),
    "tuple": (tuple[int, str], (1, "a"), (1, "a"), (1, "a", 2)),
    "tuple of many": (tuple[int, ...], (1, 2, 3), (1, 2, 3), (1, "a")),
    "tuple with frozen": (
        tuple[frozenset[int], Colour],
        (frozenset({1}), Colour.RED),
        (frozenset({1}), "red"),
        (frozenset({1}), "x"),
    ),
    "NamedTuple": (Span, Span(1, Colour.BLUE), (1, "blue"), (1, "x")),
    "model": (Item, Item("a", 2), {"title": "a", "size": 2}, {"title": 1}),
    "model or None": (Item | None, Item("a"), {"title": "a", "size": 0}, {"title": 1}),
    "frozen model": (Still, Still("a"), {"title": "a"}, {"title": 1}),
    "frozen Struct": (StillStruct, StillStruct("a"), {"title": "a"}, {"title": 1}),
    "list of models": (list[Item], [Item("a")], [{"title": "a", "size": 0}], [{"size": 1}]),
    "dict of lists of models": (
        dict[str, list[Item]],
        {"k": [Item("a")]},
        {"k": [{"title": "a", "size": 0}]},
        {"k": [{"title": 1}]},
    ),
    "tuple of models": (
        tuple[Item, int],
        (Item("a"), 1),
        ({"title": "a", "size": 0}, 1),
        ({"title": 1}, 1),
    ),
    "three tagged Structs": (
        list[Cat | Dog | Cow],
        [Cow("a"), Cat("b")],
        [{"type": "cow", "name": "a"}, {"type": "cat", "name": "b"}],
        [{"type": "pig", "name": "a"}],
    ),
    "two by a Literal": (One | Two, Two(3), {"size": 3, "kind": "two"}, {"size": 3, "kind": "x"}),
    "loose TypedDict": (Loose, {"colour": Colour.RED}, {"colour": "red"}, {"colour": "x"}),
    "exact TypedDict": (Exact, {"size": 1, "name": "n"}, {"size": 1, "name": "n"}, {"text": "t"}),
    "limited str": (
        Annotated[str, msgspec.Meta(min_length=2), pydantic.Field(min_length=2)],
        "ab",
        "ab",
        "a",
    ),
    "limited items": (
        list[Annotated[int, msgspec.Meta(ge=1), pydantic.Field(ge=1)]],
        [1],
        [1],
        [0],
    ),
    "limited or None": (
        Annotated[int, msgspec.Meta(ge=1), pydantic.Field(ge=1)] | None,
        2,
        2,
        0,
    ),
    "anything": (Any, {"a": [1, None]}, {"a": [1, None]}, 1j),
}


def _dataclass(annotation: Any) -> Any:
    return dataclasses.make_dataclass("Model", [("x", annotation)])


def _slotted(annotation: Any) -> Any:
    return dataclasses.make_dataclass("Model", [("x", annotation)], slots=True, kw_only=True)


def _struct(annotation: Any) -> Any:
    return msgspec.defstruct("Model", [("x", annotation)], kw_only=True)


def _typeddict(annotation: Any) -> Any:
    return typing.TypedDict("Model", {"x": annotation})  # type: ignore[operator]


def _extended_typeddict(annotation: Any) -> Any:
    return TypedDict("Model", {"x": annotation})  # type: ignore[operator]


def _pydantic(annotation: Any) -> Any:
    return pydantic.create_model("Model", x=(annotation, ...), __config__=LOOSE)


def _pydantic_dataclass(annotation: Any) -> Any:
    cls = type("Model", (), {"__annotations__": {"x": annotation}})
    return pydantic.dataclasses.dataclass(cls, config=LOOSE)


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "dataclass": _dataclass,
    "slots": _slotted,
    "struct": _struct,
    "typeddict": _typeddict,
    "extended typeddict": _extended_typeddict,
    "pydantic": _pydantic,
    "pydantic dataclass": _pydantic_dataclass,
}

every = pytest.mark.parametrize(
    ("make", "case"),
    [
        pytest.param(make, case, id=f"{family}: {name}")
        for family, make in FAMILIES.items()
        for name, case in VALUES.items()
        if (family, name) != ("pydantic", "int for float")  # it makes a float of it
    ],
)


@every
def test_a_value_is_stored_read_refused_and_read_again(make: Any, case: Case) -> None:
    annotation, value, stored, bad = case
    cls = make(annotation)
    document, view = opened(cls)
    view["x"] = value
    assert view["x"] == value
    real = perdure.materialize(view["x"])
    assert real == value and type(real) is type(value)
    assert same(document.plain(), {"x": stored})
    (written,) = unpack_changes(pack_changes(document.capture()))
    assert isinstance(written, Set)
    if not is_converted(cls, bad):
        with pytest.raises((WrongType, NotStorable), match=r"^x"):
            view["x"] = bad
        assert same(document.plain(), {"x": stored}) and document.capture() == []
    _, again = opened(cls, x=written.value)
    assert again["x"] == value and perdure.materialize(again["x"]) == real


def is_converted(cls: Any, bad: Any) -> bool:
    """Whether a pydantic model makes a good value of a bad one, as it does on assignment."""
    if not hasattr(cls, "model_validate"):
        return False
    try:
        cls.model_validate({"x": bad})
    except pydantic.ValidationError:
        return False
    return True


@every
def test_a_stored_value_that_does_not_fit_is_reported_and_kept(make: Any, case: Case) -> None:
    annotation, value, _, bad = case
    if annotation is Any:
        bad = value  # nothing is bad there
    document = Document({"x": bad if not isinstance(bad, Enum) else bad.value})
    before = document.plain()
    cls = make(annotation)
    install(cls, document)
    view = typed_state(cls, document.state)
    if annotation is Any:
        assert view["x"] == value
        return
    with pytest.raises(BadStored) as reported:
        perdure.materialize(view["x"])
    assert reported.value.path[0] == "x"
    assert same(document.plain(), before)
    assert "x" in repr(view)
    view["x"] = value
    assert view["x"] == value


def opened(cls: Any, **sections: Any) -> tuple[Document, Any]:
    document = Document(sections)
    install(cls, document)
    return document, typed_state(cls, document.state)
