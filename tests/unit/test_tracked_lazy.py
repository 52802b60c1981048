"""Sections that load when touched: what touches one, what does not, and what stays true then."""

import copy
import operator
import pickle
from collections import ChainMap
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.unit.lazy import CONTENT, LOADED, opened

from perdure.core.changes import Delete, Members, Set, Splice
from perdure.errors import (
    Detached,
    NotStorable,
    ReservedSection,
    SectionNotLoaded,
    UntrackedEdit,
)
from perdure.state import UNLOADED, Document, State, TrackedDict, TrackedList, TrackedSet


def walk(value: Any) -> Iterable[Any]:
    yield value
    if isinstance(value, dict | list | tuple | set):
        for child in dict.values(value) if isinstance(value, dict) else value:
            yield from walk(child)


def match(state: Any) -> dict[str, Any]:
    match state:
        case {"list": first, **rest}:
            found: Any = {"list": first} | dict(rest)
            return dict(found)
    raise AssertionError


def compare(how: Callable[[Any, Any], bool]) -> Callable[[State], Any]:
    def read(state: State) -> dict[str, Any]:
        assert how(state, CONTENT)
        return dict(state)

    return read


READS: dict[str, list[Callable[[Any], Any]]] = {
    "__getitem__": [
        lambda state: {name: state[name] for name in state},
        lambda state: dict(zip(state, operator.itemgetter(*state)(state))),
        dict,
        lambda state: {**state},
        lambda state: (lambda **sections: sections)(**state),
        lambda state: dict(ChainMap(state)),
    ],
    "get": [lambda state: {name: state.get(name) for name in state}, match],
    "keys": [lambda state: {name: state.keys()._mapping[name] for name in state.keys()}],  # noqa: SIM118
    "values": [
        lambda state: dict(zip(state, state.values())),
        lambda state: dict(zip(state, list(reversed(list(state.values())))[::-1])),
    ],
    "items": [lambda state: dict(state.items())],
    "copy": [lambda state: state.copy(), copy.copy],
    "__copy__": [lambda state: state.__copy__()],
    "plain": [lambda state: state.plain()],
    "__deepcopy__": [copy.deepcopy],
    "__reduce_ex__": [lambda state: pickle.loads(pickle.dumps(state))],
    "__or__": [lambda state: state | {}],
    "__ror__": [lambda state: {} | state],
    "__eq__": [compare(operator.eq), compare(lambda state, content: content == state)],
    "pop": [lambda state: {name: state.pop(name) for name in list(state)}],
    "popitem": [lambda state: dict(reversed([state.popitem() for _ in list(state)]))],
    "setdefault": [lambda state: {name: state.setdefault(name, 1) for name in state}],
}

UNTOUCHED: dict[str, Callable[[Any], object]] = {
    "__init__": lambda state: None,
    "__contains__": lambda state: "list" in state,
    "__iter__": list,
    "__len__": len,
    "__reversed__": lambda state: list(reversed(state)),
    "__repr__": repr,
    "__delitem__": lambda state: state.__delitem__("list"),
    "__setitem__": lambda state: state.__setitem__("list", [1]),
    "update": lambda state: state.update(list=[1], dict=2),
    "__ior__": lambda state: state.__ior__({"list": [1]}),
    "clear": lambda state: state.clear(),
    "_writable": lambda state: state._writable("list"),
    "_releasable": lambda state: state._releasable("list"),
}

WAYS = [
    pytest.param(way, id=f"{name}-{index}")
    for name, ways in READS.items()
    for index, way in enumerate(ways)
]


