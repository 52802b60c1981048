"""Typed states: tuples, defaults, what a class says, and what views remember."""

import dataclasses
import gc
import heapq
import uuid
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final, Literal, TypedDict

import pytest
import typing_extensions

import perdure
from perdure import limits
from perdure.core.changes import Set
from perdure.errors import BadStored, Detached, UntrackedEdit, UsageError, WrongType
from perdure.schemas.annotations import kind_of
from perdure.state import UNLOADED, Document
from perdure.state.typed import install, typed_state


class Colour(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


@dataclass
class Item:
    title: str
    size: int = 0


PAIR = (Item("shared"), [1])


@dataclass
class Parts:
    colours: set[Colour] = field(default_factory=set)
    names: frozenset[str] = frozenset({"a"})
    tags: set[str] = field(default_factory=set)
    pair: tuple[Item, list[int]] = PAIR
    span: tuple[int, Colour] = (1, Colour.RED)
    items: list[Item] = field(default_factory=list)
    one: Item | None = None


def opened(cls: Any, **sections: Any) -> tuple[Document, Any]:
    document = Document(sections)
    install(cls, document)
    return document, typed_state(cls, document.state)


# ---- defaults and tuples --------------------------------------------------------------------


@dataclass
class Made:
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    pair: tuple[str, list[int]] = field(default_factory=lambda: (uuid.uuid4().hex, []))


@pytest.mark.parametrize("sections", [{}, {"items": [{"title": "a"}]}])
def test_a_list_takes_no_place_that_is_no_number(sections: Any) -> None:
    _, state = opened(Parts, **sections)
    for at in ("a", None, 1.5):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            state.items[at] = Item("b")
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            state.items[at]
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            state.items.pop(at)


def test_adding_to_a_list_in_place_does_not_look_at_what_is_there() -> None:
    document, state = opened(Parts, items=[{"title": 5}])
    state.items += [Item("new")]
    assert [type(each).__name__ for each in document.capture()] == ["Splice"]
    with pytest.raises(WrongType):
        state.items = [*state.items.plain()]


def test_a_default_that_is_made_reads_the_same_until_another_is_assigned() -> None:
    document, state = opened(Made)
    first = state.id
    assert state.id == first
    assert state["id"] == first
    assert document.capture() == []
    state.id = "a"
    assert state.id == "a"
    del state.id
    assert state.id == first
    assert opened(Made)[1].id != first


def test_a_default_in_a_tuple_is_made_anew_once_it_had_its_place_and_left_it() -> None:
    _, state = opened(Made)
    state.pair[1].append(1)
    del state.pair
    assert state.pair[1] == []


def test_a_default_in_a_tuple_is_nobodys_object_and_takes_its_place_when_edited() -> None:
    document, state = opened(Parts)
    item, numbers = state.pair
    assert item == Item("shared") and item is not PAIR[0] and numbers is not PAIR[1]
    assert document.capture() == []
    item.title = "mine"
    numbers.append(2)
    assert (Item("shared"), [1]) == PAIR
    assert state.pair[0] is item
    assert document.capture() == [Set(("pair",), ({"title": "mine", "size": 0}, [1, 2]))]
    item.size = 3
    assert document.capture() == [Set(("pair",), ({"title": "mine", "size": 3}, [1, 2]))]


def test_a_default_in_a_tuple_is_one_again_when_its_block_is_undone() -> None:
    document, state = opened(Parts)
    numbers = state.pair[1]
    with pytest.raises(KeyError), document.block():
        numbers.append(2)
        raise KeyError
    assert state.pair[1] == [1] and document.capture() == []
    numbers.append(3)
    assert document.plain()["pair"][1] == [1, 3]


def test_a_default_in_a_tuple_refuses_edits_once_its_place_is_taken() -> None:
    _, state = opened(Parts)
    numbers = state.pair[1]
    state.pair = (Item("other"), [])
    with pytest.raises(Detached):
        numbers.append(2)


@pytest.mark.parametrize("stored", [3, None, (1,), [1, "red"], (1, "red", 2)], ids=repr)
def test_a_tuple_of_another_shape_is_reported(stored: Any) -> None:
    _, state = opened(Parts, span=stored, pair=stored)
    for name in ("span", "pair"):
        with pytest.raises(BadStored) as reported:
            _ = state[name]
        assert reported.value.path == (name,)


def test_a_default_that_is_read_twice_is_one() -> None:
    document, state = opened(Parts)
    assert state.items is state.items and state.tags is state.tags
    first, again = state.pair[1], state.pair[1]
    first.append(2)
    again.append(3)
    assert document.plain()["pair"][1] == [1, 2, 3]


def test_a_plain_default_is_the_value_itself() -> None:
    document, state = opened(Parts)
    assert state.span == (1, Colour.RED) and state.colours == set()
    state.colours.add(Colour.RED)
    assert document.plain() == {"colours": {"red"}}


# ---- what a class says of its fields --------------------------------------------------------


@dataclass
class Said:
    title: Final[str] = "a"
    secret: str = field(default="s", repr=False)
    given: InitVar[int] = 0
    shared: ClassVar[int] = 7
    kind: Literal["said"] = "said"
    state: Literal[Colour.RED, "none"] = "none"

    def __post_init__(self, given: int) -> None:
        self.size = given


class Keys(TypedDict):
    name: typing_extensions.ReadOnly[str]
    size: typing_extensions.NotRequired[typing_extensions.ReadOnly[int]]


@dataclass
class Keyed:
    keys: Keys


def test_only_fields_are_stored_and_shown() -> None:
    document, state = opened(Said, title="b", secret="hidden", newer=1)
    assert state.shared == 7 and "shared" not in document.state
    assert "hidden" not in repr(state) and "title='b'" in repr(state)
    assert "given" not in kind_of(Said).fields
    state.state = Colour.RED
    assert document.plain()["state"] == "red" and state.state is Colour.RED
    with pytest.raises(WrongType):
        state.state = "blue"


def test_a_read_only_key_is_a_key() -> None:
    document, state = opened(Keyed, keys={"name": "a"})
    with pytest.raises(WrongType):
        state.keys["name"] = 1
    with pytest.raises(WrongType):
        state.keys["size"] = "1"
    with pytest.raises(WrongType):
        del state.keys["name"]
    assert document.capture() == []


class Listed(Enum):
    ONE = [1]  # noqa: RUF012


def _made(hint: Any) -> Any:
    return dataclasses.make_dataclass("Model", [("x", hint)])


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (set[Item], "use a list"),
        (set[list[int]], "use a list"),
        (set[frozenset[int]], "use a list"),
        (dict[int, str], "keys are str"),
        (dict[Colour, str], "keys are str"),
        (complex, "with Any"),
        (Callable[[int], int], "with Any"),
        (Listed, "texts or numbers"),
        (list[complex | None], "with Any"),
    ],
    ids=str,
)
def test_what_cannot_be_a_field_is_refused_with_a_way_out(hint: Any, said: str) -> None:
    model = _made(hint)
    with pytest.raises(UsageError, match=said) as refused:
        kind_of(model)
    assert "Model.x" in str(refused.value)
    with pytest.raises(UsageError):  # and is not known half
        kind_of(model)


