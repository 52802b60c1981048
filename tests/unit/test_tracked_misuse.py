"""Edits that could not be saved are refused or found; the message says how to repair."""

import bisect
import heapq
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import perdure
from perdure import limits
from perdure.core.changes import Change, Set, Splice
from perdure.errors import (
    ConcurrentEdit,
    Detached,
    NotStorable,
    ReservedSection,
    UntrackedEdit,
)
from perdure.state import Document

EDITS: list[tuple[Any, Callable[[Any], object]]] = [
    ({"a": 1}, lambda node: node.__setitem__("a", 2)),
    ({"a": 1}, lambda node: node.__delitem__("a")),
    ({"a": 1}, lambda node: node.pop("none", None)),
    ({"a": 1}, lambda node: node.popitem()),
    ({"a": 1}, lambda node: node.clear()),
    ({"a": 1}, lambda node: node.update()),
    ({"a": 1}, lambda node: node.__ior__({})),
    ({"a": 1}, lambda node: node.setdefault("b", 1)),
    ([1], lambda node: node.append(1)),
    ([1], lambda node: node.extend([])),
    ([1], lambda node: node.__iadd__([])),
    ([1], lambda node: node.__imul__(1)),
    ([1], lambda node: node.insert(0, 1)),
    ([1], lambda node: node.pop()),
    ([1], lambda node: node.remove(1)),
    ([1], lambda node: node.clear()),
    ([1], lambda node: node.reverse()),
    ([1], lambda node: node.sort()),
    ([1], lambda node: node.__setitem__(0, 1)),
    ([1], lambda node: node.__setitem__(slice(0), [])),
    ([1], lambda node: node.__delitem__(0)),
    ({1}, lambda node: node.add(1)),
    ({1}, lambda node: node.discard(2)),
    ({1}, lambda node: node.remove(1)),
    ({1}, lambda node: node.pop()),
    ({1}, lambda node: node.clear()),
    ({1}, lambda node: node.update()),
    ({1}, lambda node: node.difference_update()),
    ({1}, lambda node: node.intersection_update()),
    ({1}, lambda node: node.symmetric_difference_update([])),
    ({1}, lambda node: node.__ior__({2})),
    ({1}, lambda node: node.__iand__({2})),
    ({1}, lambda node: node.__isub__({2})),
    ({1}, lambda node: node.__ixor__({2})),
]


@pytest.mark.parametrize(("content", "edit"), EDITS, ids=range(len(EDITS)))
def test_after_the_end_reading_works_and_every_edit_is_refused(
    content: Any, edit: Callable[[Any], object]
) -> None:
    document = Document({"s": [content]})
    node = document.state["s"][0]
    document.close()
    with pytest.raises(Detached, match="s/0 belongs to a session that has ended"):
        edit(node)
    assert node == content
    assert document.state["s"] == [content]
    with pytest.raises(Detached):
        document.state["t"] = 1
    with pytest.raises(Detached):
        del document.state["s"]


@pytest.mark.parametrize(("content", "edit"), EDITS, ids=range(len(EDITS)))
def test_a_node_that_was_replaced_refuses_every_edit(
    content: Any, edit: Callable[[Any], object]
) -> None:
    document = Document({"s": [{"in": content}, 1]})
    node = document.state["s"][0]["in"]
    document.apply([Splice(("s",), 0, 1, [])])
    with pytest.raises(Detached, match="Take the container again"):
        edit(node)
    assert node == content


def test_what_is_read_from_a_replaced_node_refuses_edits_too() -> None:
    document = Document({"s": [{"in": [[1]]}]})
    node = document.state["s"][0]
    document.replace({"s": []})
    with pytest.raises(Detached):
        node["in"][0].append(2)


def test_an_atomic_block_ends_well_after_the_end_of_the_session() -> None:
    document = Document({"s": [1]})
    document.begin()
    document.state["s"].append(2)
    document.close()
    document.undo()
    assert document.plain() == {"s": [1]}
    with pytest.raises(Detached):
        document.state["s"].append(2)


