"""Every mutating method of dict, list and set: the plain type's effect, saved by its changes."""

import copy
import random
from collections import UserDict
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, StrEnum
from functools import partial
from typing import Any

import pytest

from perdure.core.changes import apply
from perdure.core.values import same
from perdure.errors import NotStorable
from perdure.state import Document, TrackedDict, TrackedList, TrackedSet

Edit = Callable[[Any], Any]


def in_place(method: str, *arguments: Any) -> Edit:
    """`container |= argument` and its like; the container has to stay the same object."""

    def edit(container: Any) -> None:
        assert getattr(container, method)(*arguments) is container

    return edit


def call(method: str, *arguments: Any, **named: Any) -> Edit:
    return lambda container: getattr(container, method)(*arguments, **named)


DICTS: list[dict[str, Any]] = [
    {},
    {"a": 1},
    {"b": {"x": 1}, "a": [1, 2], "c": "text", "d": (1, [2]), "e": {1}},
]
DICT_EDITS: dict[str, list[Edit]] = {
    "__setitem__": [
        call("__setitem__", "a", 2),
        call("__setitem__", "new", {"deep": [1]}),
        call("__setitem__", "c", [1]),
        lambda d: d.__setitem__("a", d.get("a")),
    ],
    "__delitem__": [call("__delitem__", "a"), call("__delitem__", "none")],
    "__ior__": [
        in_place("__ior__", {"a": 0, "n": [1]}),
        in_place("__ior__", [("a", 0), ("z", "q")]),
        lambda d: d.__ior__(3),
    ],
    "clear": [call("clear")],
    "pop": [call("pop", "a"), call("pop", "a", 7), call("pop", "none", None), call("pop", "none")],
    "popitem": [call("popitem")],
    "setdefault": [
        call("setdefault", "a"),
        call("setdefault", "new"),
        call("setdefault", "new", [1]),
    ],
    "update": [
        call("update", {"a": 5, "z": {"y": 1}}),
        call("update", [("a", 5), ("b", 6)], c=7),
        call("update", UserDict(a=3)),
        call("update", a=1),
        call("update"),
        call("update", [("a",)]),
        call("update", 3),
        lambda d: d.update(d),
    ],
}

LISTS: list[list[Any]] = [
    [],
    [1],
    ["c", "a", "b"],
    [{"n": 2}, {"n": 0}, {"n": 1}, {"n": 1}, {"n": 5}],
    [1, [2], {"n": 3}, "four", (5, [6]), {7}],
]
SLICES = [
    slice(None),
    slice(1, 3),
    slice(3, 1),
    slice(-2, None),
    slice(2, 2),
    slice(9, 12),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(4, 0, -2),
    slice(None, None, 0),
]


def number(item: Any) -> int:
    if isinstance(item, dict):
        return int(item["n"])
    return item if isinstance(item, int) else -1


LIST_EDITS: dict[str, list[Edit]] = {
    "__setitem__": [
        call("__setitem__", 0, 9),
        call("__setitem__", -1, [9]),
        call("__setitem__", 2, {"n": 9}),
        call("__setitem__", 50, 9),
        call("__setitem__", "x", 9),
        lambda li: li.__setitem__(slice(0, 2), reversed(li[0:2])),
        lambda li: li.__setitem__(slice(None), [*li, {"n": 8}]),
        lambda li: li.__setitem__(slice(1, 1), li),
        *(call("__setitem__", each, news) for each in SLICES for news in ([], [7], [7, [8], {}])),
        *(lambda li, each=each: li.__setitem__(each, li[each][::-1]) for each in SLICES),
        call("__setitem__", slice(0, 1), 5),
    ],
    "__delitem__": [
        call("__delitem__", 0),
        call("__delitem__", -2),
        call("__delitem__", 50),
        call("__delitem__", None),
        *(call("__delitem__", each) for each in SLICES),
    ],
    "__iadd__": [
        in_place("__iadd__", [1, {"n": 2}]),
        in_place("__iadd__", "ab"),
        in_place("__iadd__", []),
        lambda li: li.__iadd__(li),
        lambda li: li.__iadd__(5),
    ],
    "__imul__": [
        *(in_place("__imul__", times) for times in (-1, 0, 1, 3)),
        lambda li: li.__imul__("x"),
    ],
    "append": [call("append", 1), call("append", {"n": [1]}), lambda li: li.append(li[:])],
    "clear": [call("clear")],
    "extend": [
        call("extend", [1, {"n": 2}]),
        lambda li: li.extend(each for each in "ab"),
        call("extend", {"k": 1}),
        lambda li: li.extend(li),
        call("extend", None),
    ],
    "insert": [
        *(call("insert", index, {"n": 7}) for index in (0, 2, -1, 99, -99)),
        call("insert", "x", 1),
    ],
    "pop": [call("pop"), call("pop", 0), call("pop", 1), call("pop", -2), call("pop", 77)],
    "remove": [call("remove", 1), call("remove", {"n": 1}), call("remove", "none")],
    "reverse": [call("reverse")],
    "sort": [
        call("sort"),
        call("sort", reverse=True),
        call("sort", key=number),
        call("sort", key=number, reverse=True),
        call("sort", key=str),
    ],
}

