"""What was read before is never taken for what is there now, nor for what another was given."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from copy import deepcopy
from pathlib import Path

import apsw
import pytest
from tests.unit.cache.asked import Asked, cache_of, fill, plain

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.core.head import MAIN
from perdure.engine.read import read_head

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
