"""How strategies are given: by pattern or by a conflict's own path, and what is told of others."""

from collections.abc import Iterator
from typing import Any

import pytest

import perdure
from perdure import errors


@pytest.fixture
def store() -> Iterator[perdure.Store]:
    with perdure.Store("memory:", maintenance="off") as store:
        with store.open("a") as session:
            session.state.update({"plan": {"a/b": {"*": 1}, "other": 1}, "log": [1, 2, 3, 4]})
        store.fork("a", "side")
        yield store


def edit(store: perdure.Store, branch: str, value: Any) -> None:
    with store.open("a", branch=branch) as session:
        session.state["plan"]["a/b"]["*"] = value
        session.state["log"][2:3] = [value, value]


def clash(store: perdure.Store) -> list[Any]:
    """The paths at which both branches have something else."""
    edit(store, "main", "ours")
    edit(store, "side", "theirs")
    with pytest.raises(errors.MergeConflicts) as caught:
        store.merge("a", "side")
    return [conflict.path for conflict in caught.value.conflicts]


def test_the_paths_of_conflicts_are_strategies_paths(store: perdure.Store) -> None:
    paths = clash(store)
    assert paths == [("plan", "a/b", "*"), ("log", 2)]
    assert store.merge("a", "side", strategies=dict.fromkeys(paths, "theirs")) is not None
    assert store.at("a", "main").plain()["plan"]["a/b"] == {"*": "theirs"}
    assert store.at("a", "main").plain()["log"] == [1, 2, "theirs", "theirs", 4]


def test_a_star_in_a_tuple_is_itself_and_a_tuple_covers_what_is_below(store: perdure.Store) -> None:
    edit(store, "main", "ours")
    edit(store, "side", "theirs")
    with pytest.raises(errors.MergeConflicts) as caught:
        store.merge("a", "side", strategies={("plan", "*"): "ours", ("log",): "ours"})
    assert [conflict.path for conflict in caught.value.conflicts] == [("plan", "a/b", "*")]
    store.merge("a", "side", strategies={("plan", "a/b"): "theirs", (): "ours"})
    assert store.at("a", "main").plain()["plan"]["a/b"] == {"*": "theirs"}
    assert store.at("a", "main").plain()["log"] == [1, 2, "ours", "ours", 4]


WRONG = [
    (["plan"], "strategies are a mapping"),
    ([], "strategies are a mapping"),
    ("plan=ours", "strategies are a mapping"),
    ({"plan": "oars"}, "no merge strategy 'oars' (for 'plan')"),
    ({("plan", "a"): None}, "no merge strategy None (for ('plan', 'a'))"),
    ({"plan": ["ours"]}, "no merge strategy ['ours']"),
    ({7: "ours"}, "not for 7"),
    ({("plan", 1.5): "ours"}, "not for ('plan', 1.5)"),
]


@pytest.mark.parametrize(("strategies", "told"), WRONG)
def test_what_are_no_strategies_is_told_wherever_they_are_given(
    store: perdure.Store, strategies: Any, told: str
) -> None:
    def set_them() -> None:
        with store.open("a", on_conflict="merge") as session:
            session.strategies = strategies

    for give in (
        lambda: store.merge("a", "side", strategies=strategies),
        lambda: store.open("a", on_conflict="merge", strategies=strategies),
        set_them,
    ):
        with pytest.raises(errors.UsageError) as caught:
            give()
        assert told in str(caught.value)


def test_those_of_a_session_can_be_set_once_it_met_a_conflict(store: perdure.Store) -> None:
    session = store.open("a", on_conflict="merge")
    edit(store, "main", "theirs")
    session.state["plan"]["a/b"]["*"] = "ours"
    with pytest.raises(errors.MergeConflicts) as caught:
        session.save()
    given: dict[Any, Any] = {"log": "append"}
    session.strategies = given
    session.strategies |= {each.path: "ours" for each in caught.value.conflicts}
    assert given == {"log": "append"}  # a copy is taken
    assert session.strategies == {"log": "append", ("plan", "a/b", "*"): "ours"}
    session.save()
    session.close()
    assert store.at("a", "main").plain()["plan"]["a/b"] == {"*": "ours"}


def test_those_of_a_session_that_never_merges_cannot_be_set(store: perdure.Store) -> None:
    with store.open("a") as session:
        with pytest.raises(errors.UsageError, match='on_conflict="merge"'):
            session.strategies = {"log": "append"}
        assert session.strategies == {}