# ---- C code that bypasses the methods -------------------------------------------------------


def push(items: Any) -> None:
    heapq.heappush(items, 0)


BYPASSES: list[Callable[[Any], object]] = [
    push,
    heapq.heappop,
    lambda items: list.append(items, 1),
    list.clear,
    lambda items: list.__iadd__(items, [1, 2]),
]


@pytest.mark.parametrize("dirty", [False, True])
@pytest.mark.parametrize("bypass", BYPASSES, ids=["push", "heappop", "append", "clear", "iadd"])
def test_a_list_changed_behind_its_back_is_found_by_its_length(
    bypass: Callable[[Any], object], dirty: bool
) -> None:
    document = Document({"jobs": {"queue": [1, 2, 3]}, "other": 1})
    queue = document.state["jobs"]["queue"]
    document.capture()
    if dirty:
        queue[0] = 0
    bypass(queue)
    document.state["other"] = 2
    for _ in range(2):  # the marks are still there: the next save finds it again
        with pytest.raises(UntrackedEdit, match=r"jobs/queue has .* heapq.heappush\(copy, …\)"):
            document.capture()
    document.state["jobs"]["queue"] = list(queue)
    changes = document.capture()
    assert changes == [Set(("other",), 2), Set(("jobs", "queue"), queue)]
    assert document.capture() == []


@pytest.mark.parametrize("before", [0, 1, 2])
def test_the_list_can_be_repaired_in_place(before: int) -> None:
    base = [3, 2, 1]
    document = Document({"queue": list(base)})
    queue = document.state["queue"]
    if before:
        queue.append(4)
    heapq.heappush(queue, 0)
    if before > 1:
        queue.insert(1, 9)
        del queue[-1]
    with pytest.raises(UntrackedEdit):
        document.capture()
    now = list(queue)
    queue[:] = now
    assert document.capture() == [Splice(("queue",), 0, 3, now)]
    queue.append(5)
    assert document.capture() == [Splice(("queue",), len(now), 0, [5])]


def test_the_way_that_the_message_shows_works() -> None:
    document = Document({"queue": [3, 5, 4]})
    queue = document.state["queue"]
    copy = list(queue)
    heapq.heappush(copy, 1)
    bisect.insort(copy, 9)
    queue[:] = copy
    document.capture()
    assert document.plain() == {"queue": copy}


def test_lists_inserted_or_found_below_others_are_checked() -> None:
    document = Document({"a": [{"deep": [1]}]})
    document.state["b"] = []
    document.capture()
    heapq.heappush(document.state["b"], 1)
    with pytest.raises(UntrackedEdit, match="b has 1 items where its own methods left 0"):
        document.capture()
    document.state["b"] = [1]
    document.capture()
    heapq.heappush(document.state["a"][0]["deep"], 1)
    with pytest.raises(UntrackedEdit, match="a/0/deep"):
        document.capture()


def test_lists_that_left_the_state_are_not_checked() -> None:
    document = Document({"a": [1], "b": [1], "c": [1]})
    lists = [document.state[name] for name in "abc"]
    del document.state["a"]
    document.state["b"] = 1
    document.replace({"c": MISSING_LIST})
    for each in lists[:2]:
        heapq.heappush(each, 0)
    assert len(document.capture()) == 2


MISSING_LIST: list[int] = []


def test_the_check_of_lengths_is_bounded() -> None:
    count = limits.edit_check_lists_max
    document = Document({"lists": {str(n): [n] for n in range(count + 1)}})
    lists = [document.state["lists"][str(n)] for n in range(count + 1)]
    heapq.heappush(lists[0], 0)
    assert document.capture() == []
    heapq.heappush(lists[1], 0)
    with pytest.raises(UntrackedEdit, match="lists/1"):
        document.capture()