# ---- what views remember --------------------------------------------------------------------


def test_a_view_is_found_again_however_many_came_and_went() -> None:
    count = limits.views_swept_min * 3
    document, state = opened(Parts, items=[{"title": str(number)} for number in range(count)])
    held = state.items[5]
    assert sum(item.size for item in state.items) == 0
    assert state.items[5] is held
    door = document._tracker.door
    assert door is not None
    gc.collect()
    assert len(door.home.views) <= limits.views_swept_min + 1


def test_many_views_that_are_held_stay_the_same() -> None:
    count = limits.views_swept_min * 3
    _, state = opened(Parts, items=[{"title": str(number)} for number in range(count)])
    held = list(state.items)
    assert all(item is state.items[at] for at, item in enumerate(held))


@dataclass
class Small:
    size: int | float


@dataclass
class Large:
    size: int


@dataclass
class Both:
    smalls: list[Small] = field(default_factory=list)
    larges: list[Large] = field(default_factory=list)


def test_a_view_whose_model_was_moved_is_checked_by_its_new_place() -> None:
    document, state = opened(Both, smalls=[{"size": 1}], larges=[])
    small = state.smalls[0]
    node = document.state["smalls"].pop()
    document.state["larges"].append(node)
    with pytest.raises(WrongType):
        small.size = 1.5
    small.size = 2
    assert document.plain() == {"smalls": [], "larges": [{"size": 2}]}
    assert isinstance(small, Small) and isinstance(state.larges[0], Large)


def test_one_bad_literal_does_not_hide_the_model_that_has_it() -> None:
    @dataclass
    class Top:
        one: Coloured | None = None

    document, state = opened(Top, one={"colour": "pink", "size": 3})
    assert state.one.size == 3
    with pytest.raises(BadStored) as reported:
        _ = state.one.colour
    assert reported.value.path == ("one", "colour")
    state.one.colour = Colour.RED
    assert document.capture() == [Set(("one", "colour"), "red")]


