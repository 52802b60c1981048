"""What was read before is not read again, and is never taken for what is there now."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import apsw
import pytest

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend
from perdure.backends.sqlite import SqliteBackend
from perdure.cache import Cache
from perdure.core.head import MAIN
from perdure.engine.read import read_head
from perdure.engine.requests import ReadPages, ReadState, StateRows, Unchanged


class Asked:
    """What a backend was asked, and what it answered."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.seen: list[tuple[Any, Any]] = []
        self._perform = backend.perform
        backend.perform = self.perform  # type: ignore[method-assign]

    def perform(self, request: Any) -> Any:
        answer = self._perform(request)
        self.seen.append((request, answer))
        return answer

    def taken(self) -> list[tuple[Any, Any]]:
        """All since this was called last."""
        seen, self.seen = self.seen, []
        return seen

    def pages(self) -> set[bytes]:
        """Ids of the pages asked for since `taken`."""
        requests = [request for request, _ in self.taken()]
        return {id_ for each in requests if type(each) is ReadPages for id_ in each.ids}

    def kinds(self) -> list[type]:
        """Kinds of requests since `taken`."""
        return [type(request) for request, _ in self.taken()]


@pytest.fixture(params=["sqlite", "memory", "objects"])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    backends: dict[str, Any] = {
        "sqlite": lambda: SqliteBackend(tmp_path / "a.db"),
        "memory": MemoryBackend,
        "objects": ObjectBackend,
    }
    return Asked(backends[request.param]())


@pytest.fixture
def store(asked: Asked) -> Iterator[perdure.Store]:
    with perdure.Store(asked.backend, maintenance="off", durability="process") as made:
        yield made


def fill(store: perdure.Store, key: str = "a", saves: int = 70) -> None:
    """Four sections, of which one is long; a snapshot, and three records after it."""
    with store.open(key) as session:
        session.state.update({"messages": [], "plan": {str(n): n for n in range(3000)}})
        for n in range(saves):
            session.state["messages"].append({"n": n, "content": f"message {n} " * 50})
            session.state["count"] = n + 1
            session.save(metadata={"tags": [n]})
    store.maintain(key)
    with store.open(key) as session:
        for n in range(3):
            session.state["last"] = n
            session.save(metadata={"tags": ["last"]})


