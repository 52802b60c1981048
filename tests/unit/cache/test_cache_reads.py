"""What was read before is not read again, as long as it has room."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cache.asked import Asked, cache_of, fill, plain

import perdure
from perdure import errors, limits
from perdure.engine.requests import ReadPages, ReadState, StateRows, Unchanged

# ---- what is not read again -----------------------------------------------------------------


def test_a_hot_state_is_opened_and_read_by_one_look_at_its_head(
    store: perdure.Store, asked: Asked
) -> None:
    fill(store)
    whole = plain(store)
    asked.taken()
    assert plain(store) == whole
    ((request, answer),) = asked.taken()
    assert isinstance(request, ReadState)
    assert answer == Unchanged()
    with store.open("a", windows={"messages": 5}) as session:
        assert session.state["messages"] == whole["messages"][-5:]
        assert session.window("messages", 0, 2) == whole["messages"][:2]
    assert asked.kinds() == [ReadState]


def test_the_async_twin_reads_no_more(asked: Asked) -> None:
    async def work() -> None:
        async with perdure.AsyncStore(asked.backend, maintenance="off") as store:
            async with store.open("a") as session:
                session.state["messages"] = [f"message {n} " * 50 for n in range(100)]
            for n in range(2):
                async with store.open("a") as session:
                    session.state["last"] = n
            asked.taken()
            async with store.open("a") as session:
                assert session.state["messages"][99] == "message 99 " * 50
            assert [type(answer) for _, answer in asked.taken()] == [StateRows]
            async with store.open("a") as session:
                assert session.state["last"] == 1
            assert [answer for _, answer in asked.taken()] == [Unchanged()]

    asyncio.run(work())


def test_of_a_state_that_was_saved_to_only_what_is_new_is_read(
    store: perdure.Store, asked: Asked
) -> None:
    fill(store)
    whole = plain(store)
    with store.open("a") as session:
        session.state["last"] = "mine"
    asked.taken()
    assert plain(store) == {**whole, "last": "mine"}
    ((request, answer),) = asked.taken()
    assert request.known.number == 73
    assert [row.number for row in answer.records] == [74]
    assert answer.pages == ()


def test_pages_that_a_new_snapshot_shares_with_the_old_are_not_read(
    store: perdure.Store, asked: Asked
) -> None:
    fill(store)
    plain(store)
    with store.open("a") as session:
        for n in range(limits.tail_records_max + 1):
            session.state["messages"].append(n)
            session.save()
    store.maintain("a")
    asked.taken()
    assert len(plain(store)["messages"]) == 70 + limits.tail_records_max + 1
    requests = [request for request, _ in asked.taken()]
    assert [type(each) for each in requests].count(ReadState) == 1
    read = [id_ for each in requests if type(each) is ReadPages for id_ in each.ids]
    assert 0 < len(read) <= 3  # the end of the messages and what leads there
    plain(store)
    assert asked.kinds() == [ReadState]


def test_an_older_checkpoint_is_read_from_pages_that_are_here(
    store: perdure.Store, asked: Asked
) -> None:
    fill(store)
    first = store.at("a", 69).plain()
    asked.taken()
    assert store.at("a", 69).plain() == first
    assert ReadPages not in asked.kinds()


def test_without_a_cache_everything_is_read_each_time(asked: Asked) -> None:
    with perdure.Store(asked.backend, maintenance="off", cache_bytes=0) as store:
        fill(store)
        whole = plain(store)
        asked.taken()
        assert plain(store) == whole
        (request, answer), *pages = asked.taken()
        assert request == ReadState("a")
        assert len(answer.records) == 4
        assert {type(each) for each, _ in pages} == {ReadPages}
        assert store._driver.cache is None


@pytest.mark.parametrize("size", [-1, 1.5, "64", None, True])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    for facade in (perdure.Store, perdure.AsyncStore):
        with pytest.raises(errors.UsageError, match="cache_bytes is a number of bytes"):
            facade("memory:", cache_bytes=size)


# ---- bounds ---------------------------------------------------------------------------------


def test_what_is_larger_than_the_cache_is_read_and_lets_nothing_go(asked: Asked) -> None:
    with perdure.Store(asked.backend, maintenance="off", cache_bytes=100_000) as store:
        fill(store, "small", 1)
        with store.open("large") as session:
            session.state["text"] = ("x" * 300_000, 1)  # a tuple is never cut
            session.save()
            for n in range(limits.tail_records_max + 1):
                session.state["n"] = n
                session.save()
        store.maintain("large")
        plain(store, "small")
        asked.taken()
        for _ in range(2):
            assert len(plain(store, "large")["text"][0]) == 300_000
            assert asked.kinds() == [ReadState, ReadPages]
        plain(store, "small")
        assert [answer for _, answer in asked.taken()] == [Unchanged()]
        assert 0 < cache_of(store).bytes < 100_000


def test_what_is_kept_stays_within_the_bound(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off", cache_bytes=50_000) as store:
        fill(store)
        for n in range(12):
            store.copy("a", f"copy {n}")
        for n in (*range(12), *range(12)):
            assert plain(store, f"copy {n}")["count"] == 70
            assert 0 < cache_of(store).bytes <= 50_000


def test_what_an_entry_takes_is_counted_in_full() -> None:
    """More than what Python has allocated for it, records of a tail and small pages alike."""
    import tracemalloc

    with perdure.Store("memory:", maintenance="off") as store:
        fill(store, "warm")
        plain(store, "warm")
        fill(store)
        with store.open("tail") as session:
            for n in range(500):
                session.state["n"] = n
                session.save()
        before = cache_of(store).bytes
        tracemalloc.start()
        try:
            plain(store)
            plain(store, "tail")
            gc.collect()  # closed sessions hold what they loaded until then
            allocated, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        kept = cache_of(store).bytes - before
        assert kept > 300_000
        assert allocated <= kept