@pytest.mark.parametrize(
    "content", [[[3], [5]], {"a": [3], "b": [5]}, [{"in": [3]}], [([3], 1)]], ids=repr
)
def test_lists_taken_from_an_iterator_are_checked_at_the_end(content: Any) -> None:
    document = Document({"s": content, "other": [1]})

    def lists(value: Any) -> Iterator[Any]:
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list | tuple):
                yield from lists(each)
        if isinstance(value, list):
            yield value

    document.check_lists()
    heapq.heappush(next(lists(document.state["s"])), 1)
    document.state["other"].append(2)
    for _ in range(2):
        with pytest.raises(UntrackedEdit, match=r"s/.* has 2 items where its own methods left 1"):
            document.check_lists()
    document.state["s"] = document.state["s"].plain()
    document.check_lists()
    assert len(document.capture()) == 2


def test_a_session_does_not_end_without_an_edit_behind_its_back() -> None:
    with perdure.Store("memory:behind") as store:
        session = store.open("a")
        session.state["queues"] = [[3], [5]]
        session.save()
        for queue in session.state["queues"]:
            heapq.heappush(queue, 1)
        with pytest.raises(UntrackedEdit):
            session.close()
        for queue in session.state["queues"]:
            queue[:] = list(queue)
        session.close()
        assert store.at("a", 2).plain() == {"queues": [[1, 3], [1, 5]]}


SILENT: list[tuple[Any, Callable[[Any], object], str]] = [
    ([3, 2, 1], heapq.heapify, "s/in/0"),
    ([3, 2, 1], lambda node: list.__setitem__(node, 1, 0), "s/in/1"),
    ([3, 2, 1], lambda node: list.append(node, 0), "s/in"),
    ({"a": 1}, lambda node: dict.__setitem__(node, "a", 2), "s/in/a"),
    ({"a": 1}, lambda node: dict.__setitem__(node, "b", 2), "s/in/b"),
    ({"a": 1, "b": 2}, lambda node: dict.pop(node, "b"), "s/in/b"),
    ({"a": 1, "b": 2}, lambda node: dict.__setitem__(node, "a", dict.pop(node, "a")), "s/in"),
    ({1}, lambda node: set.add(node, 2), "s/in"),
]


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize(("content", "bypass", "where"), SILENT, ids=range(len(SILENT)))
def test_check_edits_finds_every_edit_behind_the_back(
    content: Any, bypass: Callable[[Any], object], where: str, others: bool
) -> None:
    document = Document({"s": {"in": content}, "n": 0}, check_edits=True)
    node = document.state["s"]["in"]
    assert document.capture() == []
    if others:
        document.state["n"] = 1
        document.capture()
        document.apply([Set(("n",), 2)])
        document.replace({"t": [1]})
        document.state["t"].append(2)
    bypass(node)
    for _ in range(2):
        with pytest.raises(UntrackedEdit, match=f"{where} (was|has)"):
            document.capture()
    document.state["s"]["in"] = node.plain()
    changes: list[Change] = [Splice(("t",), 1, 0, [2])] if others else []
    assert sorted(document.capture(), key=repr) == sorted(
        [*changes, Set(("s", "in"), node)], key=repr
    )


def test_a_child_that_c_code_took_out_is_missed_by_a_capture() -> None:
    document = Document({"s": [{"a": {"n": 1}}, 2]})
    section, child = document.state["s"], document.state["s"][0]["a"]
    child["n"] = 2
    list.__setitem__(section, 0, "gone")
    with pytest.raises(UntrackedEdit, match="s was changed by code that bypasses"):
        document.capture()
    document.state["s"] = section.plain()
    assert document.capture() == [Set(("s",), ["gone", 2])]