def test_every_method_of_the_state_is_proved_either_to_load_or_not_to() -> None:
    methods = {
        name
        for cls in State.__mro__[:-1]
        for name, value in vars(cls).items()
        if callable(value) and name != "__subclasshook__"
    }
    assert methods - set(READS) - set(UNTOUCHED) == set()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_reading_the_state_loads_and_shows_no_placeholder(
    way: Callable[[Any], Any],
) -> None:
    document, store = opened()
    read = way(document.state)
    assert read == CONTENT
    assert list(read) == list(CONTENT)
    plain = {dict, list, set, tuple, str, int, type(None)}
    assert {type(each) for each in walk(read)} <= {*plain, TrackedDict, TrackedList, TrackedSet}
    assert sorted(store.asked) == sorted(set(CONTENT) - LOADED)


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_load_leaves_the_document_as_it_was_and_is_tried_again(
    way: Callable[[Any], Any],
) -> None:
    document, store = opened(failures=1, check_edits=True)
    with pytest.raises(OSError, match="reached"):
        way(document.state)
    assert document.loaded() == LOADED
    assert document.capture() == []
    assert way(document.state) == CONTENT
    assert len(store.asked) == len(CONTENT) - len(LOADED) + 1


@pytest.mark.parametrize(
    "read",
    [
        lambda state: state.get("list", 1),
        lambda state: state.pop("list", 1),
        lambda state: state.setdefault("list", 1),
    ],
    ids=["get", "pop", "setdefault"],
)
def test_a_key_error_of_the_loader_is_not_taken_for_a_missing_section(
    read: Callable[[Any], object],
) -> None:
    def load(name: str) -> Any:
        raise KeyError("of the loader")

    document = Document({"list": UNLOADED}, load=load)
    with pytest.raises(KeyError, match="of the loader"):
        read(document.state)
    assert list(document.state) == ["list"]


@pytest.mark.parametrize("name", UNTOUCHED)
def test_names_assignments_and_deletions_load_nothing(name: str) -> None:
    document, store = opened()
    state = document.state
    UNTOUCHED[name](state)
    document.pending()
    document.touched()
    document.capture()
    document.loaded()
    assert store.asked == []


def test_the_repr_shows_a_mark() -> None:
    document, _ = opened({"a": [1], "b": [2]}, ["a"])
    assert repr(document.state) == "State({'a': [1], 'b': <not loaded>})"
    assert document.state["b"] == [2]
    assert repr(document.state) == "State({'a': [1], 'b': [2]})"


# ---- what is loaded -------------------------------------------------------------------------


def test_one_touch_loads_one_section_once_in_its_place() -> None:
    document, store = opened()
    assert document.loaded() == {"here"}
    section = document.state["list"]
    assert type(section) is TrackedList
    assert document.state["list"] is section
    assert store.asked == ["list"]
    assert document.loaded() == {"here", "list"}
    assert document.is_loaded("list")
    assert not document.is_loaded("dict")
    assert not document.is_loaded("no such section")
    assert list(document.state) == list(CONTENT)
    assert document.capture() == []
    section[0]["n"] = 1
    document.state["tuple"][1].append(3)
    document.state["set"].add(3)
    document.state["text"] += "!"
    assert document.capture() == [
        Splice(("text",), 9, 0, "!"),
        Set(("list", 0, "n"), 1),
        Set(("tuple",), (1, [2, 3])),
        Members(("set",), [], [3]),
    ]


def test_a_list_that_was_loaded_by_a_touch_is_watched_for_edits_behind_its_back() -> None:
    document, _ = opened()
    list.append(document.state["list"], 1)
    with pytest.raises(UntrackedEdit, match="list has 3 items"):
        document.capture()


def test_without_a_loader_the_error_says_what_to_call() -> None:
    document = Document({"plan": UNLOADED, 'od"d': UNLOADED, "here": 1})
    with pytest.raises(SectionNotLoaded, match=r'await session\.load\("plan"\)') as caught:
        document.state["plan"]
    assert caught.value.kind == "section-not-loaded"
    with pytest.raises(SectionNotLoaded, match="""await session\\.load\\('od"d'\\)"""):
        document.state.get('od"d')
    for read in (document.plain, document.state.copy, lambda: document.state == {}):
        with pytest.raises(SectionNotLoaded):
            read()
    document.put("plan", {"goal": 1})
    assert document.state["plan"] == {"goal": 1}


