"""One place per node: moving, copying, being free, blocks that undo, and changes from elsewhere."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from perdure import limits
from perdure.core.changes import Change, Delete, Members, Set, Splice, apply
from perdure.core.values import same
from perdure.errors import Detached, NotStorable, ReplayMismatch, SaveInsideAtomic
from perdure.state import MISSING, Document, TrackedDict, TrackedList

# ---- moving and copying ---------------------------------------------------------------------


def test_a_popped_node_goes_in_elsewhere_as_it_is() -> None:
    base = {"todo": [{"t": "a"}, {"t": "b"}], "done": []}
    document = Document(copy.deepcopy(base))
    todo, done = document.state["todo"], document.state["done"]
    task = todo.pop()
    task["by"] = "me"
    done.append(task)
    task["s"] = 1
    assert done[0] is task
    apply(base, copy.deepcopy(document.capture()))
    assert base == {"todo": [{"t": "a"}], "done": [{"t": "b", "by": "me", "s": 1}]}
    task["s"] = 2
    assert document.capture() == [Set(("done", 0, "s"), 2)]


def test_a_node_that_has_a_place_goes_in_as_a_copy() -> None:
    document = Document({"a": [{"n": 1}], "b": None})
    first = document.state["a"][0]
    document.state["b"] = first
    document.state["a"].append(first)
    first["n"] = 2
    assert document.plain() == {"a": [{"n": 2}, {"n": 1}], "b": {"n": 1}}


def test_a_free_node_inserted_twice_at_once_goes_in_once() -> None:
    document = Document({"a": [{"n": 1}]})
    items = document.state["a"]
    free = items.pop()
    items.extend([free, free])
    free["n"] = 2
    assert items == [{"n": 2}, {"n": 1}]
    assert items[0] is free


def test_reordering_in_one_operation_keeps_every_identity() -> None:
    document = Document({"a": [{"n": n} for n in range(5)]})
    items = document.state["a"]
    held = list(items)
    items.reverse()
    items.sort(key=lambda item: item["n"] % 3)
    items[1:4] = [items[3], items[1], items[2]]
    items[::2] = items[::-2]
    document.capture()
    for node in held:
        node["seen"] = True
    assert len(document.capture()) == 5
    assert all(any(each is node for node in held) for each in items)


def test_a_node_moves_between_documents_when_it_is_free() -> None:
    one, other = Document({"a": [{"n": {"m": 1}}]}), Document({"b": []})
    placed = one.state["a"][0]
    other.state["b"].append(placed)
    assert other.state["b"][0] is not placed
    inner = placed["n"]
    free = one.state["a"].pop()
    other.state["b"][0] = free
    one.close()
    inner["m"] = 2
    assert other.plain() == {"b": [{"n": {"m": 2}}]}
    assert other.capture() == [Splice(("b",), 0, 0, [{"n": {"m": 2}}])]
    other.close()
    with pytest.raises(Detached):
        inner["m"] = 3


def test_a_node_that_an_open_block_may_put_back_is_copied() -> None:
    one, other = Document({"a": [{"n": 1}]}), Document({"b": []})
    one.begin()
    free = one.state["a"].pop()
    other.state["b"].append(free)
    one.undo()
    free["n"] = 2
    assert one.plain() == {"a": [{"n": 2}]}
    assert other.plain() == {"b": [{"n": 1}]}


def test_a_free_node_can_be_edited_and_changes_no_state() -> None:
    document = Document({"a": {"x": [1, {"y": 2}]}, "b": [[1]]})
    popped = document.state["a"].pop("x")
    overwritten = document.state["b"][0]
    document.state["b"][0] = [2]
    document.capture()
    popped.append(3)
    popped[1]["y"] = 4
    overwritten.clear()
    assert document.capture() == []
    document.close()
    popped[1]["y"] = 5
    assert popped == [1, {"y": 5}, 3]
    assert document.plain() == {"a": {}, "b": [[2]]}


# ---- cycles and depth -----------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_a_cycle_is_refused_by_path_and_nothing_has_changed() -> None:
    document = Document({"a": {"b": {"c": {}}}})
    free = document.state["a"].pop("b")
    inner = free["c"]
    for container in (free, inner):
        with pytest.raises(NotStorable, match="me: a container cannot be inside itself"):
            container["me"] = free
        with pytest.raises(NotStorable, match="me: a container cannot be inside itself"):
            container.update(ok=1, me=free)
    items: list[Any] = []
    items.append(items)
    with pytest.raises(NotStorable, match="a/x/0: contains itself, as a/x"):
        document.state["a"] = {"x": items}
    assert free == {"c": {}}
    document.state["a"]["b"] = free
    inner["me"] = free  # it has a place: a copy goes in
    assert document.plain() == {"a": {"b": {"c": {"me": {"c": {}}}}}}


def test_depth_is_bounded_where_a_value_goes_in() -> None:
    deepest = limits.depth_max
    document = Document({})
    document.state["a"] = nested(deepest)
    with pytest.raises(NotStorable, match="deep"):
        document.state["b"] = nested(deepest + 1)
    document.state["c"] = [nested(deepest - 1)]
    with pytest.raises(NotStorable, match="deep"):
        document.state["c"].append(nested(deepest))
    with pytest.raises(NotStorable, match="deep"):
        document.state["c"][0].append([nested(deepest - 2)])
    assert document.plain() == {"a": nested(deepest), "c": [nested(deepest - 1)]}


def test_depth_is_bounded_where_a_free_node_goes_in() -> None:
    document = Document({"a": [nested(limits.depth_max - 1)], "b": {"c": []}})
    free = document.state["a"].pop()
    with pytest.raises(NotStorable, match="deep") as refused:
        document.state["b"]["c"].append(free)
    assert refused.value.path[:3] == ("b", "c", 0)
    assert document.state["b"] == {"c": []}
    document.state["a"].append(free)
    assert document.plain()["a"] == [nested(limits.depth_max - 1)]


# ---- atomic blocks --------------------------------------------------------------------------


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


# ---- changes from elsewhere -----------------------------------------------------------------


def test_live_nodes_follow_their_items_when_others_change_the_list() -> None:
    document = Document({"m": [{"n": 0}, {"n": 1}, {"n": 2}], "mine": []})
    held = list(document.state["m"])
    document.state["mine"].append("uncaptured")
    document.apply(
        [
            Splice(("m",), 0, 1, [{"n": "new"}, {"n": "newer"}]),
            Set(("m", 2, "by"), "them"),
            Set(("m", 3), "gone"),
        ]
    )
    assert document.state["m"] == [{"n": "new"}, {"n": "newer"}, {"n": 1, "by": "them"}, "gone"]
    assert document.state["m"][2] is held[1]
    for replaced in (held[0], held[2]):
        with pytest.raises(Detached, match=r"session\.state"):
            replaced["x"] = 1
    held[1]["mine"] = True
    assert document.capture() == [
        Splice(("mine",), 0, 0, ["uncaptured"]),
        Set(("m", 2, "mine"), True),
    ]


def test_every_change_from_elsewhere_is_made_as_replay_makes_it() -> None:
    content = {
        "d": {"a": 1, "b": [1, 2], "text": "abc", "raw": b"abc", "s": {1, "x"}, "t": (1, [2])},
        "e": "whole",
        "f": [[1]],
    }
    changes: list[Change] = [
        Set(("d", "a"), {"deep": [1]}),
        Set(("d", "new"), (1, [2])),
        Delete(("d", "t")),
        Splice(("d", "text"), 3, 0, "def"),
        Splice(("d", "raw"), 0, 1, b""),
        Splice(("d", "b"), 1, 1, [{}, []]),
        Members(("d", "s"), [1], [2, 3]),
        Set(("f", 0), "x"),
        Set(("e",), {"now": "a dict"}),
        Set(("f",), [1, 2]),
        Delete(("d",)),
        Set(("d",), {"again": 1}),
    ]
    for count in range(len(changes) + 1):
        plain = copy.deepcopy(content)
        apply(plain, copy.deepcopy(changes[:count]))
        for read in (False, True):
            document = Document(copy.deepcopy(content), check_edits=True)
            if read:
                for section in document.state.values():
                    list(section)
            document.apply(copy.deepcopy(changes[:count]))
            assert same(document.plain(), plain)
            assert document.touched() == set()
            assert document.capture() == []


def test_a_section_that_stays_of_its_kind_stays_the_same_object() -> None:
    document = Document({"l": [{"n": 1}], "d": {"x": [1]}, "s": {1}, "k": [1]})
    state = document.state
    held = [state["l"], state["d"], state["s"]]
    inner = [state["l"][0], state["d"]["x"]]
    document.apply([Set(("l",), [{"n": 2}]), Set(("d",), {"y": [2]}), Set(("s",), {2})])
    document.apply([Set(("k",), {"now": "a dict"})])
    assert [state["l"], state["d"], state["s"]] == [[{"n": 2}], {"y": [2]}, {2}]
    assert all(state[name] is node for name, node in zip("lds", held, strict=True))
    for node in inner:
        with pytest.raises(Detached):
            node.clear()
    assert document.capture() == []


@pytest.mark.parametrize(
    "change",
    [
        Set(("a", 9), 1),
        Set(("a", "x"), 1),
        Set(("none", "x"), 1),
        Delete(("none",)),
        Delete(("a", 0)),
        Splice(("a",), 1, 5, []),
        Splice(("a",), 0, 0, "text"),
        Splice(("t",), 9, 0, "text"),
        Splice(("t",), 0, 0, b""),
        Splice(("n",), 0, 0, "x"),
        Members(("s",), [9], []),
        Members(("s",), [], [1]),
        Members(("a",), [], [1]),
        Set(("t", "x"), 1),
    ],
)
def test_changes_that_do_not_fit_are_refused_whole(change: Change) -> None:
    content = {"a": [{"x": 1}], "t": "abc", "s": {1}, "n": None}
    document = Document(copy.deepcopy(content), check_edits=True)
    held = document.state["a"][0]
    with pytest.raises(ReplayMismatch):
        document.apply([Set(("a", 0), "other"), Set(("b",), [1]), change])
    assert document.plain() == content
    held["x"] = 2
    assert document.capture() == [Set(("a", 0, "x"), 2)]


def test_changes_to_a_section_with_edits_of_its_own_are_refused() -> None:
    document = Document({"a": [1], "b": [2]})
    document.state["a"].append(1)
    with pytest.raises(ValueError, match="uncaptured edits: a"):
        document.apply([Set(("b", 0), 3), Set(("a", 0), 3)])
    assert document.plain() == {"a": [1, 1], "b": [2]}


def test_new_sections_of_ours_go_after_those_of_others() -> None:
    """P13: the order is that in which the next session will find them."""
    document = Document({"a": 1, "b": 2}, check_edits=True)
    document.state["ours"] = 1
    document.state["a"] = document.state.pop("a")
    document.apply([Set(("theirs",), 2), Delete(("b",)), Set(("b",), 3)])
    assert list(document.state) == ["theirs", "b", "ours", "a"]
    base = {"a": 1, "theirs": 2, "b": 3}
    apply(base, document.capture())
    assert list(base) == list(document.state)


def test_replace_throws_edits_away_and_keeps_sections_live() -> None:
    document = Document({"l": [{"n": 1}], "d": {"x": 1}, "k": [1], "n": 1, "z": [1]})
    state = document.state
    sections = {name: state[name] for name in state}
    inner = sections["l"][0]
    inner["n"] = 2
    sections["d"]["y"] = 3
    sections["z"].append("stays")
    state["n"] = 2
    state["mine"] = [1]
    mine = state["mine"]
    document.replace(
        {"l": [{"n": 9}], "d": {}, "k": {"kind": "other"}, "n": 5, "mine": MISSING, "o": [7]}
    )
    assert document.plain() == {
        "l": [{"n": 9}],
        "d": {},
        "k": {"kind": "other"},
        "n": 5,
        "z": [1, "stays"],
        "o": [7],
    }
    assert document.touched() == {"z"}
    assert state["l"] is sections["l"]
    assert state["d"] is sections["d"]
    for node in (inner, sections["k"], mine):
        with pytest.raises(Detached, match="replaced by newer content"):
            node.clear()
    assert inner == {"n": 2}
    sections["l"][0]["m"] = 1
    sections["l"].append(1)
    assert document.capture() == [
        Splice(("z",), 1, 0, ["stays"]),
        Splice(("l",), 1, 0, [1]),
        Set(("l", 0, "m"), 1),
    ]


def test_replace_puts_a_section_deleted_here_back_where_it_was() -> None:
    document = Document({"a": [1], "b": 2, "c": 3}, check_edits=True)
    held = document.state["a"]
    del document.state["a"]
    document.state["new"] = 4
    document.replace({"a": [5]})
    assert list(document.state) == ["a", "b", "c", "new"]
    held.append(9)
    assert document.capture() == [Set(("new",), 4)]


def test_sections_stand_as_replay_orders_them_then_ours_that_are_new() -> None:
    document = Document({"a": 1, "b": 2, "c": 3})
    document.state["waits"] = 4
    document.capture()
    document.state["mine"] = 5
    document.state["a"] = document.state.pop("a")
    document.apply([Set(("theirs",), 6)], order=["a", "b", "c", "theirs", "waits"])
    assert list(document.state) == ["b", "c", "theirs", "waits", "mine", "a"]
    assert document.capture() == [Delete(("a",)), Set(("mine",), 5), Set(("a",), 1)]
    document.apply([], order=["c"])  # whoever is not named is not lost
    assert list(document.state) == ["c", "b", "theirs", "waits", "mine", "a"]


def test_a_replaced_node_goes_in_again_as_a_copy() -> None:
    document = Document({"a": [{"n": 1}]})
    old = document.state["a"][0]
    document.replace({"a": []})
    document.state["a"].append(old)
    assert document.state["a"][0] == {"n": 1}
    assert document.state["a"][0] is not old
    assert type(document.state["a"][0]) is TrackedDict
