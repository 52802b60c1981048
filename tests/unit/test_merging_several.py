"""Merging among more than two branches: what both took in already is not merged again (P3, P7)."""

import pytest

import perdure
from perdure.types import Merge, Strategy

COUNTING: dict[str, Strategy] = {"n": "counter", "log": "append"}


@pytest.fixture
def store() -> perdure.Store:
    store = perdure.Store("memory:", maintenance="off")
    with store.open("s") as session:
        session.state["n"] = 0
        session.state["log"] = []
    for name in ("a", "b", "c"):
        store.fork("s", name)
    return store


def add(store: perdure.Store, branch: str, amount: int) -> None:
    with store.open("s", branch=branch) as session:
        session.state["n"] += amount
        session.state["log"].append(amount)


def merge(store: perdure.Store, branch: str, into: str) -> Merge | None:
    return store.merge("s", branch, into=into, strategies=COUNTING)


def of(store: perdure.Store, branch: str) -> tuple[int, list[int]]:
    state = store.at("s", branch)
    return state["n"], sorted(state["log"])


def test_what_came_by_way_of_another_branch_is_not_merged_again(store: perdure.Store) -> None:
    add(store, "a", 1)
    add(store, "b", 10)
    merge(store, "a", "b")
    merge(store, "b", "main")
    assert merge(store, "a", "main") is None
    add(store, "a", 100)
    merge(store, "a", "main")
    assert of(store, "main") == (111, [1, 10, 100])


def test_what_both_took_in_of_a_third_is_not_merged_again(store: perdure.Store) -> None:
    for branch, amount in (("a", 1), ("b", 10), ("c", 100)):
        add(store, branch, amount)
    merge(store, "c", "a")
    merge(store, "c", "b")
    store.delete_branch("s", "c")  # what it had is kept, and still tells
    merge(store, "b", "a")
    assert of(store, "a") == (111, [1, 10, 100])


def test_a_third_that_had_merged_where_both_parted_is_newer_than_that(store: perdure.Store) -> None:
    add(store, "a", 1)
    add(store, "main", 10)
    merge(store, "a", "main")
    store.fork("s", "d", at="a")
    merge(store, "main", "a")
    merge(store, "main", "d")
    add(store, "a", 100)
    merge(store, "d", "a")
    assert of(store, "a") == (111, [1, 10, 100])


def test_a_third_that_lacks_where_both_parted_is_not_the_base(store: perdure.Store) -> None:
    add(store, "main", 1)
    add(store, "c", 10)
    add(store, "c", 20)
    store.fork("s", "d")
    merge(store, "c", "main")
    merge(store, "c", "d")
    add(store, "d", 100)
    found = merge(store, "d", "main")
    assert found is not None
    assert found.base == 2