SETS: list[set[Any]] = [set(), {"a"}, {1, 2, 3, 4, "a", (1, "t")}]
OTHERS: list[set[Any]] = [set(), {"a", "b"}, {1, 2, 99}]
SET_EDITS: dict[str, list[Edit]] = {
    "__iand__": [in_place("__iand__", each) for each in OTHERS] + [call("__iand__", [1])],
    "__ior__": [in_place("__ior__", each) for each in OTHERS] + [call("__ior__", [1])],
    "__isub__": [in_place("__isub__", each) for each in OTHERS] + [lambda s: s.__isub__(s)],
    "__ixor__": [in_place("__ixor__", each) for each in OTHERS] + [lambda s: s.__ixor__(s)],
    "add": [call("add", "a"), call("add", "new"), call("add", (1, 2)), call("add", [])],
    "clear": [call("clear")],
    "difference_update": [
        *(call("difference_update", each, each) for each in OTHERS),
        call("difference_update"),
    ],
    "discard": [call("discard", "a"), call("discard", "none"), call("discard", {1})],
    "intersection_update": [
        *(call("intersection_update", list(each)) for each in OTHERS),
        call("intersection_update"),
    ],
    "pop": [lambda s: s.pop() if len(s) < 2 else None],
    "remove": [call("remove", "a"), call("remove", "none"), call("remove", {1})],
    "symmetric_difference_update": [
        call("symmetric_difference_update", [*each, *each]) for each in OTHERS
    ],
    "update": [
        *(call("update", each, [5]) for each in OTHERS),
        call("update"),
        call("update", 5),
    ],
}

TYPES: list[tuple[type, list[Any], dict[str, list[Edit]]]] = [
    (dict, DICTS, DICT_EDITS),
    (list, LISTS, LIST_EDITS),
    (set, SETS, SET_EDITS),
]
CASES = [
    pytest.param(content, edit, id=f"{kind.__name__}{size}.{name}-{index}")
    for kind, contents, edits in TYPES
    for size, content in enumerate(contents)
    for name, ways in edits.items()
    for index, edit in enumerate(ways)
]


def outcome(edit: Edit, container: Any) -> Any:
    """What an edit gives back, or the class of its error."""
    try:
        result = edit(container)
    except Exception as error:
        return type(error)
    return copy.deepcopy(result)


@pytest.mark.parametrize("reading_first", [False, True], ids=["as-loaded", "all-read"])
@pytest.mark.parametrize(("content", "edit"), CASES)
def test_an_edit_is_the_plain_types_and_its_changes_replay_it(
    content: Any, edit: Edit, reading_first: bool
) -> None:
    plain = copy.deepcopy(content)
    base = {"first": 0, "section": copy.deepcopy(content)}
    document = Document(copy.deepcopy(base), check_edits=True)
    node = document.state["section"]
    if reading_first:
        list(node.values() if isinstance(node, dict) else node)
    assert same(outcome(edit, node), outcome(edit, plain))
    assert document.state["section"] is node
    assert same(node.plain(), plain)
    if not isinstance(plain, set):
        assert repr(node) == repr(plain)
    apply(base, document.capture())
    assert same(base, document.plain())
    assert same(base["section"], plain)
    assert document.capture() == []


