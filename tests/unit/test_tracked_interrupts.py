"""An interrupt between any two steps of an edit or of a save loses nothing and doubles nothing.

Ctrl-C, a timeout's signal handler: an exception can come up between any two bytecodes. Each test
tries all of them, one after the other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.unit.interrupts import content, edit_all, moved, was_interrupted

from perdure.core.changes import Change, apply, pack_changes, unpack_changes
from perdure.core.values import same
from perdure.errors import NotStorable
from perdure.state import Document, Window


class Kept:
    """Who keeps what captures give: here, by making the changes in a plain copy."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.queue: list[bytes] = []

    def capture(self) -> None:
        before = len(self.queue)

        def keep(changes: list[Change]) -> None:
            self.queue.append(pack_changes(changes))

        self.document.capture(keep, lambda: len(self.queue) > before)

    def is_all(self) -> bool:
        """Whether what was kept leads from the content to what is live."""
        saved = content()
        for packed in self.queue:
            apply(saved, unpack_changes(packed))
        return same(saved, self.document.plain())


def taken_out_and_in(state: Any) -> None:
    free = state["list"].pop(2)
    free["m"] = 1
    state["dict"]["new"] = free


def sliced(state: Any) -> None:
    items = state["list"]
    items[1:4] = [items[2], [7], items[1], items[1]]


EDITS: dict[str, Callable[[Any], object]] = {
    "append": lambda state: state["list"].append([9]),
    "append twice": lambda state: (state["list"].append(8), state["list"].append({"n": 9})),
    "extend": lambda state: state["list"].extend([8, [9]]),
    "insert": lambda state: state["list"].insert(1, {"n": 9}),
    "set item": lambda state: state["list"].__setitem__(0, "one"),
    "set container": lambda state: state["list"].__setitem__(1, [9]),
    "pop": lambda state: state["list"].pop(0),
    "pop a container": lambda state: state["list"].pop(2),
    "delete slice": lambda state: state["list"].__delitem__(slice(1, 4)),
    "set slice": sliced,
    "clear": lambda state: state["list"].clear(),
    "sort": lambda state: state["deep"]["in"][0]["items"].sort(key=str, reverse=True),
    "in a tuple": lambda state: state["list"][4][0].append(9),
    "deep": lambda state: state["deep"]["in"][0]["items"].append(9),
    "set key": lambda state: state["dict"].__setitem__("a", 9),
    "new key": lambda state: state["dict"].__setitem__("e", {"n": 9}),
    "replace key": lambda state: state["dict"].__setitem__("b", [9]),
    "add text": lambda state: state["dict"].__setitem__("d", "four and more"),
    "delete key": lambda state: state["dict"].__delitem__("b"),
    "move key": lambda state: moved(state["dict"], "a"),
    "move container": lambda state: moved(state["dict"], "c"),
    "update": lambda state: state["dict"].update({"a": [1], "z": 2}),
    "clear dict": lambda state: state["dict"].clear(),
    "add": lambda state: state["set"].add("c"),
    "exchange": lambda state: state["set"].symmetric_difference_update({"a", "c"}),
    "new section": lambda state: state.__setitem__("new", [1]),
    "delete section": lambda state: state.__delitem__("dict"),
    "move section": lambda state: moved(state, "list"),
    "take out and in": taken_out_and_in,
}


SAVED = ("in a tuple", "deep", "pop", "move container", "add", "new section")


def opened(dirty: bool) -> Kept:
    document = Document(content())
    kept = Kept(document)
    if dirty:
        edit_all(document.state, "dirty")
        moved(document.state["dict"], "a")
        del document.state["dict"]["d"]
        document.state["dict"]["d"] = "four"
    return kept


@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "dirty"])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_interrupted_anywhere_leaves_live_and_saved_the_same_P1_P13(
    edit: Callable[[Any], object], dirty: bool
) -> None:
    step = 0
    made = set[bool]()
    while True:
        kept = opened(dirty)
        state, before = kept.document.state, kept.document.plain()
        held = [state["list"], state["dict"], state["set"], state["deep"]["in"][0]["items"]]
        done = not was_interrupted(partial(edit, state), step)
        if not done:
            made.add(not same(before, kept.document.plain()))
        if step // 3 % 2:
            edit_all(state, "before the save")
        kept.capture()
        assert kept.is_all(), step
        for node in held:
            node.clear()
        edit_all(state, "after it")
        kept.capture()
        assert kept.is_all(), step
        if done:
            break
        step += 3 if dirty else 1
    # Python versions differ in how many bytecodes an edit is; none is made by the first or last.
    assert made == {False, True}, "interrupted before it was made, and after"


@pytest.mark.parametrize("check_edits", [False, True])
@pytest.mark.parametrize("edited", [False, True])
def test_a_save_interrupted_anywhere_is_made_once_P1_P4(edited: bool, check_edits: bool) -> None:
    step = 0
    while True:
        document = Document(content(), check_edits=check_edits)
        kept = Kept(document)
        for name in SAVED:
            EDITS[name](document.state)
        done = not was_interrupted(kept.capture, step)
        if edited:
            edit_all(document.state, "between")
        kept.capture()
        assert kept.is_all(), step
        assert not document.touched()
        edit_all(document.state, "after")
        kept.capture()
        assert kept.is_all(), step
        if done:
            break
        step += 7 if check_edits else 1
    assert step > 300


