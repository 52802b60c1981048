"""Branches through the public API: fork, rollback, promote, undo, and sessions on them (0012)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors
from perdure.core.refs import Ref

URLS = {"sqlite": "{}/a.db", "memory": "memory:", "objects": "memory+objects:"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    """A store with ten checkpoints of one state; the seventh has a label."""
    with perdure.Store(URLS[request.param].format(tmp_path), maintenance="off") as made:
        save(made, "main", *range(1, 11))
        yield made


def save(store: perdure.Store, branch: str, *values: Any) -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state["n"] = value
            session.state.setdefault("log", []).append(value)
            session.save(label="seven" if value == 7 else None)


def log(store: perdure.Store, ref: Ref = "main") -> list[Any]:
    return list(store.at("a", ref).plain()["log"])


def line(store: perdure.Store, branch: str = "main") -> list[str]:
    return [each.id for each in reversed(store.history("a", branch=branch))]


def changed(store: perdure.Store) -> list[str]:
    """What a dry run must leave as it is."""
    told = [repr(store.branches("a")), repr(store.history("a", every=True))]
    return [*told, repr(store.movements("a"))]


@pytest.mark.parametrize(
    ("at", "number"),
    [
        (3, 3),
        ("5", 5),
        (None, 10),
        ("main", 10),
        ("~2", 8),
        ("main~", 9),
        ("main@6", 6),
        ("main@6~2", 4),
        (perdure.label("seven"), 7),
    ],
)
def test_a_fork_stands_where_its_reference_says(
    store: perdure.Store, at: Ref | None, number: int
) -> None:
    info = store.fork("a", "b", at=at)
    assert (info.name, info.tip.number, info.base) == ("b", number, number)
    assert info.tip.id == line(store)[number - 1]
    assert log(store, "b") == list(range(1, number + 1))
    assert [(each.name, each.tip.number) for each in store.branches("a")] == [
        ("main", 10),
        ("b", number),
    ]


def test_a_fork_at_an_id_a_prefix_a_time_and_another_branch(store: perdure.Store) -> None:
    ids = line(store)
    assert store.fork("a", "b", at=ids[3]).tip.id == ids[3]
    assert store.fork("a", "c", at=ids[4][:12].upper()).tip.id == ids[4]
    when = perdure.time(store.history("a")[4].time)
    assert store.fork("a", "d", at=when).tip.id == ids[5]
    save(store, "b", "x", "y")
    assert log(store, store.fork("a", "e", at="b@5").tip.id) == [1, 2, 3, 4, "x"]
    assert log(store, store.fork("a", "f", branch="b", at="~1").tip.id) == [1, 2, 3, 4, "x"]


@pytest.mark.parametrize("at", [0, -1, 11, "main@11", "~10", "nobody@1", "zz", "0123456789ab"])
def test_what_names_no_checkpoint_moves_nothing(store: perdure.Store, at: Ref) -> None:
    before = changed(store)
    for move in (
        lambda: store.fork("a", "b", at=at),
        lambda: store.rollback("a", at),
        lambda: store.rollback("a", at, dry_run=True),
    ):
        with pytest.raises((errors.CheckpointNotFound, errors.BranchNotFound)):
            move()
    with pytest.raises(errors.CheckpointNotFound):
        store.fork("a", "b", at=perdure.label("eight"))
    with pytest.raises(errors.CheckpointNotFound):
        store.fork("a", "b", at=perdure.time(timedelta(days=900)))
    assert changed(store) == before


def test_names_are_used_once_and_refused_where_they_mean_something(store: perdure.Store) -> None:
    store.fork("a", "b", at=3)
    with pytest.raises(errors.BranchExists):
        store.fork("a", "b", at=4)
    assert store.fork("a", "b", at=4, exist_ok=True).tip.number == 3
    for name in ("", "17", "a b", "a@b", "x~", "-x", "\n", "x" * 201):
        with pytest.raises(errors.UsageError):
            store.fork("a", name)
        with pytest.raises(errors.UsageError):
            store.rename_branch("a", "b", name)
    for refused in (store.delete_branch, lambda key, name: store.rename_branch(key, name, "x")):
        with pytest.raises(errors.UsageError, match="main"):
            refused("a", "main")
        with pytest.raises(errors.BranchNotFound, match="'b'"):
            refused("a", "bb")
    with pytest.raises(errors.BranchExists):
        store.rename_branch("a", "b", "main")
    with pytest.raises(errors.BranchNotFound):
        store.open("a", branch="bb")
    assert len(store.movements("a")) == 1


def test_sessions_on_branches_are_apart(store: perdure.Store) -> None:
    store.fork("a", "b", at=4)
    with store.open("a", branch="b") as one, store.open("a") as two:
        assert (one.branch, two.branch) == ("b", "main")
        for n in range(3):
            one.state["n"] = two.state["n"] = f"{n}"
            assert one.save().number == 5 + n
            assert two.save().number == 11 + n
    assert [each.number for each in store.history("a", branch="b", limit=2)] == [7, 6]
    assert line(store, "b")[:4] == line(store)[:4]
    assert set(line(store, "b")[4:]).isdisjoint(line(store))
    assert store.history("a", branch="b")[0].hash != store.history("a")[3].hash
    assert store.verify()[0].ok


def test_a_rollback_leaves_everything_where_it_can_be_read_P7(store: perdure.Store) -> None:
    ids, before = line(store), store.history("a", changes=True)
    moved = store.rollback("a", 4)
    assert moved is not None
    assert (moved.what, moved.branch, moved.left, moved.gained) == ("rollback", "main", 6, 0)
    assert moved.summary() == "rollback of main from 10 to 4, which leaves 6 checkpoints behind"
    assert store.rollback("a", 4) is None
    save(store, "main", "x")
    assert log(store) == [1, 2, 3, 4, "x"]
    assert line(store)[:4] == ids[:4]
    every = {each.id: each for each in store.history("a", every=True, changes=True)}
    assert every.keys() == {*ids, *line(store)}
    assert [every[each.id] for each in before] == before
    for number, id_ in enumerate(ids, 1):
        assert log(store, id_) == list(range(1, number + 1))
    assert log(store, store.fork("a", "old", at=ids[9]).tip.id) == list(range(1, 11))
    assert store.diff("a", ids[9], "main") != []
    assert store.verify()[0].ok


def test_undo_and_redo_go_back_and_forth_with_what_was_saved_on_top(store: perdure.Store) -> None:
    ids = line(store)
    store.rollback("a", 4)
    save(store, "main", "x")
    new = line(store)
    undone = store.undo("a")
    assert (undone.what, undone.taken, undone.left, undone.gained) == ("undo", 1, 1, 6)
    assert line(store) == ids
    assert store.redo("a").what == "redo"
    assert line(store) == new
    store.undo("a")
    save(store, "main", "y")
    assert line(store)[:10] == ids
    on_top = line(store)
    assert line_after(store.redo, store) == new
    assert line_after(store.undo, store) == on_top
    with pytest.raises(errors.UsageError, match="nothing left to undo; redo"):
        store.undo("a")
    store.redo("a")
    with pytest.raises(errors.UsageError, match="nothing to redo"):
        store.redo("a")
    store.undo("a")
    store.fork("a", "b", at=2)
    with pytest.raises(errors.UsageError, match="nothing to redo"):
        store.redo("a")
    assert len(store.history("a", every=True)) == 12


def line_after(move: Any, store: perdure.Store) -> list[str]:
    move("a")
    return line(store)


def test_fork_rename_delete_and_promotion_are_undone_one_by_one(store: perdure.Store) -> None:
    def names() -> list[tuple[str, int]]:
        return [(each.name, each.tip.number) for each in store.branches("a")]

    seen = [names()]
    store.fork("a", "b", at=10)
    seen.append(names())
    save(store, "b", "x", "y")
    assert store.rename_branch("a", "b", "c").summary() == "rename of b to c"  # type: ignore[union-attr]  # it moved
    seen.append(names())
    store.promote("a", "c")
    seen.append(names())
    assert log(store)[-2:] == ["x", "y"]
    store.delete_branch("a", "c")
    seen.append(names())
    assert [each.what for each in store.movements("a")] == ["delete", "promote", "rename", "fork"]
    seen[1] = [("main", 10), ("b", 12)]  # it was saved to
    for wanted in seen[-2::-1]:
        store.undo("a")
        assert names() == wanted
    for wanted in seen[1:]:
        store.redo("a")
        assert names() == wanted
    assert log(store)[-2:] == ["x", "y"]
    assert store.verify()[0].ok


def test_promotion_goes_on_only_from_where_the_other_stands(store: perdure.Store) -> None:
    store.fork("a", "b", at=8)
    assert store.promote("a", "main", into="b").gained == 2  # type: ignore[union-attr]  # it moved
    assert store.promote("a", "b") is None
    save(store, "b", "x")
    assert store.promote("a", "b").gained == 1  # type: ignore[union-attr]  # it moved
    save(store, "b", "y")
    save(store, "main", "z")
    with pytest.raises(errors.NotAncestor, match=r"1 checkpoint\(s\)"):
        store.promote("a", "b")
    with pytest.raises(errors.NotAncestor):
        store.promote("a", "b", dry_run=True)
    assert log(store)[-2:] == ["x", "z"]


def test_a_dry_run_says_what_then_happens_and_changes_nothing(store: perdure.Store) -> None:
    store.fork("a", "b", at=10)
    save(store, "b", "x")
    moves: list[Any] = [
        lambda **dry: store.rollback("a", 4, **dry),
        lambda **dry: store.undo("a", **dry),
        lambda **dry: store.redo("a", **dry),
        lambda **dry: store.undo("a", **dry),
        lambda **dry: store.promote("a", "b", **dry),
        lambda **dry: store.delete_branch("a", "b", **dry),
    ]
    for move in moves:
        before, left = changed(store), line(store)[-1]
        dry = move(dry_run=True)
        assert changed(store) == before
        done = move()
        assert (dry.dry_run, dry.number) == (True, 0)
        for name in ("what", "branch", "before", "after", "other", "taken", "left", "gained"):
            assert getattr(dry, name) == getattr(done, name), name
        if dry.branch == "main":
            assert list(dry.differences) == store.diff("a", left, "main")
        assert any("outside world" in each for each in dry.warnings)


def test_whoever_works_on_a_branch_is_named_before_it_is_moved(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = "w"
        session.save()
        told = store.rollback("a", 3, dry_run=True)
        assert told is not None
        assert any("may be at work on 'main'" in each for each in told.warnings)


# ---- a session whose branch moves ------------------------------------------------------------


def test_a_session_whose_branch_was_moved_is_told_and_goes_on_after_a_refresh_P3(
    store: perdure.Store,
) -> None:
    with store.open("a") as session:
        store.rollback("a", 4)
        save(store, "main", "x")
        session.state["mine"] = 1
        for attempt in (session.save, partial(session.refresh, keep_changes=True)):
            with pytest.raises(errors.BranchMoved) as caught:
                attempt()
            assert [each.path for each in caught.value.mine] == [("mine",)]
        assert log(store) == [1, 2, 3, 4, "x"]
        assert session.refresh().number == 5  # type: ignore[union-attr]  # there is one
        assert session.state.plain() == {"n": "x", "log": [1, 2, 3, 4, "x"]}
        session.state["log"].append("y")
        assert session.save().number == 6
    assert log(store) == [1, 2, 3, 4, "x", "y"]


def test_a_session_without_edits_is_told_too_and_its_branch_may_be_gone(
    store: perdure.Store,
) -> None:
    store.fork("a", "b", at=3)
    with store.open("a", branch="b") as session:
        session.state["n"] = "b"
        session.save()
        store.delete_branch("a", "b")
        with pytest.raises(errors.BranchMoved, match="no branch 'b' any more"):
            session.refresh()
        store.undo("a")
        session.refresh()
        session.state["n"] = "again"
        assert session.save().number == 5


@pytest.mark.parametrize("is_gone", [False, True])
def test_the_error_of_a_moved_branch_names_what_was_left_so_that_a_fork_finds_it(
    store: perdure.Store, is_gone: bool
) -> None:
    store.fork("a", "b")
    session = store.open("a", branch="b")
    session.state["n"] = "mine"
    session.save()
    store.rollback("a", 4, branch="b")
    save(store, "b", *range(11, 18))  # its number is another's by now
    if is_gone:
        store.delete_branch("a", "b")
    session.state["n"] = "unsaved"
    with pytest.raises(errors.BranchMoved) as caught:
        session.save()
    told = re.search(r"store\.fork\('a', name, at=\"(\w{12})\"\)", str(caught.value))
    assert told is not None, str(caught.value)
    assert "undo" not in str(caught.value)
    store.fork("a", "kept", at=told[1])
    assert store.at("a", "kept")["n"] == "mine"
    with pytest.raises(errors.BranchMoved):
        session.close()


def test_a_save_built_before_a_rollback_never_lands_though_it_is_undone_P3(
    store: perdure.Store,
) -> None:
    session = store.open("a")
    session.state["n"] = "stale"
    store.rollback("a", 4)
    store.undo("a")
    tip = line(store)
    assert tip[-1] == session.checkpoint.id  # type: ignore[union-attr]  # it resumed
    with pytest.raises(errors.Conflict) as caught:
        session.save()
    assert type(caught.value) is errors.Conflict  # what it is at is still in the lineage
    assert line(store) == tip
    session.refresh(keep_changes=True)
    assert session.save().number == 11
    session.close()


def test_a_save_goes_on_where_its_branch_was_promoted_after_a_refresh(store: perdure.Store) -> None:
    store.fork("a", "b")
    save(store, "b", "x")
    with store.open("a") as session:
        store.promote("a", "b")
        store.rollback("a", 10)
        store.undo("a")
        session.state["mine"] = 1
        with pytest.raises(errors.Conflict):
            session.save()
        assert session.refresh().number == 11  # type: ignore[union-attr]  # there is one


def test_a_deleted_state_comes_back_with_its_branches(store: perdure.Store) -> None:
    store.fork("a", "b", at=3)
    store.rollback("a", 5)
    store.delete("a")
    refusing: list[Any] = [store.branches, store.undo, store.movements]
    for refused in refusing:
        with pytest.raises(errors.StateNotFound):
            refused("a")
    with pytest.raises(errors.StateNotFound):
        store.fork("a", "c")
    store.undelete("a")
    assert [(each.name, each.tip.number) for each in store.branches("a")] == [("main", 5), ("b", 3)]
    store.undo("a")
    assert log(store) == list(range(1, 11))


def test_the_async_face_does_the_same() -> None:
    async def work() -> list[Any]:
        async with perdure.AsyncStore("memory:", maintenance="off") as store:
            async with await store.open("a") as session:
                for n in range(5):
                    session.state["n"] = n
                    await session.save()
            await store.fork("a", "b", at=2)
            async with await store.open("a", branch="b") as session:
                await store.rollback("a", "b", branch="main")
                await store.delete_branch("a", "b")
                session.state["n"] = "x"
                with pytest.raises(errors.BranchMoved):
                    await session.save()
                await store.undo("a")
                await session.refresh()
            await store.rename_branch("a", "b", "c")
            assert (await store.promote("a", "main", into="c")) is None
            await store.undo("a")
            await store.redo("a")
            return [(each.name, each.tip.number) for each in await store.branches("a")]

    assert asyncio.run(work()) == [("main", 2), ("c", 2)]