@pytest.mark.parametrize(("kind", "edits"), [(kind, edits) for kind, _, edits in TYPES])
def test_no_mutating_method_is_forgotten(kind: type, edits: dict[str, list[Edit]]) -> None:
    reading = {
        *("__add__", "__and__", "__class_getitem__", "__contains__", "__getitem__", "__iter__"),
        *("__len__", "__mul__", "__or__", "__rand__", "__reversed__", "__rmul__", "__ror__"),
        *("__rsub__", "__rxor__", "__sub__", "__xor__", "copy", "count", "difference", "fromkeys"),
        *("get", "index", "intersection", "isdisjoint", "issubset", "issuperset", "items", "keys"),
        *("symmetric_difference", "union", "values"),
    }
    assert set(dir(kind)) - set(dir(object)) - reading == set(edits)
    tracked: dict[type, type] = {dict: TrackedDict, list: TrackedList, set: TrackedSet}
    for name in [*edits, "__init__", "__reduce_ex__"]:
        assert getattr(tracked[kind], name) is not getattr(kind, name), name


@pytest.mark.parametrize(("kind", "contents", "edits"), TYPES)
@pytest.mark.parametrize("seed", range(20))
def test_many_edits_between_captures(
    kind: type, contents: list[Any], edits: dict[str, list[Edit]], seed: int
) -> None:
    chance = random.Random(seed)
    pure = [
        each for name in sorted(edits) for each in edits[name] if name not in ("clear", "__imul__")
    ]
    base = {"section": copy.deepcopy(contents[-1])}
    document, plain = Document(copy.deepcopy(base)), copy.deepcopy(contents[-1])
    for step in range(60):
        edit = chance.choice(pure)
        outcome(edit, document.state["section"])
        outcome(edit, plain)
        if isinstance(plain, list):
            del plain[30:], document.state["section"][30:]
        assert same(document.plain(), {"section": plain})
        replayed = copy.deepcopy(base)
        apply(replayed, document.pending())
        assert same(replayed, document.plain())
        if step % 7 == 0:
            apply(base, copy.deepcopy(document.capture()))


class Colour(Enum):
    RED = "red"


class Name(StrEnum):
    A = "a"


BAD = object()


