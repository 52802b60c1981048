"""An interrupt anywhere in a block, a save or a refresh of a session loses and doubles nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from tests.unit.interrupts import content, edit_all, moved, was_interrupted

import perdure
from perdure.core.values import same


@pytest.mark.parametrize("fails", [False, True], ids=["kept", "undone"])
def test_a_session_goes_on_after_an_interrupt_anywhere_in_a_block(fails: bool) -> None:
    with perdure.Store(f"memory:interrupted-blocks-{fails}") as store, store.open("a") as session:
        session.state.update(content())
        session.save()

        def block() -> None:
            with session.atomic():
                session.state["list"].append("in the block")
                session.state["dict"].clear()
                if fails:
                    raise ValueError

        step, saves, done = 0, 1, False
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
            saves += 1
            saved = store.at("a", saves).plain()
            assert len(saved["list"]) == len(after["list"]) + 1, step
            assert same(saved, session.state.plain()), step
            if len(saved["list"]) > 50:  # else every step takes longer than the one before
                del session.state["list"][5:]
                session.save()
                saves += 1
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
            first.state.update(content())
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
                first.state.update(content())
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
