"""Sections that are not loaded, in others' changes and in atomic blocks."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.lazy import CONTENT, LOADED, opened

from perdure.core.changes import Change, Delete, Members, Set, Splice
from perdure.core.values import same
from perdure.errors import (
    Detached,
    ReplayMismatch,
)
from perdure.state import MISSING, UNLOADED, Document, TrackedDict

# ---- others' changes ------------------------------------------------------------------------


@pytest.mark.parametrize("check_edits", [False, True])
def test_others_changes_to_what_is_not_loaded_are_left_to_the_loader(check_edits: bool) -> None:
    document, store = opened(check_edits=check_edits)
    theirs: list[Change] = [
        Splice(("list",), 0, 0, [0]),
        Set(("here", "a", 0), 2),
        Set(("dict", "b", "c"), 3),
        Set(("list", 0), 1),
        Members(("set",), [1], [3]),
        Set(("new",), [1]),
        Splice(("new",), 1, 0, [2]),
    ]
    assert document.apply(theirs) == [theirs[0], *theirs[2:5]]
    assert store.asked == []
    assert document.loaded() == {"here", "new"}
    assert list(document.state) == [*CONTENT, "new"]
    store.content = {**CONTENT, "list": ["theirs"]}
    assert document.state["list"] == ["theirs"]
    assert document.state["here"] == {"a": [2]}
    assert document.state["new"] == [1, 2]
    assert document.capture() == []


def test_a_whole_section_of_others_is_taken_at_once() -> None:
    document, store = opened(check_edits=True)
    later = document.apply(
        [
            Splice(("list",), 0, 0, [0]),
            Splice(("text",), 0, 0, "x"),
            Set(("list",), ["whole"]),
            Splice(("list",), 1, 0, ["more"]),
            Members(("set",), [1], []),
            Delete(("set",)),
            Set(("dict", "b"), 1),
            Delete(("dict",)),
            Set(("dict",), {"b": 2}),
            Set(("dict", "b"), 3),
        ]
    )
    assert later == [Splice(("text",), 0, 0, "x")]
    assert store.asked == []
    assert list(document.state) == ["list", "here", "tuple", "text", "none", "dict"]
    assert document.state["list"] == ["whole", "more"]
    assert document.state["dict"] == {"b": 3}
    assert document.capture() == []


def test_others_changes_that_do_not_fit_leave_all_as_it_was() -> None:
    document, _ = opened(check_edits=True)
    with pytest.raises(ReplayMismatch):
        document.apply([Set(("list",), []), Delete(("dict",)), Delete(("no such section",))])
    assert document.loaded() == LOADED
    assert document.capture() == []
    assert document.plain() == CONTENT


def test_others_changes_to_what_was_assigned_or_deleted_here_are_refused() -> None:
    document, _ = opened()
    document.state["list"] = []
    del document.state["dict"]
    with pytest.raises(ValueError, match="uncaptured edits: dict, list"):
        document.apply([Set(("dict", "b"), 1), Set(("text",), ""), Splice(("list",), 0, 0, [1])])


@pytest.mark.parametrize("check_edits", [False, True])
def test_edits_can_be_given_up_for_a_section_that_is_not_loaded(check_edits: bool) -> None:
    document, store = opened(check_edits=check_edits)
    kept = document.state["here"]
    del document.state["list"]
    document.state["dict"] = {"mine": 1}
    mine = document.state["dict"]
    kept["mine"] = 1
    document.state["new"] = 1
    document.replace(
        {"list": UNLOADED, "dict": UNLOADED, "here": UNLOADED, "set": {3}, "new": MISSING}
    )
    assert document.loaded() == {"set"}
    assert document.touched() == set()
    assert list(document.state) == list(CONTENT)
    assert document.capture() == []
    for node in (mine, kept):
        with pytest.raises(Detached, match="replaced by newer content"):
            node["x"] = 1
    assert store.asked == []
    assert document.plain() == {**CONTENT, "set": {3}}


def test_sections_are_in_the_order_given_loaded_or_not() -> None:
    document, store = opened(check_edits=True)
    document.state["waits"] = 1
    document.capture()
    document.apply([Set(("theirs",), 1)], order=[*CONTENT, "theirs", "waits"])
    assert list(document.state) == [*CONTENT, "theirs", "waits"]
    assert document.capture() == []
    assert store.asked == []


# ---- atomic blocks --------------------------------------------------------------------------


def load_by_touch(document: Document) -> None:
    document.state["dict"]


def load_from_outside(document: Document) -> None:
    document.put("dict", copy.deepcopy(CONTENT["dict"]))


EDITS: list[Callable[[Any], object]] = [
    lambda state: None,
    lambda state: state["dict"]["b"].update(c=3, d=4),
    lambda state: state.pop("dict").clear(),
    lambda state: state.__delitem__("dict"),
    lambda state: state.__setitem__("dict", 1),
    lambda state: state.__setitem__("moved", [state.pop("dict")]),
    lambda state: state.clear(),
    lambda state: state.copy(),
    lambda state: state.__setitem__("new", 1),
]
NUMBERED = [pytest.param(edit, id=str(number)) for number, edit in enumerate(EDITS)]


@pytest.mark.parametrize("load", [load_by_touch, load_from_outside])
@pytest.mark.parametrize("before", NUMBERED)
@pytest.mark.parametrize("after", NUMBERED)
@pytest.mark.parametrize("nested", [False, True])
def test_undo_leaves_a_section_loaded_and_clean_or_not_loaded(
    load: Callable[[Document], None],
    before: Callable[[Any], object],
    after: Callable[[Any], object],
    nested: bool,
) -> None:
    document, store = opened(check_edits=True)
    document.begin()
    before(document.state)
    if nested:
        document.begin()
    if "dict" in document.state:
        load(document)
    if "dict" in document.state and type(document.state["dict"]) is TrackedDict:
        after(document.state)
    if nested:
        document.undo()
    document.undo()
    loaded, asked = document.loaded(), len(store.asked)
    assert document.pending() == []
    assert document.capture() == []
    assert list(document.state) == list(CONTENT)
    assert len(store.asked) == asked
    assert same(document.plain(), CONTENT)
    assert store.asked[asked:] == [name for name in CONTENT if name not in loaded]
    document.state["dict"]["b"]["c"] = 9
    assert document.capture() == [Set(("dict", "b", "c"), 9)]


def test_a_section_read_inside_a_block_stays_the_same_live_object_after_undo() -> None:
    document, store = opened()
    document.begin()
    document.state["new"] = 1
    section = document.state["dict"]
    text = document.state["text"]
    section["b"]["c"] = 3
    document.state["text"] = text + "!"
    document.undo()
    assert document.state["dict"] is section
    assert document.state["text"] == text
    assert store.asked == ["dict", "text"]
    section["b"]["c"] = 4
    document.state["text"] += "?"
    assert document.capture() == [Splice(("text",), 9, 0, "?"), Set(("dict", "b", "c"), 4)]


def test_a_block_that_is_undone_loads_nothing() -> None:
    document, store = opened(failures=100)
    document.begin()
    del document.state["list"]
    document.state.clear()
    assert document.state.copy() == {}
    document.undo()
    assert list(document.state) == list(CONTENT)
    assert store.asked == []