@pytest.mark.parametrize("check_edits", [False, True])
@pytest.mark.parametrize("bypass", BYPASSES, ids=["push", "heappop", "append", "clear", "iadd"])
def test_an_edit_behind_the_back_is_shown_as_pending_and_given_up(
    bypass: Callable[[Any], object], check_edits: bool
) -> None:
    document = Document({"jobs": {"queue": [1, 2, 3]}, "n": 1}, check_edits=check_edits)
    queue = document.state["jobs"]["queue"]
    assert not document.has_edits()
    bypass(queue)
    assert document.touched() == {"jobs"}
    assert document.has_edits()
    with pytest.raises(UntrackedEdit, match=r"give it up, .*: session.refresh\(\)"):
        document.pending()
    document.replace({"jobs": {"queue": [1, 2, 3]}})
    assert document.capture() == document.pending() == []
    assert document.touched() == set()
    assert document.plain() == {"jobs": {"queue": [1, 2, 3]}, "n": 1}


@pytest.mark.parametrize(("content", "bypass", "where"), SILENT, ids=range(len(SILENT)))
def test_what_only_check_edits_finds_is_given_up_too(
    content: Any, bypass: Callable[[Any], object], where: str
) -> None:
    document = Document({"s": {"in": content}, "n": 0}, check_edits=True)
    bypass(document.state["s"]["in"])
    with pytest.raises(UntrackedEdit, match=f"{where} (was|has)"):
        document.pending()
    assert document.touched() == {"s"}
    document.replace({"s": {"in": None}})
    assert document.touched() == set()
    assert document.capture() == []


# ---- threads --------------------------------------------------------------------------------


def test_an_edit_by_another_thread_during_a_capture_is_refused() -> None:
    document = Document({"a": {"n": 1}, "b": [1]})
    document.state["a"]["n"] = 2
    free = document.state.pop("b")
    errors: list[Exception] = []

    def edit() -> None:
        free.append(2)  # it has no place: nothing to save
        try:
            document.state["a"]["n"] = 3
        except Exception as error:
            errors.append(error)

    def during_capture(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "_emit" and not errors:
            thread = threading.Thread(target=edit)
            thread.start()
            thread.join()

    sys.setprofile(during_capture)
    try:
        changes = document.capture()
    finally:
        sys.setprofile(None)
    assert [type(error) for error in errors] == [ConcurrentEdit]
    assert "a was edited while" in str(errors[0])
    assert Set(("a", "n"), 2) in changes
    document.state["a"]["n"] = 4
    assert document.capture() == [Set(("a", "n"), 4)]


# ---- names of sections ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda state: state.__setitem__("perdure.tasks", 1),
        lambda state: state.__delitem__("perdure.tasks"),
        lambda state: state.pop("perdure.tasks"),
        lambda state: state.update({"a": 2, "perdure.x": 1}),
        lambda state: state.__ior__({"a": 2, "perdure.x": 1}),
        lambda state: state.setdefault("perdure.new", 1),
    ],
    ids=["set", "delete", "pop", "update", "ior", "setdefault"],
)
def test_the_librarys_sections_are_not_written_by_users(write: Callable[[Any], object]) -> None:
    document = Document({"a": 1})
    document.write_reserved("perdure.tasks", {"t": 1})
    with pytest.raises(ReservedSection, match="Choose another name"):
        write(document.state)
    assert document.plain() == {"a": 1, "perdure.tasks": {"t": 1}}
    assert document.state["perdure.tasks"] == {"t": 1}


def test_clear_and_popitem_leave_the_librarys_sections() -> None:
    document = Document({"a": 1, "b": 2, "perdure.x": 3})
    assert document.state.popitem() == ("b", 2)
    document.state.clear()
    assert document.plain() == {"perdure.x": 3}
    with pytest.raises(KeyError):
        document.state.popitem()


@pytest.mark.parametrize("name", ["", 1, None, ("a",)], ids=repr)
def test_a_sections_name_is_a_text(name: Any) -> None:
    document = Document({"a": 1})
    with pytest.raises(NotStorable, match="a section's name"):
        document.state[name] = 1
    with pytest.raises(NotStorable, match="a section's name"):
        document.state.update({"a": 2, name: 1})
    assert document.plain() == {"a": 1}