def test_a_value_given_from_outside_is_as_if_it_had_been_loaded() -> None:
    document, store = opened(check_edits=True)
    document.put("dict", {"b": {"c": 3}})
    assert document.is_loaded("dict")
    assert list(document.state) == list(CONTENT)
    assert document.touched() == set()
    assert document.capture() == []
    document.state["dict"]["b"]["c"] = 4
    assert document.capture() == [Set(("dict", "b", "c"), 4)]
    document.put("none", None)
    assert document.state["none"] is None
    assert store.asked == []


def test_a_value_that_comes_too_late_changes_nothing() -> None:
    document, _ = opened()
    section = document.state["list"]
    document.state["dict"] = 1
    del document.state["set"]
    for name in ("list", "dict", "set", "no such section"):
        document.put(name, ["late"])
    assert document.state["list"] is section
    assert document.state["dict"] == 1
    assert "set" not in document.state
    assert "no such section" not in document.state


# ---- saving without loading -----------------------------------------------------------------


@pytest.mark.parametrize("check_edits", [False, True])
def test_assigning_and_deleting_are_saved_as_replay_does_them(check_edits: bool) -> None:
    document, store = opened(check_edits=check_edits)
    document.state["dict"] = {"new": 1}
    del document.state["list"]
    del document.state["text"]
    document.state["text"] = "again"
    document.state["set"] = {1, 2}  # the same, for all that is known here
    expected = [
        Delete(("list",)),
        Delete(("text",)),
        Set(("dict",), {"new": 1}),
        Set(("set",), {1, 2}),
        Set(("text",), "again"),
    ]
    assert document.pending() == expected
    assert document.touched() == {"dict", "list", "text", "set"}
    assert document.capture() == expected
    assert list(document.state) == ["here", "dict", "set", "tuple", "none", "text"]
    assert store.asked == []
    document.state["dict"]["new"] = 2
    assert document.capture() == [Set(("dict", "new"), 2)]


def test_what_cannot_be_stored_is_refused_and_the_section_still_loads() -> None:
    document, _ = opened()
    with pytest.raises(NotStorable):
        document.state["list"] = print
    with pytest.raises(NotStorable):
        document.state.update(dict=1, list=print)
    assert document.capture() == []
    assert document.plain() == CONTENT


def test_the_librarys_own_sections_load_too_and_are_written_without_loading() -> None:
    content = {"perdure.tasks": [1], "perdure.goals": {"a": 1}}
    document, store = opened(content, [])
    with pytest.raises(ReservedSection):
        document.state.pop("perdure.tasks")
    with pytest.raises(ReservedSection):
        del document.state["perdure.tasks"]
    document.state.clear()
    document.write_reserved("perdure.goals", {"b": 2})
    assert store.asked == []
    document.state["perdure.tasks"].append(2)
    assert document.capture() == [
        Set(("perdure.goals",), {"b": 2}),
        Splice(("perdure.tasks",), 1, 0, [2]),
    ]


def test_check_edits_covers_what_is_loaded() -> None:
    document, _ = opened(check_edits=True)
    dict.__setitem__(document.state["dict"]["b"], "c", "behind its back")
    with pytest.raises(UntrackedEdit, match="dict/b/c"):
        document.capture()
    document.state["dict"] = document.state["dict"].plain()
    document.capture()
    document.put("list", [[1, 2]])
    list.reverse(document.state["list"][0])
    with pytest.raises(UntrackedEdit, match="list/0/0"):
        document.capture()


# ---- the end --------------------------------------------------------------------------------


def test_after_the_end_a_section_can_still_be_read_if_the_loader_works() -> None:
    document, store = opened()
    document.close()
    section = document.state["dict"]
    assert section == CONTENT["dict"]
    with pytest.raises(Detached, match="dict belongs to a session that has ended"):
        section["b"] = 1
    store.failures = 1
    with pytest.raises(OSError, match="reached"):
        document.state["list"]
    assert document.plain() == CONTENT
    with pytest.raises(Detached):
        document.state["list"] = 1
