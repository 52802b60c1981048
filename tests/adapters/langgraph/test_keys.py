"""Every thread has a key, whatever its id, and two threads never have the same."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import put, values

from perdure import errors
from perdure.adapters.langgraph import PerdureSaver, PerdureStore
from perdure.adapters.langgraph.keys import is_of_thread, key_of, names_of, place_of, roots_of
from perdure.naming import check_new

AS_THEY_WERE = {
    ("alice", ""): "alice",
    ("a#1", "tools:7c9e"): "a%231#tools:7c9e",
    ("100%", "a%2A:1|b:2"): "100%25#a%2A:1|b:2",
    ("team/alice", ""): "team/alice",
    ("two words", "Ünï:1"): "two words#Ünï:1",
    ("i" * 900, "n:1"): "i" * 900 + "#n:1",
}
"""Keys that threads had before odd ids had any: they keep them."""

ODD = [
    *(
        "a*b",
        "",
        " ",
        "a//b",
        "/",
        "../up",
        "a\x00b",
        "cut \ud83d",
        "e\u0301",
        "\u202ea",
        "%",
        "%~",
    ),
    *("a" * 1016, "a" * 1017, "a" * 5000, "ü" * 2000, "*" * 1000, "%25", "a%2Ab"),
]

texts = (
    st.text(st.characters(codec=None)) | st.sampled_from(ODD) | st.text("a%*/#|~.2A", max_size=6)
)


def named(thread_id: str, namespace: str = "") -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}


@pytest.mark.parametrize(("place", "key"), AS_THEY_WERE.items())
def test_keys_that_threads_have_stay(place: tuple[str, str], key: str) -> None:
    assert key_of("threads/", *place) == f"threads/{key}"


@given(texts, texts)
@example("", "")
@example("a" * 1000, "n" * 1000)
@example("a", "|b")
@example("a", "b/")
def test_a_key_leads_back_to_its_thread(thread_id: str, namespace: str) -> None:
    key = key_of("threads/", thread_id, namespace)
    check_new(key)
    told = names_of(key, thread_id, namespace)
    assert place_of("threads/", key, told) == (thread_id, namespace)
    assert any(is_of_thread(root, key) for root in roots_of("threads/", thread_id))


@given(texts, texts, texts, texts)
@example("a*b", "", "a%2Ab", "")
@example("", "", "%", "")
@example("a", "#b", "a#", "b")
def test_no_two_threads_have_one_key(one: str, within: str, other: str, inside: str) -> None:
    is_same = (one, within) == (other, inside)
    assert (key_of("t/", one, within) == key_of("t/", other, inside)) is is_same
    of_other = any(is_of_thread(root, key_of("t/", other, inside)) for root in roots_of("t/", one))
    assert of_other is (one == other)


@pytest.mark.parametrize("name", ODD)
def test_a_thread_with_an_odd_id_is_kept_listed_copied_and_deleted(
    name: str, tmp_path: Path
) -> None:
    url = tmp_path / "agents.db"
    other = "x" if name == "a" * 1016 else f"{name[:1100]} copy"
    inner = "node*:1|" + "deep:2|" * 150
    with PerdureSaver(url) as saver:
        put(saver, put(saver, named(name), 1), 2)
        put(saver, named(name, inner), 3)
        put(saver, thread("bob"), 4)
    with PerdureSaver(url) as saver:
        assert values(saver, named(name)) == {"x": 2}
        nested = asyncio.run(saver.aget_tuple(named(name, inner)))
        assert nested is not None and nested.config["configurable"]["checkpoint_ns"] == inner
        assert set(nested.checkpoint) == set(empty_checkpoint())
        found = [each.config["configurable"] for each in saver.list(None)]
        assert {(each["thread_id"], each["checkpoint_ns"]) for each in found} == {
            *((name, ""), (name, inner), ("bob", ""))
        }
        saver.copy_thread(name, other)
        assert values(saver, named(other, inner)) == {"x": 3}
        copied = saver.list({"configurable": {"thread_id": other}})
        assert [each.config["configurable"]["thread_id"] for each in copied] == [other] * 3
        saver.delete_thread(name)
        assert saver.get_tuple(named(name)) is None and saver.get_tuple(named(name, inner)) is None
        assert values(saver, named(other)) == {"x": 2} and values(saver, thread("bob")) == {"x": 4}
        saver.release(other)
        roots = roots_of("threads/", other)
        assert not [
            key for key in saver._threads.held() for root in roots if is_of_thread(root, key)
        ]


def test_a_prefix_that_begins_no_key_is_told(tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "a.db", prefix="*/") as saver, pytest.raises(errors.InvalidKey):
        put(saver, thread(), 1)


def test_memories_with_odd_labels_have_keys_and_others_keep_theirs(tmp_path: Path) -> None:
    odd = [("a*b",), ("a%2Ab",), (" a", "e\u0301"), ("100%",)]
    with PerdureStore(tmp_path / "a.db") as store:
        for number, namespace in enumerate(odd):
            store.put(namespace, "x", {"n": number})
    with PerdureStore(tmp_path / "a.db") as store:
        for number, namespace in enumerate(odd):
            found = store.get(namespace, "x")
            assert found is not None and found.value == {"n": number}
        assert store.list_namespaces() == sorted(odd)
        keys = {each.key for each in store.store.states()}
        assert {"memories/100%25", "memories/a%2Ab", "memories/a%252Ab"} <= keys