@dataclass
class Coloured:
    colour: Colour
    size: int = 0


def test_a_large_text_is_measured_when_it_is_assigned() -> None:
    _, state = opened(Parts, one={"title": "a"})
    with pytest.raises(perdure.errors.NotStorable):
        state.one.title = "x" * (limits.save_bytes_max + 1)


def test_a_field_that_is_assigned_what_it_holds_is_not_written() -> None:
    document, state = opened(Parts, one={"title": "a", "size": 2})
    state.one.size = 2
    assert document.capture() == []
    document.close()
    with pytest.raises(Detached):
        state.one.size = 3


@dataclass
class Deep:
    colours: set[Colour] = field(default_factory=set)
    items: list[Item] = field(default_factory=list)
    by: dict[str, Item] = field(default_factory=dict)
    mixed: list[list[int] | Item] = field(default_factory=list)


@dataclass
class Deeper:
    deep: list[Deep] = field(default_factory=list)


def test_what_is_in_a_model_that_was_taken_out_is_still_checked() -> None:
    stored = {"colours": set(), "items": [{"title": "a"}], "by": {}, "mixed": []}
    document, state = opened(Deeper, deep=[stored])
    deep = state.deep.pop()
    bad: list[Callable[[], Any]] = [
        lambda: deep.colours.add("pink"),
        lambda: deep.items.append(3),
        lambda: deep.items.__setitem__(0, 3),
        lambda: deep.items.extend([Item("b"), 3]),
        lambda: deep.by.__setitem__("k", 3),
        lambda: deep.by.update(k={"size": 1}),
        lambda: setattr(deep.items[0], "size", "big"),
        lambda: setattr(deep, "items", [3]),
    ]
    for edit in bad:
        with pytest.raises(WrongType):
            edit()
    deep.colours.add(Colour.RED)
    deep.items.append(Item("b"))
    deep.by["k"] = Item("c")
    state.deep.append(deep)
    assert state.deep[0] is deep and deep.colours == {Colour.RED}
    assert document.plain()["deep"][0]["by"] == {"k": {"title": "c", "size": 0}}


def test_a_list_of_a_typed_list_is_watched() -> None:
    document, state = opened(Deep, mixed=[[2], {"title": "a"}])
    assert state.mixed[1] == Item("a")
    document.capture()
    heapq.heappush(state.mixed[0], 1)
    with pytest.raises(UntrackedEdit):
        document.capture()


class Sections(TypedDict, total=False):
    items: list[Item]
    more: list[Item]


@pytest.mark.parametrize("cls", [Parts, Sections])
def test_a_repr_loads_nothing_and_never_raises(cls: Any) -> None:
    content = {"items": [{"title": "a"}, {"title": 3}], "extra": [{"title": "b"}]}
    document = Document(dict.fromkeys(content, UNLOADED), load=content.__getitem__)
    install(cls, document)
    state: Any = typed_state(cls, document.state)
    assert "<not loaded>" in repr(state)
    assert document._root.unloaded() == {"items", "extra"}
    assert len(state["items"]) == 2 and document._root.unloaded() == {"extra"}
    assert "title='a'" in repr(state) and "title=<bad-stored>" in repr(state)
    assert state["extra"] == [{"title": "b"}]


@dataclass
class Sloppy:
    name: str = None  # type: ignore[assignment]


def test_a_default_that_does_not_fit_is_refused_where_it_is_read() -> None:
    _, state = opened(Sloppy)
    assert repr(state) == "Sloppy(name=<wrong-type>)" and vars(state) == {}
    with pytest.raises(WrongType):
        _ = state.name
    state.name = "a"
    assert state.name == "a"


class Paint(Enum):
    RED = "red"
    GOLD = "gold"


@dataclass
class Painted:
    colour: Colour | None = None
    either: Colour | Paint | None = None


def test_a_member_of_another_enum_is_refused_though_its_value_is_the_same() -> None:
    document, state = opened(Painted)
    with pytest.raises(WrongType, match=r"Paint\.RED"):
        state.colour = Paint.RED
    with pytest.raises(WrongType, match=r"would be read as <Colour\.RED"):
        state.either = Paint.RED
    assert document.capture() == []
    state.either = Paint.GOLD
    assert state.either is Paint.GOLD
    state.either = Colour.RED
    assert state.either is Colour.RED and document.plain() == {"either": "red"}
