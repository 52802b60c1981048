"""`Store.merge`: what two branches did since they parted, as one checkpoint (P3, P7)."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors, limits


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> perdure.Store:
    url = tmp_path / "agents.db" if request.param == "sqlite" else "memory:"
    store = perdure.Store(url, maintenance="off")
    edit(store, "main", lambda state: state.update(log=["a", "b"], plan={"x": 1, "y": 2}, n=10))
    store.fork("s", "side")
    return store


def edit(store: perdure.Store, branch: str, how: Callable[[Any], object]) -> None:
    with store.open("s", branch=branch) as session:
        how(session.state)


def put(key: str, state: Any) -> None:
    state["plan"][key] = len(key)


def fill(name: str, state: Any) -> None:
    state[name] = "x" * 900


def of(store: perdure.Store, branch: str = "main") -> dict[str, Any]:
    with store.open("s", branch=branch) as session:
        return {name: session.state[name] for name in session.state}


def test_edits_of_different_places_are_both_kept(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state["log"].append("side"))
    edit(store, "side", lambda state: state["plan"].update(x=100))
    edit(store, "main", lambda state: state["log"].insert(0, "main"))
    edit(store, "main", lambda state: state["plan"].update(y=200))
    merge = store.merge("s", "side", label="together")
    assert merge is not None
    assert merge.checkpoint is not None
    assert (merge.base, merge.checkpoint.number, merge.checkpoint.label) == (1, 4, "together")
    assert merge.checkpoint.merged == store.at("s", "side").checkpoint.id
    assert of(store) == {"log": ["main", "a", "b", "side"], "plan": {"x": 100, "y": 200}, "n": 10}
    assert of(store, "side")["log"] == ["a", "b", "side"]
    assert store.history("s", limit=1)[0] == merge.checkpoint
    assert all(each.ok for each in store.verify())


def test_a_branch_with_nothing_new_is_not_merged(store: perdure.Store) -> None:
    assert store.merge("s", "side") is None
    edit(store, "main", lambda state: state.update(n=11))
    assert store.merge("s", "side") is None
    assert store.merge("s", "side", dry_run=True) is None
    assert store.info("s").number == 2


def test_a_conflict_is_told_as_data_and_changes_nothing(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state.update(n=20))
    edit(store, "main", lambda state: state.update(n=30))
    with pytest.raises(errors.MergeConflicts, match="both changed 1 place") as caught:
        store.merge("s", "side")
    (conflict,) = caught.value.conflicts
    found = (conflict.path, conflict.base, conflict.ours, conflict.theirs)
    assert found == (("n",), 10, 30, 20)
    assert of(store)["n"] == 30
    preview = store.merge("s", "side", dry_run=True)
    assert preview is not None
    assert preview.conflicts == caught.value.conflicts
    assert preview.checkpoint is None
    assert store.info("s").number == 2


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("ours", 30),
        ("theirs", 20),
        ("counter", 40),
        (lambda base, ours, theirs: [base, ours, theirs], [10, 30, 20]),
    ],
)
def test_a_strategy_decides(store: perdure.Store, strategy: Any, expected: object) -> None:
    edit(store, "side", lambda state: state.update(n=20))
    edit(store, "main", lambda state: state.update(n=30))
    store.merge("s", "side", strategies={"n": strategy})
    assert of(store)["n"] == expected


def test_what_was_overruled_does_not_come_up_again(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state.update(n=20))
    edit(store, "main", lambda state: state.update(n=30))
    preview = store.merge("s", "side", strategies={"**": "ours"}, dry_run=True)
    assert preview is not None
    assert (preview.changes, preview.conflicts, preview.differences) == ((), (), ())
    merge = store.merge("s", "side", strategies={"**": "ours"})
    assert merge is not None
    assert merge.checkpoint is not None
    assert merge.checkpoint.merged == store.at("s", "side").checkpoint.id
    assert merge.summary() == (
        "merge of side into main since 1: checkpoint 3, which changes nothing"
    )
    assert (of(store)["n"], of(store, "side")["n"]) == (30, 20)
    assert store.merge("s", "side") is None
    edit(store, "side", lambda state: state["log"].append("side"))
    store.merge("s", "side")
    assert (of(store)["n"], of(store)["log"]) == (30, ["a", "b", "side"])
    assert all(each.ok for each in store.verify())


def test_that_both_did_the_same_is_noted_once(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state.update(n=11))
    edit(store, "main", lambda state: state.update(n=11))
    merge = store.merge("s", "side")
    assert merge is not None
    assert (merge.changes, merge.conflicts) == ((), ())
    assert store.merge("s", "side") is None
    assert store.merge("s", "main", into="side") is None  # else they would take turns forever
    edit(store, "side", lambda state: state.update(n=12))
    store.merge("s", "side")
    assert of(store)["n"] == 12


def test_a_dry_run_says_what_then_happens(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state["log"].append("side"))
    edit(store, "main", lambda state: state["log"].insert(0, "main"))
    preview = store.merge("s", "side", dry_run=True)
    assert preview is not None
    assert of(store)["log"] == ["main", "a", "b"]
    merge = store.merge("s", "side")
    assert merge is not None
    assert (merge.changes, preview.dry_run) == (preview.changes, True)


def test_merging_again_takes_only_what_came_since(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state["log"].append("one"))
    edit(store, "main", lambda state: state["log"].insert(0, "main"))
    store.merge("s", "side")
    edit(store, "side", lambda state: state["log"].append("two"))
    merge = store.merge("s", "side")
    assert merge is not None
    assert merge.base == 2
    assert of(store)["log"] == ["main", "a", "b", "one", "two"]


def test_branches_may_be_merged_back_and_forth(store: perdure.Store) -> None:
    for turn in range(4):
        edit(store, "side", partial(put, f"side {turn}"))
        edit(store, "main", partial(put, f"main {turn}"))
        store.merge("s", "side")
        store.merge("s", "main", into="side")
        assert of(store)["plan"] == of(store, "side")["plan"]
    assert len(of(store)["plan"]) == 2 + 8
    store.merge("s", "side")  # at most the order of keys, in which each had its own first
    assert store.merge("s", "side") is None
    assert store.merge("s", "main", into="side") is None
    assert all(each.ok for each in store.verify())


def test_a_merge_into_a_fresh_fork_and_after_a_rollback(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state["log"].append("side"))
    store.fork("s", "fresh")
    store.merge("s", "side", into="fresh")
    assert of(store, "fresh")["log"] == ["a", "b", "side"]
    edit(store, "main", lambda state: state.update(n=1))
    store.rollback("s", to=1)
    store.merge("s", "side")
    assert (of(store)["log"], of(store)["n"]) == (["a", "b", "side"], 10)
    assert all(each.ok for each in store.verify())
    store.maintain()
    assert of(store)["log"] == ["a", "b", "side"]


def test_what_a_rolled_back_branch_keeps_of_what_was_merged_is_not_merged_again(
    store: perdure.Store,
) -> None:
    def count(state: Any) -> None:
        state["n"] += 1

    for _ in range(4):
        edit(store, "side", count)
    store.merge("s", "side", strategies={"n": "counter"})
    assert of(store)["n"] == 14
    store.rollback("s", "side@3", branch="side")
    edit(store, "side", count)
    merge = store.merge("s", "side", strategies={"n": "counter"})
    assert merge is not None
    assert merge.base == 3
    assert of(store)["n"] == 15
    store.fork("s", "aside", at="side@2")
    assert store.merge("s", "aside") is None


def test_a_branch_that_took_in_another_can_be_promoted_over_it(store: perdure.Store) -> None:
    for n in range(3):
        edit(store, "main", partial(put, f"key {n}"))
    edit(store, "side", lambda state: state["log"].append("side"))
    with pytest.raises(errors.NotAncestor, match="3 checkpoint"):
        store.promote("s", "side")
    store.merge("s", "main", into="side")
    edit(store, "side", lambda state: state.update(after=1))
    preview = store.promote("s", "side", dry_run=True)
    assert preview is not None
    assert (preview.left, preview.gained) == (3, 3)
    assert "'side' took in 'main' by a merge, so 3 checkpoints" in preview.warnings[0]
    assert preview.differences is not None
    assert {each.path[0] for each in preview.differences} == {"log", "after"}
    moved = store.promote("s", "side")
    assert moved is not None
    assert (moved.left, moved.gained) == (3, 3)
    assert of(store) == of(store, "side")
    assert store.merge("s", "side") is None
    assert len(store.history("s", every=True)) == 1 + 3 + 3
    store.undo("s")
    assert of(store)["log"] == ["a", "b"]
    edit(store, "main", lambda state: state.update(n=5))
    with pytest.raises(errors.NotAncestor, match="4 checkpoint"):
        store.promote("s", "side")
    assert all(each.ok for each in store.verify())


@pytest.mark.parametrize("pruned", [False, True])
def test_what_came_by_way_of_a_third_counts_for_a_promotion(
    store: perdure.Store, pruned: bool
) -> None:
    edit(store, "main", lambda state: state.update(n=1))
    store.fork("s", "third", at=1)
    edit(store, "third", lambda state: state.update(third=3))
    store.merge("s", "main", into="third")
    edit(store, "side", lambda state: state.update(side=2))
    store.merge("s", "third", into="side")
    if pruned:
        for n in range(3):
            edit(store, "side", partial(put, f"key {n}"))
            edit(store, "third", partial(put, f"key {n}"))
        store.prune(perdure.Retention(keep_last=1), "s")
        assert not any(each.merged for each in store.history("s", branch="side"))
    moved = store.promote("s", "side")
    assert moved is not None
    assert of(store) == of(store, "side")


def test_a_session_on_the_branch_meets_a_merge_as_any_other_save(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state.update(n=20))
    with store.open("s") as session:
        session.state["plan"]["x"] = 5
        store.merge("s", "side")
        with pytest.raises(errors.Conflict):
            session.save()
        session.refresh(keep_changes=True)
    assert (of(store)["n"], of(store)["plan"]["x"]) == (20, 5)


def test_what_cannot_be_merged_is_refused(store: perdure.Store) -> None:
    with pytest.raises(errors.UsageError, match="into itself"):
        store.merge("s", "main")
    with pytest.raises(errors.BranchNotFound):
        store.merge("s", "nobody")
    with pytest.raises(errors.UsageError, match="no merge strategy 'best'"):
        store.merge("s", "side", strategies={"n": "best"})  # type: ignore[dict-item]
    edit(store, "side", lambda state: state.update(n=20))
    with pytest.raises(errors.UsageError):
        store.merge("s", "side", strategies={"n": "best"})  # type: ignore[dict-item]
    with store.open("s", exclusive=True), pytest.raises(errors.Busy):
        store.merge("s", "side")
    assert of(store)["n"] == 10


def test_more_than_a_checkpoint_holds_is_not_merged(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        edit(store, "side", partial(fill, name))
    edit(store, "main", lambda state: state.update(n=20))
    monkeypatch.setattr(limits, "save_bytes_max", 1000)
    with pytest.raises(errors.NotStorable, match="at most 1,000 fit in one"):
        store.merge("s", "side")
    assert of(store)["n"] == 20
    assert "one" not in of(store)


def test_the_same_under_asyncio(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "agents.db") as store:
            async with store.open("s") as session:
                session.state["n"] = 1
            await store.fork("s", "side")
            async with store.open("s", branch="side") as session:
                session.state["m"] = 2
            merge = await store.merge("s", "side")
            assert merge is not None
            assert merge.summary() == (
                "merge of side into main since 1: checkpoint 2, which changes m"
            )

    asyncio.run(main())
