"""`PerdureStore` does what LangGraph's own store in memory does, and keeps it."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from tests.adapters.langgraph.test_coding import Plan

from perdure import errors
from perdure.adapters.langgraph import PerdureStore

LABELS = ("users", "alice", "a/b", "%2F")
spaces = st.lists(st.sampled_from(LABELS), min_size=1, max_size=3).map(tuple)
keys = st.sampled_from(["food", "a.b", "ü", ""])
values = st.fixed_dictionaries({"n": st.integers(0, 3), "kind": st.sampled_from(["a", "b"])})
filters = st.sampled_from(
    [None, {"kind": "a"}, {"n": {"$gt": 1}}, {"n": {"$ne": 1, "$lte": 2}}, {"none": 1}]
)
matches = st.lists(
    st.builds(
        MatchCondition,
        st.sampled_from(["prefix", "suffix"]),
        st.lists(st.sampled_from([*LABELS, "*"]), min_size=1, max_size=2).map(tuple),
    ),
    max_size=2,
).map(tuple)
ops = st.one_of(
    st.builds(PutOp, spaces, keys, st.none() | values, st.none(), st.none()),
    st.builds(GetOp, spaces, keys, st.booleans()),
    st.builds(SearchOp, spaces, filters, st.just(100), st.just(0)),
    st.builds(ListNamespacesOp, matches, st.none() | st.integers(1, 2), st.just(100), st.just(0)),
)


def told(results: Sequence[Any]) -> list[Any]:
    """Results without times, searches without their order."""

    def item(each: Any) -> Any:
        return (each.namespace, each.key, each.value) if hasattr(each, "value") else each

    return [
        sorted(map(item, each), key=repr) if isinstance(each, list) else item(each)
        for each in results
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(ops, max_size=4), max_size=8))
def test_any_operations_give_what_they_give_in_memory(batches: list[list[Op]]) -> None:
    memory = InMemoryStore()
    with PerdureStore("memory:") as store:
        for batch in batches:
            reads = [op for op in batch if not isinstance(op, ListNamespacesOp)]
            assert told(store.batch(reads)) == told(memory.batch(reads))
            for op in (op for op in batch if isinstance(op, ListNamespacesOp)):
                # In memory a namespace is listed for good, once anything was asked of it.
                kept = [name for name, items in memory._data.items() if items]
                known = InMemoryStore()
                for name in kept:
                    known.put(name, "x", {})
                assert store.batch([op]) == known.batch([op])


def embed(texts: Sequence[str]) -> list[list[float]]:
    return [[text.count("fig"), text.count("dog"), 1.0] for text in texts]


INDEX: Any = {"dims": 3, "embed": embed, "fields": ["text", "more[*].text"]}


def fill(store: BaseStore) -> None:
    store.put(("users", "alice"), "food", {"text": "fig fig fig", "n": 1})
    store.put(("users", "alice"), "pet", {"text": "dog", "more": [{"text": "fig"}, {"text": "x"}]})
    store.put(("users", "bob"), "none", {"n": 1}, index=False)
    store.put(("users", "bob"), "pet", {"text": "dog dog", "note": "fig"}, index=["note"])


def test_search_by_an_embedding_is_as_in_memory_also_from_another_process(tmp_path: Path) -> None:
    memory = InMemoryStore(index=INDEX)
    fill(memory)
    with PerdureStore(tmp_path / "a.db", index=INDEX) as store:
        fill(store)
    with PerdureStore(tmp_path / "a.db", index=INDEX) as store:
        for asked in ({"query": "fig"}, {"query": "dog"}, {"query": "fig", "filter": {"n": 1}}):
            found, same = store.search(("users",), **asked), memory.search(("users",), **asked)
            assert [each.key for each in found] == [each.key for each in same]
            for one, other in zip(found, same):
                assert one.score == pytest.approx(other.score)
        assert [each.key for each in store.search(("users",), query="fig", limit=1)] == ["pet"]
        found = asyncio.run(store.asearch(("users", "bob"), query="fig", offset=1))
        assert [each.key for each in found] == ["none"]


def test_what_is_put_is_there_in_the_next_process_and_reads_well(tmp_path: Path) -> None:
    with PerdureStore(tmp_path / "a.db") as store:
        asyncio.run(store.aput(("users", "alice"), "food", {"likes": ["figs"]}))
        store.put(("users", "alice"), "drink", {"likes": "tea"})
        first = store.get(("users", "alice"), "food")
        assert first is not None
        time.sleep(0.01)
        store.put(("users", "alice"), "food", {"likes": ["figs", "nuts"]})
        again = store.get(("users", "alice"), "food")
        assert again is not None and again.created_at == first.created_at < again.updated_at
    with PerdureStore(tmp_path / "a.db") as store:
        assert asyncio.run(store.aget(("users", "alice"), "food")) == again
        assert store.list_namespaces() == [("users", "alice")]
        assert [each.summary for each in store.store.states()] == ["2 items"]
        assert store.store.at("memories/users/alice", 1)["items"]["food"]["value"] == {
            "likes": ["figs"]
        }
        asyncio.run(store.adelete(("users", "alice"), "food"))
        store.delete(("users", "alice"), "drink")
        assert store.list_namespaces() == [] and store.search(()) == []


def test_two_workers_put_to_one_namespace_and_nothing_is_lost_P3(tmp_path: Path) -> None:
    with PerdureStore(tmp_path / "a.db") as one, PerdureStore(tmp_path / "a.db") as other:
        assert one.get(("team",), "x") is None and other.get(("team",), "x") is None
        for i in range(5):
            one.put(("team",), f"one-{i}", {"n": i})
            other.put(("team",), f"other-{i}", {"n": i})
            one.put(("team",), "both", {"by": "one"})
            other.put(("team",), "both", {"by": "other"})
        assert len(one.search(("team",), limit=100)) == 11
        found = one.get(("team",), "both")
        assert found is not None and found.value == {"by": "other"}


def test_items_expire_unless_they_are_read(tmp_path: Path) -> None:
    minutes = 0.4 / 60
    with PerdureStore(tmp_path / "a.db", ttl={"default_ttl": minutes}) as store:
        for key in ("read", "left", "kept"):
            store.put(("t",), key, {"n": 1}, ttl=None if key == "kept" else minutes)
        for _ in range(3):
            time.sleep(0.25)
            assert store.get(("t",), "read") is not None
        assert store.get(("t",), "left") is None
        assert {each.key for each in store.search(("t",), refresh_ttl=False)} == {"read", "kept"}
        assert "left" in store.store.at("memories/t", "main")["items"]
        assert store.sweep() == 1
        assert "left" not in store.store.at("memories/t", "main")["items"]
        store.put(("gone",), "x", {"n": 1})
        time.sleep(0.45)
        assert store.list_namespaces() == [("t",)]


def test_what_is_refused(tmp_path: Path) -> None:
    with PerdureStore(tmp_path / "a.db") as store:
        with pytest.raises(errors.NotStorable, match="allow"):
            store.put(("a",), "x", {"plan": Plan([])})
        assert store.search(("a",)) == []
        with pytest.raises(errors.UsageError, match=r"\$like"):
            store.put(("a",), "x", {"n": 1})
            store.search(("a",), filter={"n": {"$like": 1}})
        for ttl in (float("nan"), -1.0, 1e30):
            with pytest.raises(errors.UsageError, match="minutes"):
                store.put(("a",), "x", {"n": 2}, ttl=ttl)
        for namespace in ((), ("a.b",), ("",)):
            with pytest.raises(InvalidNamespaceError):
                store.put(namespace, "x", {})