@pytest.mark.parametrize(
    ("content", "edit"),
    [
        ({"a": 1}, call("__setitem__", "a", BAD)),
        ({"a": 1}, call("__setitem__", 5, 1)),
        ({"a": 1}, call("__setitem__", "b", {1: 2})),
        ({"a": 1}, call("setdefault", "b", BAD)),
        ({"a": 1}, call("update", {"a": 2, "b": BAD})),
        ({"a": 1}, call("update", {"a": 2, 3: 4})),
        ({"a": 1}, call("__ior__", {"a": 2, "b": BAD})),
        ([1], call("append", BAD)),
        ([1], call("extend", [2, BAD])),
        ([1], call("__iadd__", [2, BAD])),
        ([1], call("insert", 0, BAD)),
        ([1], call("__setitem__", 0, BAD)),
        ([1], call("__setitem__", slice(None), [2, BAD])),
        ([1, 2, 3], call("__setitem__", slice(None, None, 2), [{}, BAD])),
        ({1}, call("add", BAD)),
        ({1}, call("update", [2, BAD])),
        ({1}, call("__ior__", {2, BAD})),
        ({1}, call("update", [2], [BAD])),
        ({1}, call("__ixor__", {1, BAD})),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_path_and_nothing_has_changed(
    content: Any, edit: Edit
) -> None:
    document = Document({"section": {"inner": copy.deepcopy(content)}})
    node = document.state["section"]["inner"]
    with pytest.raises(NotStorable, match="section/inner") as refused:
        edit(node)
    assert refused.value.path[:2] == ("section", "inner")
    assert same(node.plain(), content)
    assert document.pending() == []
    assert document.touched() == set()


def test_a_set_takes_all_of_an_update_or_nothing() -> None:
    document = Document({"s": {1}})
    with pytest.raises(TypeError):
        document.state["s"].update([2, 3], [[4]])  # set itself would have kept 2 and 3
    assert document.plain() == {"s": {1}}


def test_keys_and_values_become_plain_as_they_go_in() -> None:
    document = Document({"d": {}, "l": []})
    section = document.state["d"]
    section[Name.A] = Colour.RED
    section.update({Name.A: Name.A})
    document.state["l"].append((Name.A, {"k": Colour.RED}))
    assert same(document.plain(), {"d": {"a": "a"}, "l": [("a", {"k": "red"})]})
    assert [type(key) for key in section] == [str]


def test_a_generator_that_edits_the_list_it_extends() -> None:
    document = Document({"l": [1]})
    items = document.state["l"]

    def produce() -> Any:
        items.append(2)
        yield 3

    items.extend(produce())
    assert items == [1, 2, 3]
    base: dict[str, Any] = {"l": [1]}
    apply(base, document.capture())
    assert base == {"l": [1, 2, 3]}


def test_sort_refuses_a_key_function_that_edits_and_an_error_in_it_changes_nothing() -> None:
    document = Document({"l": [3, 1, 2]})
    items = document.state["l"]

    def edit(item: int) -> int:
        if item == 1:
            items.append(0)
        return item

    with pytest.raises(ValueError, match="modified during sort"):
        items.sort(key=edit)
    assert items == [3, 1, 2, 0]
    document.capture()
    with pytest.raises(ZeroDivisionError):
        items.sort(key=lambda item: 1 // item)
    assert items == [3, 1, 2, 0]
    assert document.pending() == []


def test_containers_made_by_hand_are_filled_and_belong_nowhere() -> None:
    by_hand: list[Any] = [
        TrackedDict({"a": [1]}, b=2),
        TrackedList(iter([{}, 2])),
        TrackedSet([1, 2]),
    ]
    assert by_hand == [{"a": [1], "b": 2}, [{}, 2], {1, 2}]
    document = Document({})
    document.state["a"] = by_hand[1]
    by_hand[1][0]["x"] = 1
    assert document.state["a"] is by_hand[1]
    assert document.plain() == {"a": [{"x": 1}, 2]}
    with pytest.raises(NotStorable):
        TrackedList([BAD])
    assert TrackedDict.fromkeys("ab", 1) == {"a": 1, "b": 1}
    assert type(TrackedDict.fromkeys("ab")) is dict


class Converted:
    """A model whose conversion edits the very container it is put into."""

    def __init__(self, edit: Callable[[], object]) -> None:
        self.edit = edit

    def model_dump(self, mode: str) -> dict[str, Any]:
        self.edit()
        return {"v": 1}


REENTRANT: list[Callable[[Any, Any], object]] = [
    lambda items, model: items.append(model),
    lambda items, model: items.extend([model, 9]),
    lambda items, model: items.insert(1, model),
    lambda items, model: items.insert(-1, model),
    lambda items, model: items.__setitem__(0, model),
    lambda items, model: items.__setitem__(-1, model),
    lambda items, model: items.__setitem__(slice(1, 3), [model, 9]),
]


@pytest.mark.parametrize("put", REENTRANT, ids=range(len(REENTRANT)))
@pytest.mark.parametrize("method", ["append", "pop", "clear"])
def test_a_conversion_that_edits_the_same_list_leaves_it_as_it_is_saved_P13(
    put: Callable[[Any, Any], object], method: str
) -> None:
    base: dict[str, Any] = {"s": [1, 2, 3]}
    document = Document({"s": [1, 2, 3]})
    items = document.state["s"]
    with suppress(IndexError):
        put(items, Converted(partial(getattr(items, method), *["x"] * (method == "append"))))
    apply(base, document.capture())
    assert base["s"] == items.plain()
    items.append(4)
    apply(base, document.capture())
    assert base["s"] == items.plain()