def plain(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    with store.open(key) as session:
        return session.state.plain()


def cache_of(store: perdure.Store | perdure.AsyncStore) -> Cache:
    cache = store._driver.cache
    assert cache is not None
    return cache


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


# ---- what is there now ----------------------------------------------------------------------


SAVE = """
import sys, perdure
with perdure.Store(sys.argv[1]) as store, store.open("a") as session:
    session.state["n"] += 1
"""


def test_what_another_process_saved_is_seen_P1(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path) as store:
        with store.open("a") as session:
            session.state["n"] = 0
        for n in range(1, 4):
            assert plain(store) == {"n": n - 1}
            subprocess.run([sys.executable, "-c", SAVE, path], check=True)
            assert plain(store) == {"n": n}


def test_a_deleted_state_and_its_next_life_are_what_they_are(
    store: perdure.Store, asked: Asked
) -> None:
    other = perdure.Store(asked.backend, maintenance="off")
    fill(store)
    first = plain(store)
    other.delete("a")
    assert plain(store) == {}
    with pytest.raises(errors.StateNotFound):
        store.open("a", must_exist=True)
    other.undelete("a")
    assert plain(store) == first
    other.delete("a")
    with other.open("a") as session:
        session.state["life"] = 2
    assert plain(store) == {"life": 2}
    other.delete("a")
    other.undelete("a", life=1)
    assert plain(store) == first


def test_a_state_with_another_past_is_read_anew() -> None:
    """A backup was put back, and others went on from there: numbers are the same, records not."""
    backend, writer = MemoryBackend("another past"), perdure.Store("memory:another past")
    with perdure.Store(backend, maintenance="off") as store:
        with writer.open("a") as session:
            session.state["said"] = ["first"]
        tables = backend._tables
        backup = deepcopy((tables.heads, tables.records))
        for said in ("lost", "after"):
            with writer.open("a") as session:
                session.state["said"].append(said)
                assert plain(store) == {"said": ["first"] if said == "lost" else ["first", "lost"]}
        assert plain(store) == {"said": ["first", "lost", "after"]}
        tables.heads, tables.records = backup
        for said in ("x", "y", "z"):
            with writer.open("a") as session:
                session.state["said"].append(said)
        assert plain(store) == {"said": ["first", "x", "y", "z"]}


def test_threads_see_what_was_acknowledged_before_they_opened_P1_P2(tmp_path: Path) -> None:
    saves, failed = 60, []
    saved = [0]
    with perdure.Store(tmp_path / "a.db", durability="process", cache_bytes=20_000) as store:
        with store.open("a") as session:
            session.state.update({"n": 0, "log": []})

        def look() -> None:
            try:
                while saved[0] < saves:
                    floor = saved[0]
                    with store.open("a") as session:
                        n, log = session.state["n"], session.state["log"]
                        assert floor <= n
                        assert log == [f"entry {each} " * 20 for each in range(n)]
            except BaseException as error:
                failed.append(error)

        readers = [threading.Thread(target=look) for _ in range(4)]
        for reader in readers:
            reader.start()
        for n in range(saves):
            with store.open("a") as session:
                session.state["log"].append(f"entry {n} " * 20)
                session.state["n"] = n + 1
            saved[0] = n + 1
        for reader in readers:
            reader.join()
    assert failed == []


# ---- what is given out ----------------------------------------------------------------------


def test_what_one_session_does_to_what_it_was_given_no_other_sees_P13(
    store: perdure.Store,
) -> None:
    fill(store)
    whole = plain(store)
    for _ in range(2):
        session = store.open("a", on_error="discard")
        assert session.checkpoint is not None and session.resumed is not None
        for given in (session.checkpoint, session.resumed.checkpoint):
            assert given.metadata == {"tags": ["last"]}
            given.metadata["tags"].append("scribbled")
            given.metadata["more"] = 1
        session.state["messages"][0]["content"] = "scribbled"
        session.state["messages"].clear()
        session.state["plan"].clear()
        session.state["last"] = "scribbled"
        part = store.open("a").window("messages", 0, 1)
        part[0]["content"] = "scribbled"
        with pytest.raises(ZeroDivisionError), session:
            raise ZeroDivisionError
    assert plain(store) == whole


# ---- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["pages", "records"])
def test_damage_after_it_was_read_is_found_by_verify_P5(tmp_path: Path, table: str) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        fill(store)
        whole = plain(store)
        assert [found.ok for found in store.verify()] == [True]
        connection = apsw.Connection(str(path))
        connection.execute(f"UPDATE {table} SET blob = CAST(substr(blob, 1, 40) || x'00' AS BLOB)")
        connection.close()
        assert [found.ok for found in store.verify()] == [False]
        assert plain(store) == whole
        assert [found.ok for found in store.verify()] == [False]


def test_a_head_that_was_replaced_by_damage_is_told_P5(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        fill(store)
        plain(store)
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE heads SET token = zeroblob(16)")
        connection.close()
        for _ in range(2):
            with pytest.raises(errors.Damaged):
                store.open("a")


def test_what_is_damaged_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        fill(store)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE pages SET blob = CAST(substr(blob, 1, 40) || x'00' AS BLOB)")
    connection.close()
    with perdure.Store(path, maintenance="off") as store:
        for _ in range(2):
            assert plain(store)["count"] == 70  # from the log
            assert not any(type(kept[0]) is bytes for kept in cache_of(store)._kept.values())


def test_maintenance_and_verify_read_what_is_stored_P5(store: perdure.Store, asked: Asked) -> None:
    fill(store)
    plain(store)
    head = store._driver.run(read_head(store._site("a")))
    newest = head.branches[MAIN].newest
    assert newest is not None
    with store.open("a") as session:
        for n in range(limits.tail_records_max + 1):
            session.state["messages"].append(n)
            session.save()
    for work in (store.verify, store.maintain):
        asked.taken()
        work("a")
        assert newest.root.id in asked.pages()


# ---- its end --------------------------------------------------------------------------------


def test_closing_the_store_lets_everything_go(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        fill(store)
        plain(store)
        assert cache_of(store).bytes > 0
    assert cache_of(store).bytes == 0
    assert not cache_of(store)._kept


def test_a_forked_child_begins_with_an_empty_cache(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        fill(store)
        whole = plain(store)
        cache = cache_of(store)
        kept = cache.bytes
        with cache._lock:  # as if another thread were just in there
            child = os.fork()
        if child == 0:
            is_right = plain(store, "absent") == {} and cache.bytes == 0
            is_right = is_right and plain(store) == whole and cache.bytes > 0
            os._exit(0 if is_right else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert cache.bytes == kept
        assert plain(store) == whole
