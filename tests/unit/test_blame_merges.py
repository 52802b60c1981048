"""`store.blame` through merges: who wrote on the branch that was merged (P3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure import Checkpoint, limits
from perdure.core.blame import same_place
from perdure.core.values import same


@pytest.fixture
def store() -> perdure.Store:
    made = perdure.Store("memory:", maintenance="off")
    edit(made, "main", lambda state: state.update(plan={"a": 0, "b": 0}, log=["start"], steps=[]))
    made.fork("s", "side")
    return made


def edit(store: perdure.Store, branch: str, how: Callable[[Any], object]) -> Checkpoint:
    """Change a state in a session of its own; where that was saved."""
    with store.open("s", branch=branch) as session:
        how(session.state)
    return store.history("s", branch=branch, limit=1)[0]


def writer(store: perdure.Store, path: str, at: Any = None) -> tuple[str, str, str]:
    found = store.blame("s", path, at=at)
    return found.branch, found.id, found.session


def named(checkpoint: Checkpoint) -> tuple[str, str, str]:
    return checkpoint.branch, checkpoint.id, checkpoint.session


def test_what_a_merge_took_was_written_on_the_branch_that_it_took(store: perdure.Store) -> None:
    theirs = edit(store, "side", lambda state: state["plan"].update(a=1))
    ours = edit(store, "main", lambda state: state["plan"].update(b=1))
    merge = store.merge("s", "side")
    assert merge is not None
    assert merge.checkpoint is not None
    assert writer(store, "plan/a") == named(theirs)
    assert writer(store, "plan/b") == named(ours)
    assert writer(store, "plan") == named(merge.checkpoint)  # which is neither's
    store.maintain("s")
    edit(store, "main", lambda state: state.update(n=1))
    assert writer(store, "plan/a") == named(theirs)
    assert writer(store, "plan/a", at=merge.checkpoint.number - 1)[2] != theirs.session


def test_what_both_made_is_the_merges_own(store: perdure.Store) -> None:
    edit(store, "side", lambda state: state["plan"].update(a=1))
    edit(store, "main", lambda state: state["plan"].update(a=10))
    merge = store.merge("s", "side", strategies={"plan/a": "counter"})
    assert merge is not None
    assert merge.checkpoint is not None
    assert store.at("s", "main")["plan"]["a"] == 11
    assert writer(store, "plan/a") == named(merge.checkpoint)


def test_items_of_lists_are_found_where_they_were(store: perdure.Store) -> None:
    first = edit(store, "side", lambda state: state["log"].append("theirs"))
    second = edit(store, "side", lambda state: state["log"].append("more"))
    ours = edit(store, "main", lambda state: state["log"].extend(["ours", "too"]))
    store.merge("s", "side", strategies={"log": "append"})
    assert store.at("s", "main")["log"] == ["start", "ours", "too", "theirs", "more"]
    assert writer(store, "log/3") == named(first)
    assert writer(store, "log/4") == named(second)
    assert writer(store, "log/2") == named(ours)


def test_items_with_an_id_are_found_by_it(store: perdure.Store) -> None:
    edit(store, "main", lambda state: state["steps"].extend([{"id": 1, "x": 0}, {"id": 2, "x": 0}]))
    store.rollback("s", "main", branch="side")
    theirs = edit(store, "side", lambda state: state["steps"][0].update(x=5))
    edit(store, "main", lambda state: state["steps"].insert(0, {"id": 0, "x": 7}))
    edit(store, "main", lambda state: state["steps"][1].update(y=5))
    store.merge("s", "side")
    assert store.at("s", "main")["steps"][1] == {"id": 1, "x": 5, "y": 5}
    assert writer(store, "steps/1/x") == named(theirs)


def test_through_several_merges_and_a_branch_that_was_deleted(store: perdure.Store) -> None:
    store.fork("s", "third")
    theirs = edit(store, "third", lambda state: state["plan"].update(a=1))
    edit(store, "third", lambda state: state.update(after=1))
    edit(store, "side", lambda state: state.update(side=1))
    store.merge("s", "third", into="side")
    edit(store, "main", lambda state: state.update(main=1))
    store.merge("s", "side")
    store.delete_branch("s", "third")
    assert writer(store, "plan/a") == named(theirs)


def test_no_more_merges_are_gone_through_than_the_limit_says(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(store, "side", lambda state: state["plan"].update(a=1))
    merge = store.merge("s", "side")
    assert merge is not None
    assert merge.checkpoint is not None
    monkeypatch.setattr(limits, "blame_merges_max", 0)
    assert writer(store, "plan/a") == named(merge.checkpoint)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_merge_is_named_where_the_past_of_the_branch_was_pruned(
    store: perdure.Store, is_deleted: bool
) -> None:
    edit(store, "side", lambda state: state["plan"].update(a=1))
    edit(store, "side", lambda state: state.update(n=1))
    edit(store, "main", lambda state: state.update(main=1))
    merge = store.merge("s", "side")
    assert merge is not None
    assert merge.checkpoint is not None
    if is_deleted:
        store.delete_branch("s", "side")
    store.prune(perdure.Retention(keep_last=1), "s")
    assert writer(store, "plan/a") == named(merge.checkpoint)


def test_a_session_that_merged_wrote_what_it_saved(store: perdure.Store) -> None:
    with store.open("s", on_conflict="merge") as session:
        session.state["plan"]["a"] = 1
        edit(store, "main", lambda state: state["plan"].update(b=1))
        saved = session.save()
    assert saved is not None
    assert saved.merged is not None
    assert writer(store, "plan/a") == named(saved)


# ---- where a value is in another state ------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there", "path", "expected"),
    [
        ([1, 2, 3], [2, 3], (1,), (0,)),
        ([1, 2, 3], [1, 9, 3], (1,), None),
        ([[1], [2]], [[1, 5], [2]], (1, 0), (1, 0)),
        (["t", "t"], ["t"], (0,), (0,)),
        (["t", "t"], ["t"], (1,), None),  # which of the two cannot be told
        ([{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}], (0,), (1,)),
        ({"a": (1, 2)}, {"a": (1, 2)}, ("a", 1), ("a", 1)),
        ({"a": (1, 2)}, {"a": (1,)}, ("a", 1), None),
        ({"a": 1}, {}, ("a",), None),
        ({"a": {"b": 1}}, {"a": 5}, ("a", "b"), None),
        ({"a": [1]}, {"a": {"b": 1}}, ("a", 0), None),
    ],
)
def test_the_same_place(here: Any, there: Any, path: Any, expected: Any) -> None:
    assert same_place({"s": here}, {"s": there}, ("s", *path)) == (
        ("s", *expected) if expected is not None else None
    )


ITEMS: list[Any] = [0, 1, True, "a", [0], {"id": 1}, {"id": 1, "x": 1}, {"id": 2}, {"x": 1}]
LISTS = st.lists(st.sampled_from(ITEMS), max_size=6)


@given(LISTS, LISTS)
def test_what_is_found_is_the_same(here: list[Any], there: list[Any]) -> None:
    for at, item in enumerate(here):
        found = same_place(here, there, (at,))
        if found is not None:
            assert same(there[int(found[0])], item)
        assert same_place(here, here, (at,)) is not None
        assert same_place(here, [*ITEMS, *here], (at,)) is not None
