"""Atomic blocks: what undo puts back, and what stays live after it."""

import copy
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perdure.core.changes import Splice
from perdure.core.values import same
from perdure.errors import SaveInsideAtomic
from perdure.state import Document, TrackedList


def busy(state: Any) -> None:
    """Edits of every kind."""
    state["messages"].append({"n": 9})
    state["messages"][0]["parts"].clear()
    state["messages"][-1]["m"] = state["messages"].pop(1)
    state["messages"].sort(key=lambda item: -item["n"])
    state["plan"]["t"][1].append("x")
    state["plan"].pop("u", None)
    state["plan"]["text"] += "more"
    state["seen"] ^= {1, 5}
    del state["old"]
    state["new"] = [state["seen"]]


CONTENT: dict[str, Any] = {
    "messages": [{"n": 1, "parts": [1]}, {"n": 2, "parts": []}, {"n": 3}],
    "plan": {"t": (1, [2]), "u": {"v": 1}, "text": "some"},
    "seen": {1, 2},
    "old": [[1]],
}


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("read", [True, False])
def test_undo_restores_content_marks_and_live_nodes(captured: bool, read: bool) -> None:
    document = Document(copy.deepcopy(CONTENT))
    state = document.state
    state["messages"][2]["before"] = True
    state["plan"]["text"] += "!"
    state["seen"].add(7)
    if captured:
        document.capture()
    held = [state["messages"][1], state["plan"]["t"][1], state["old"][0]] if read else []
    before, pending = document.plain(), document.pending()
    document.begin()
    busy(state)
    inside = state["messages"][0]
    assert document.plain() != before
    document.undo()
    assert same(document.plain(), before)
    assert repr(document.pending()) == repr(pending)
    if read:
        assert state["messages"][1] is held[0]
        assert state["plan"]["t"][1] is held[1]
        assert state["old"][0] is held[2]
    document.capture()
    inside["edited"] = True
    for node in held:
        node.clear()
    assert len(document.capture()) == len(held)


def test_what_is_read_inside_a_block_stays_live_after_undo() -> None:
    document = Document(copy.deepcopy(CONTENT))
    document.begin()
    first = document.state["messages"][0]
    document.state["messages"].insert(0, {})
    popped = document.state["messages"].pop()
    inner = document.state["plan"]["t"][1]
    document.state["plan"].clear()
    document.undo()
    first["n"] = 10
    popped["n"] = 30
    inner.append(4)
    assert document.state["messages"][0] is first
    assert document.state["messages"][2] is popped
    assert document.plain() == {
        **CONTENT,
        "messages": [{"n": 10, "parts": [1]}, {"n": 2, "parts": []}, {"n": 30}],
        "plan": {"t": (1, [2, 4]), "u": {"v": 1}, "text": "some"},
    }
    assert len(document.capture()) == 3


def test_what_was_inserted_inside_a_block_is_free_after_undo() -> None:
    document = Document({"a": []})
    document.begin()
    document.state["a"].append({"n": 1})
    fresh = document.state["a"][0]
    fresh["m"] = 2
    document.undo()
    fresh["m"] = 3
    assert document.capture() == []
    document.state["a"].append(fresh)
    assert document.state["a"][0] is fresh


def test_blocks_nest() -> None:
    document = Document({"a": [1]})
    items = document.state["a"]
    document.begin()
    items.append(2)
    document.begin()
    items.append(3)
    document.undo()
    assert items == [1, 2]
    document.begin()
    items.append(4)
    document.keep()
    assert items == [1, 2, 4]
    document.undo()
    assert items == [1]
    assert document.capture() == []


def test_a_view_made_inside_a_block_shows_tracked_children_after_undo() -> None:
    document = Document({"a": {"x": [1], "y": [2]}})
    document.begin()
    section = document.state["a"]
    del section["x"]
    values = section.values()
    document.undo()
    assert [type(child) for child in values] == [TrackedList, TrackedList]


@pytest.mark.parametrize(
    "call",
    [
        lambda document: document.capture(),
        lambda document: document.apply([]),
        lambda document: document.replace({}),
    ],
    ids=["capture", "apply", "replace"],
)
def test_nothing_is_saved_or_refreshed_inside_a_block(call: Callable[[Document], object]) -> None:
    document = Document({"a": [1]})
    document.begin()
    document.state["a"].append(2)
    with pytest.raises(SaveInsideAtomic):
        call(document)
    document.keep()
    assert document.capture() == [Splice(("a",), 1, 0, [2])]


def test_a_list_that_only_grows_in_a_block_is_not_copied() -> None:
    document = Document({"a": [{"n": n} for n in range(3)]})
    items = document.state["a"]
    first = items[0]
    held = sys.getrefcount(first)
    document.begin()
    items.append({"n": 3})
    items.extend([{"n": 4}, {"n": 5}])
    items += [{"n": 6}]
    document.begin()
    items.append({"n": 7})
    document.keep()
    assert sys.getrefcount(first) == held
    items.pop(0)
    assert sys.getrefcount(first) > held
    document.undo()
    assert items == [{"n": n} for n in range(3)]
    assert items[0] is first
    assert document.capture() == []


GROWING: list[Callable[[Any], object]] = [
    lambda items: items.append(1),
    lambda items: items.extend([2]),
    lambda items: items.extend([3, {"n": 4}]),
    lambda items: [each.update(n=each["n"] + 1) for each in items if isinstance(each, dict)],
]
OTHERS: list[Callable[[Any], object]] = [
    lambda items: items.insert(0, 5),
    lambda items: items and items.pop(0),
    lambda items: items and items.pop(),
    lambda items: items.reverse(),
    lambda items: items.__setitem__(slice(1, None), [6]),
    lambda items: items.clear(),
]


@pytest.mark.parametrize("seed", range(30))
def test_undoing_gives_back_a_list_however_it_grew_and_changed_in_nested_blocks(seed: int) -> None:
    choose = random.Random(seed)
    document = Document({"a": [{"n": 0}, 7, [8]]})
    items = document.state["a"]
    before = [copy.deepcopy(document.plain())]
    for _ in range(60):
        step = choose.random()
        if step < 0.2:
            before.append(copy.deepcopy(document.plain()))
            document.begin()
        elif step < 0.4 and len(before) > 1:
            saved = before.pop()
            if choose.random() < 0.5:
                document.keep()
            else:
                document.undo()
                assert same(document.plain(), saved)
        else:
            choose.choice(GROWING if choose.random() < 0.7 else OTHERS)(items)
    while len(before) > 1:
        document.undo()
        assert same(document.plain(), before.pop())
    replayed = Document(copy.deepcopy({"a": [{"n": 0}, 7, [8]]}))
    replayed.apply(document.capture())
    assert same(replayed.plain(), document.plain())


def test_undoing_a_block_takes_back_what_a_list_grew_by_in_one_inside_it() -> None:
    document = Document({"a": [{"n": 0}]})
    document.begin()
    document.state["a"][0]["n"] = 1
    document.begin()
    document.state["a"].append(1)
    document.keep()
    document.undo()
    assert document.plain() == {"a": [{"n": 0}]}
