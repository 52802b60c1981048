"""One place per node: moving, copying, being free; cycles and depth."""

import copy
from typing import Any

import pytest

from perdure import limits
from perdure.core.changes import Set, Splice, apply
from perdure.errors import Detached, NotStorable
from perdure.state import Document

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
