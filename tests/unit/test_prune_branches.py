"""Pruning a state with branches: what stays of each, is undone and is merged as before (P7)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.pruned import (
    KEPT,
    LAST_5,
    NO_LEFT,
    URLS,
    hundred,
    numbers,
    prune,
    require_sound,
    save,
    whole,
)

import perdure
from perdure import errors
from perdure.core.refs import Ref
from perdure.engine.parked import parked_branches
from perdure.engine.prune import prune as prune_steps
from perdure.engine.read import read_head
from perdure.engine.requests import ListHeld
from perdure.types import Strategy


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    with hundred(request.param, tmp_path) as made:
        yield made


def test_each_branch_keeps_its_own(store: perdure.Store) -> None:
    store.fork("a", "what-if", at=50)
    save(store, range(1, 4), "what-if")
    there = {number: whole(store, f"what-if@{number}") for number in (49, 50, 51, 53)}
    found = prune(store)
    # What the one keeps of what both have stays on the other too: it is there.
    assert numbers(store) == [20, 21, 49, 50, 60, *range(96, 101)]
    assert numbers(store, "what-if") == [20, 21, *range(49, 54)]
    assert [each.branch for each in found.branches] == ["main", "what-if"]
    for number, state in there.items():
        assert whole(store, f"what-if@{number}") == state


@pytest.mark.parametrize("at", [20, 60, 97])
def test_what_stays_can_be_forked_from_and_saved_on(store: perdure.Store, at: int) -> None:
    prune(store)
    before = whole(store, at)
    store.fork("a", "what-if", at=at)
    assert whole(store, "what-if") == before
    save(store, [1, 2], "what-if")
    require_sound(store)
    assert numbers(store, "what-if")[-3:] == [at, at + 1, at + 2]
    assert whole(store, f"what-if@{at}") == before
    prune(store)
    assert whole(store, f"what-if@{at}") == before


def test_a_rollback_to_an_island_is_undone(store: perdure.Store) -> None:
    prune(store)
    newest, old = whole(store), whole(store, 21)
    store.rollback("a", to=perdure.label("next"))
    assert whole(store) == old
    assert numbers(store) == [20, 21]
    save(store, ["on"])
    assert numbers(store) == [20, 21, 22]
    require_sound(store)
    store.undo("a")
    assert whole(store) == newest
    assert numbers(store) == KEPT
    store.redo("a")
    assert numbers(store) == [20, 21, 22]
    require_sound(store)


def test_what_a_branch_left_stays_for_a_while(store: perdure.Store) -> None:
    save(store, ["left"])
    left = whole(store)
    store.rollback("a", to=90)
    found = prune(store)
    assert found.final == ()
    assert 101 in [each.number for each in store.history("a", every=True)]
    store.undo("a")
    assert whole(store) == left
    require_sound(store)


def test_what_a_branch_left_goes_and_undo_says_so(store: perdure.Store) -> None:
    store.rollback("a", to=90)
    found = prune(store, NO_LEFT)
    assert found.final == (1,)
    assert found.left == 10
    assert max(each.number for each in store.history("a", every=True)) == 90
    with pytest.raises(errors.CheckpointPruned, match="cannot be taken back"):
        store.undo("a")
    # A movement that destroys nothing can still be taken back.
    store.fork("a", "b", at=89)
    prune(store, NO_LEFT)
    store.undo("a")
    assert [each.name for each in store.branches("a")] == ["main"]


def test_a_movement_that_left_nothing_can_be_taken_back_however_old_it_is(
    store: perdure.Store,
) -> None:
    store.fork("a", "b", at=100)
    save(store, [1, 2], "b")
    store.promote("a", "b")
    assert prune(store, NO_LEFT).final == ()
    store.undo("a")
    assert numbers(store)[-1] == 100
    store.undo("a")
    assert [each.name for each in store.branches("a")] == ["main"]
    require_sound(store)


def test_a_fork_is_undone_after_a_pruning(store: perdure.Store) -> None:
    store.fork("a", "b", at=89)
    prune(store, NO_LEFT)
    store.undo("a")
    assert [each.name for each in store.branches("a")] == ["main"]
    require_sound(store)


def test_a_deleted_branch_comes_back_until_it_is_pruned(store: perdure.Store) -> None:
    store.fork("a", "b", at=50)
    save(store, range(1, 9), "b")
    there = whole(store, "b@58")
    store.delete_branch("a", "b")
    prune(store)
    store.undo("a")
    assert whole(store, "b@58") == there
    store.redo("a")
    prune(store, NO_LEFT)
    with pytest.raises(errors.CheckpointPruned):
        store.undo("a")


def test_the_movement_is_on_record(store: perdure.Store) -> None:
    prune(store)
    assert [each.what for each in store.movements("a")] == ["prune"]
    with pytest.raises(errors.UsageError, match="nothing to undo"):
        store.undo("a")


def grown(store: perdure.Store, branch: str, *values: str) -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state[branch].append(value)
            session.state["log"].append(f"{branch} {value}")
            session.save()


@pytest.fixture
def parted(store: perdure.Store) -> perdure.Store:
    """Two branches that parted long ago, each with a section of its own, and one for both."""
    with store.open("a") as session:
        session.state.update({"main": [], "b": [], "log": []})
        session.save()
    store.fork("a", "b")
    grown(store, "b", *"abcdefgh")
    grown(store, "main", *"123456789")
    return store


APPEND: dict[str, Strategy] = {"log": "append"}


def test_branches_that_parted_below_a_cut_are_merged(parted: perdure.Store) -> None:
    dry = parted.merge("a", "b", strategies=APPEND, dry_run=True)
    assert dry is not None
    prune(parted)
    assert 101 in numbers(parted)  # where they were one
    found = parted.merge("a", "b", strategies=APPEND)
    assert found is not None
    assert found.base == dry.base == 101
    merged = whole(parted)
    assert merged["b"] == list("abcdefgh")
    assert merged["main"] == list("123456789")
    assert merged["log"] == [f"main {n}" for n in "123456789"] + [f"b {n}" for n in "abcdefgh"]
    assert parted.merge("a", "b", strategies=APPEND) is None
    require_sound(parted)


def test_what_was_merged_before_a_cut_is_not_merged_again(parted: perdure.Store) -> None:
    parted.merge("a", "b", strategies=APPEND)
    grown(parted, "main", *"ABCDEFGH")
    grown(parted, "b", *"tuvwxyz")
    prune(parted)
    prune(parted)
    parted.merge("a", "b", strategies=APPEND)
    merged = whole(parted)
    assert merged["b"] == list("abcdefghtuvwxyz")
    assert len(merged["log"]) == len(set(merged["log"])) == 9 + 8 + 8 + 7
    prune(parted)
    parted.merge("a", "main", into="b", strategies=APPEND)
    assert whole(parted, "b")["log"] == merged["log"]
    require_sound(parted)


def test_a_point_that_went_with_its_branch_tells_why_nothing_can_be_merged(
    parted: perdure.Store,
) -> None:
    parted.delete_branch("a", "b")
    prune(parted)
    parted.undo("a")
    with pytest.raises(errors.CheckpointPruned, match="cannot be merged"):
        parted.merge("a", "b", strategies=APPEND)


@pytest.mark.parametrize("pair", [(20, 100), (21, 60), (97, 99), (60, "b@55"), (20, "b")])
def test_differences_are_told_as_before(store: perdure.Store, pair: tuple[Ref, Ref]) -> None:
    store.fork("a", "b", at=50)
    save(store, range(1, 9), "b")
    before = store.diff("a", *pair), store.diff("a", *reversed(pair))
    prune(store)
    assert (store.diff("a", *pair), store.diff("a", *reversed(pair))) == before


def test_what_is_saved_to_a_parked_branch_during_a_sweep_stays(store: perdure.Store) -> None:
    for at in range(30):
        store.fork("a", f"b{at}", at=50 + at)
        save(store, [at], f"b{at}")
    site = store._site("a")
    head = store._driver.run(read_head(site))
    name = next(iter(store._driver.run(parked_branches(site, head))))
    steps = prune_steps(site, LAST_5, dry_run=False)
    answer: Any = None
    late = False
    with suppress(StopIteration):
        while True:
            request = steps.send(answer)
            if isinstance(request, ListHeld) and not late:  # it knows what it needs
                late = True
                save(store, ["late"], name)
            answer = store._driver.answer(request)
    assert late
    assert whole(store, name)["n"] == "late"
    require_sound(store)


@pytest.mark.parametrize("keep_left", [timedelta(0), timedelta(days=30)])
def test_a_plan_is_no_larger_for_how_often_branches_left_the_same_P11(keep_left: timedelta) -> None:
    """Each left all of a long history but its last checkpoint where others are, too."""
    with perdure.Store("memory:", maintenance="off") as store:
        with store.open("a") as session:
            for n in range(500):
                session.state["n"] = n
                session.save()
        for n in range(100):
            with store.open("a") as session:
                session.state["n"] = -n
            store.rollback("a", 500)
        policy = perdure.Retention(keep_last=5, keep_labels=False, keep_left=keep_left)
        tracemalloc.start()
        try:
            (found,) = store.prune(policy, "a", dry_run=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found.removed == 495 + (0 if keep_left else 100)
        assert peak < 2_000_000