def test_a_save_interrupted_twice_is_made_once() -> None:
    first = 0
    while True:
        done = True
        for second in range(0, 400, 41):
            kept = opened(dirty=False)
            kept.document.state["list"].append(7)
            done = not was_interrupted(kept.capture, first)
            was_interrupted(kept.capture, second)
            kept.document.state["list"].append(8)
            kept.capture()
            assert kept.is_all(), (first, second)
        if done:
            break
        first += 1


def test_what_changed_is_not_told_twice_after_an_interrupted_save() -> None:
    step = 0
    while True:
        kept = opened(dirty=False)
        kept.document.state["list"].append(7)
        done = not was_interrupted(kept.capture, step)
        assert len(kept.queue) + len(kept.document.pending()) == 1, step
        if done:
            break
        step += 1


def test_a_window_interrupted_anywhere_keeps_what_is_before_it() -> None:
    content = {"list": [0, 1, 2, 3, [4]]}
    for edit in ("append", "insert", "pop", "set item", "clear", "set container", "extend"):
        step = 0
        while True:
            document = Document({"list": Window([2, 3, [4]], offset=2)})
            queue: list[Change] = []
            done = not was_interrupted(partial(EDITS[edit], document.state), step)
            queue += unpack_changes(pack_changes(document.capture()))
            document.state["list"].append("later")
            queue += unpack_changes(pack_changes(document.capture()))
            saved = copy.deepcopy(content)
            apply(saved, queue)
            assert saved["list"] == [0, 1, *document.state["list"].plain()], (edit, step)
            if done:
                break
            step += 1


def test_an_atomic_block_undoes_an_edit_interrupted_anywhere() -> None:
    for name, edit in EDITS.items():
        step = 0
        while True:
            kept = opened(dirty=bool(step // 5 % 2))
            before, changes = kept.document.plain(), kept.document.pending()
            kept.document.begin()
            done = not was_interrupted(partial(edit, kept.document.state), step)
            kept.document.undo()
            assert same(kept.document.plain(), before), (name, step)
            assert kept.document.pending() == changes, (name, step)
            edit_all(kept.document.state, "after")
            kept.capture()
            assert kept.is_all(), (name, step)
            if done:
                break
            step += 5


@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "dirty"])
def test_the_undoing_of_a_block_interrupted_anywhere_is_finished_by_what_comes_next(
    dirty: bool,
) -> None:
    for name in BLOCK_EDITS:
        step = 0
        while True:
            kept = opened(dirty)
            state, before, changes = kept.document.state, kept.document.plain(), pending(kept)
            held = [state["list"], state["dict"], state["set"]]
            kept.document.begin()
            EDITS[name](state)
            edit_all(state, "in the block")
            done = not was_interrupted(kept.document.undo, step)
            if step % 2 and not done:
                kept.document.undo()  # as the session does when an interrupt comes
            assert pending(kept) == changes, (name, step)
            assert same(kept.document.plain(), before), (name, step)
            assert not kept.document.is_within_block()
            edit_all(state, "after")
            for node in held:
                node.clear()
            kept.capture()
            assert kept.is_all(), (name, step)
            if done:
                break
            step += 3
        assert step > 50


def pending(kept: Kept) -> list[Change]:
    """What is not saved; a block of which nothing is undone yet is undone first."""
    if kept.document.is_within_block():
        kept.document.undo()
    return kept.document.pending()


BLOCK_EDITS = ("sort", "take out and in", "clear dict", "new section", "exchange", "in a tuple")


def test_an_edit_after_an_interrupted_undoing_finds_all_undone() -> None:
    step = 0
    while True:
        kept = opened(dirty=True)
        state, before = kept.document.state, kept.document.plain()
        kept.document.begin()
        edit_all(state, "in the block")
        done = not was_interrupted(kept.document.undo, step)
        if kept.document._tracker.ending is not None:
            state["dict"]["later"] = 1
            del state["dict"]["later"]
            assert same(kept.document.plain(), before), step
            assert not kept.document.is_within_block()
        if done:
            break
        step += 1
    assert step > 300


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "nested"])
def test_the_keeping_of_a_block_interrupted_anywhere_is_all_or_nothing(nested: bool) -> None:
    step, outcomes = 0, set[bool]()
    while True:
        kept = opened(dirty=True)
        before = kept.document.plain()
        if nested:
            kept.document.begin("outer")
            edit_all(kept.document.state, "outside")
        outside = kept.document.plain()
        kept.document.begin("inner")
        edit_all(kept.document.state, "in the block")
        inside = kept.document.plain()
        done = not was_interrupted(partial(kept.document.keep, "inner"), step)
        if not done:
            kept.document.undo("inner")
        is_kept = same(kept.document.plain(), inside)
        assert is_kept or same(kept.document.plain(), outside), step
        outcomes.add(is_kept)
        if nested:
            kept.document.undo("outer")
            assert same(kept.document.plain(), before), step
        assert not kept.document.is_within_block()
        kept.capture()
        assert kept.is_all(), step
        if done:
            break
        step += 1
    assert outcomes == {False, True}


def test_a_save_that_fails_keeps_the_check_of_edits_where_it_was() -> None:
    document = Document({"list": [1]}, check_edits=True)
    document.state["list"].append(2)

    def fail(changes: list[Change]) -> None:
        raise NotStorable("too long")

    with pytest.raises(NotStorable):
        document.capture(fail)
    assert len(document.capture()) == 1
    assert document.capture() == []
