"""An interrupt between any two steps of an edit or of a save loses nothing and doubles nothing.

Ctrl-C, a timeout's signal handler: an exception can come up between any two bytecodes. Each test
tries all of them, one after the other.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import pytest

import perdure
from perdure.core.changes import Change, apply, pack_changes, unpack_changes
from perdure.core.values import same
from perdure.errors import NotStorable
from perdure.state import Document, Window

ENGINE = tuple(f"perdure/engine/{name}.py" for name in ("session", "queue", "placing", "refresh"))
PLACES = ("perdure/state/", *ENGINE, __file__)


class Interrupt(BaseException):
    """As from a signal handler."""


def was_interrupted(action: Callable[[], object], step: int) -> bool:
    """Do it, with an exception before its line or bytecode `step`; whether it has so many."""
    left = step

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if not any(place in frame.f_code.co_filename.replace("\\", "/") for place in PLACES):
            return None
        frame.f_trace_opcodes = True
        return count

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        # 3.13.0 leaves out opcodes of code that was traced before, but no lines.
        if event in ("opcode", "line"):
            if left == 0:
                raise Interrupt
            left -= 1
        return count

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


class Kept:
    """Who keeps what captures give: here, by making the changes in a plain copy."""

    def __init__(self, document: Document, content: dict[str, Any]) -> None:
        self.document = document
        self.content = content
        self.queue: list[bytes] = []

    def capture(self) -> None:
        before = len(self.queue)

        def keep(changes: list[Change]) -> None:
            self.queue.append(pack_changes(changes))

        self.document.capture(keep, lambda: len(self.queue) > before)

    def is_all(self) -> bool:
        """Whether what was kept leads from the content to what is live."""
        content = copy.deepcopy(self.content)
        for packed in self.queue:
            apply(content, unpack_changes(packed))
        return same(content, self.document.plain())


CONTENT: dict[str, Any] = {
    "list": [1, [2], {"n": 3}, "four", ([5], 6)],
    "dict": {"a": 1, "b": [2], "c": {"n": 3}, "d": "four"},
    "set": {"a", "b"},
    "deep": {"in": [{"items": [1, 2]}]},
}


def moved(node: dict[str, Any], key: str) -> None:
    value = node.pop(key)
    node[key] = value


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


def edit_all(state: Any, value: str) -> None:
    """Edit every container, those below first: no later edit may be lost either."""

    def edit(node: Any) -> None:
        children = node.values() if isinstance(node, dict) else node
        for child in [] if isinstance(node, set) else list(children):
            if isinstance(child, dict | list | set | tuple):
                edit(child)
        if isinstance(node, list):
            node.append(value)
        elif isinstance(node, dict):
            node[value] = value
        elif isinstance(node, set):
            node.add(value)

    for section in list(state.values()):
        edit(section)


def opened(dirty: bool) -> Kept:
    document = Document(copy.deepcopy(CONTENT))
    kept = Kept(document, copy.deepcopy(CONTENT))
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
        document = Document(copy.deepcopy(CONTENT), check_edits=check_edits)
        kept = Kept(document, copy.deepcopy(CONTENT))
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


@pytest.mark.parametrize("fails", [False, True], ids=["kept", "undone"])
def test_a_session_goes_on_after_an_interrupt_anywhere_in_a_block(fails: bool) -> None:
    with perdure.Store(f"memory:interrupted-blocks-{fails}") as store, store.open("a") as session:
        session.state.update(copy.deepcopy(CONTENT))
        session.save()

        def block() -> None:
            with session.atomic():
                session.state["list"].append("in the block")
                session.state["dict"].clear()
                if fails:
                    raise ValueError

        step, done = 0, False
        while not done:
            before = session.state.plain()
            try:
                done = not was_interrupted(block, step)
            except ValueError:
                done = True
            after = session.state.plain()
            assert same(after, before) or (not fails and after["dict"] == {}), step
            session.state["list"].append("after")
            session.state["dict"]["n"] = step
            session.save()
            saved = store.at("a", step // 3 + 2).plain()
            assert len(saved["list"]) == len(after["list"]) + 1, step
            assert same(saved, session.state.plain()), step
            step += 3
        assert step > 100


def test_the_save_of_a_session_interrupted_anywhere_is_made_once_P1_P4() -> None:
    step = 0
    with perdure.Store("memory:interrupted-saves") as store:
        session = store.open("a")
        session.state["list"] = []
        session.save()
        while True:
            session.state["list"].append({"step": step})
            done = not was_interrupted(session.save, step)
            session.save()
            assert store.open("a").state["list"] == session.state["list"], step
            if done:
                break
            step += 7
    assert step > 500


def keys(node: Any) -> None:
    moved(node, "a")
    node["b"] = "theirs"


def sections(state: Any) -> None:
    moved(state, "list")
    state["z"] = [1]
    del state["set"]


THEIRS: dict[str, Callable[[Any], object]] = {
    "append": lambda state: state["list"].append({"n": "theirs"}),
    "splice": lambda state: state["list"].__setitem__(slice(1, 3), ["theirs"]),
    "replace": lambda state: state.__setitem__("list", ["theirs"]),
    "keys": lambda state: keys(state["dict"]),
    "sections": sections,
}


def refreshed(
    theirs: Callable[[Any], object], keep_changes: bool, edits: bool, step: int
) -> tuple[bool, bool]:
    """Interrupt a refresh at a step, and go on; whether it was, and whether it left things torn."""
    with perdure.Store("memory:", check_edits=bool(step % 2)) as store:
        with store.open("a") as first:
            first.state.update(copy.deepcopy(CONTENT))
        session = store.open("a")
        held = [session.state["list"], session.state["dict"], session.state["list"][1]]
        mine = [7] if edits else None
        if edits:
            session.state["deep"]["in"].append(mine)
            session.state["mine"] = "mine"
        before = session.state.plain()
        with store.open("a") as other:
            theirs(other.state)
            stored = other.state.plain()
        is_interrupted = was_interrupted(partial(session.refresh, keep_changes), step)
        is_torn = session._core.torn is not None
        if not is_interrupted:
            assert not is_torn
        elif not is_torn:
            is_done = session.checkpoint == store.history("a", limit=1)[0]
            assert is_done or same(session.state.plain(), before), step
        check_goes_on(session, store, stored, kept=keep_changes and edits)
        for node in held:
            with suppress(perdure.errors.Detached):
                node.clear()
        session.save()
        assert same(store.open("a").state.plain(), session.state.plain()), step
        session.close()
        return is_interrupted, is_torn


def check_goes_on(
    session: perdure.Session, store: perdure.Store, stored: dict[str, Any], *, kept: bool
) -> None:
    """What is not torn is saved, or refused and refreshed; what is torn is told, and read anew."""
    if session._core.torn is not None:
        with pytest.raises(perdure.Conflict, match="was interrupted") as caught:
            session.save()
        if kept:
            assert perdure.Set(("mine",), "mine") in caught.value.mine
            for action in (session.close, partial(session.refresh, keep_changes=True)):
                with pytest.raises(perdure.Conflict, match="was interrupted"):
                    action()
        session.refresh()
        assert same(session.state.plain(), stored)
    else:
        session.refresh(keep_changes=kept)
        if kept:
            assert session.state["mine"] == "mine"
            assert session.state["deep"]["in"][-1] == [7]
            del session.state["mine"], session.state["deep"]["in"][-1]
        assert same(session.state.plain(), stored)
    assert store.open("a").state.plain() == stored
    session.state["later"] = "later"
    edit_all(session.state, "after")
    session.save()
    assert same(store.open("a").state.plain(), session.state.plain())


@pytest.mark.parametrize("edits", [False, True], ids=["clean", "edited"])
@pytest.mark.parametrize("keep_changes", [False, True], ids=["give up", "keep"])
@pytest.mark.parametrize("theirs", THEIRS.values(), ids=THEIRS)
def test_a_refresh_interrupted_anywhere_loses_and_doubles_nothing_in_silence_P3(
    theirs: Callable[[Any], object], keep_changes: bool, edits: bool
) -> None:
    """Before anything is changed all is as it was; then nothing is saved until all is read anew."""
    step, seen = 0, set[bool]()
    while True:
        is_interrupted, is_torn = refreshed(theirs, keep_changes, edits, step)
        seen.add(is_torn)
        if not is_interrupted:
            break
        step += 17
    assert seen == {False, True}
    assert step > 300


def test_an_interrupted_refresh_is_mended_by_one_that_is_interrupted_too() -> None:
    for second in range(0, 900, 61):
        with perdure.Store("memory:") as store:
            with store.open("a") as first:
                first.state.update(copy.deepcopy(CONTENT))
            session = store.open("a")
            session.state["dict"]["mine"] = 1
            with store.open("a") as other:
                for edit in ("keys", "sections", "append"):
                    THEIRS[edit](other.state)
                stored = other.state.plain()
            step = 0
            while session._core.torn is None:
                assert was_interrupted(session.refresh, step)
                step += 40
            was_interrupted(session.refresh, second)
            session.refresh()
            assert same(session.state.plain(), stored), second
            edit_all(session.state, "after")
            session.save()
            assert same(store.open("a").state.plain(), session.state.plain()), second
            session.close()


def test_a_session_torn_with_nothing_unsaved_ends_as_it_should() -> None:
    with perdure.Store("memory:") as store:
        with store.open("a") as first:
            first.state["list"] = []
        session = store.open("a")
        session.state["n"] = 1
        session.save()
        session._core.torn = ()
        session.close()
        assert store.info("a").status == "closed"


def test_a_save_that_fails_keeps_the_check_of_edits_where_it_was() -> None:
    document = Document({"list": [1]}, check_edits=True)
    document.state["list"].append(2)

    def fail(changes: list[Change]) -> None:
        raise NotStorable("too long")

    with pytest.raises(NotStorable):
        document.capture(fail)
    assert len(document.capture()) == 1
    assert document.capture() == []
