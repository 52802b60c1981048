"""A thread in a keyed store is nowhere in the clear, and a wrong key is told."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread, told
from tests.adapters.langgraph.test_two_workers import put, values

from perdure import Store, errors
from perdure.adapters.langgraph import PerdureSaver, PerdureStore

MARKER = "Zq7-the-secret-of-alice"
KEY, OTHER = bytes(range(32)), bytes(32)


def said() -> dict[str, Any]:
    return {"messages": [HumanMessage(f"ask {MARKER}", id=f"{MARKER}-id")]}


def found_in(directory: Path, text: str) -> list[str]:
    """The files whose bytes have the text."""
    return sorted(each.name for each in directory.iterdir() if text.encode() in each.read_bytes())


def work(store: Store) -> Any:
    """Checkpoints, an interrupt with its writes, a fork, and memories; what is there then."""
    with PerdureSaver(store) as saver, PerdureStore(store) as memory:
        graph = graphs.chat().compile(checkpointer=saver)
        graph.invoke(said(), thread())
        old = next(each for each in graph.get_state_history(thread()) if each.next == ("agent",))
        graph.invoke(None, old.config)
        saver.put_writes(old.config, [("facts", {"late": MARKER})], "late")
        memory.put(("users", "alice"), "food", {"text": MARKER})
        return told(list(graph.get_state_history(thread())))


def test_no_byte_on_disk_tells_what_a_thread_says(tmp_path: Path) -> None:
    (tmp_path / "clear").mkdir()
    (tmp_path / "keyed").mkdir()
    with Store(tmp_path / "clear" / "a.db") as store:
        work(store)
        # Compression may hide a text in a longer one, so what is looked for is seen here first.
        assert found_in(tmp_path / "clear", MARKER) != []
    with Store(tmp_path / "keyed" / "a.db", key=KEY) as store:
        before = work(store)
        assert found_in(tmp_path / "keyed", MARKER) == []
        store.maintain("threads/alice")
        store.backup(tmp_path / "keyed" / "backup.db")
        store.export("threads/alice", tmp_path / "keyed" / "alice.perdure")
        assert found_in(tmp_path / "keyed", MARKER) == []
    for name in ("a.db", "backup.db"):
        with Store(tmp_path / "keyed" / name, key=KEY) as store, PerdureSaver(store) as saver:
            graph = graphs.chat().compile(checkpointer=saver)
            assert told(list(graph.get_state_history(thread()))) == before
            assert MARKER in str(before)
            assert all(each.ok for each in store.verify())


@pytest.mark.parametrize(
    ("key", "error"), [(OTHER, errors.WrongKey), (None, errors.KeyMissing)], ids=["wrong", "none"]
)
def test_a_wrong_key_and_none_are_told_and_nothing_is_written(
    key: bytes | None, error: type[errors.PerdureError], tmp_path: Path
) -> None:
    url = tmp_path / "a.db"
    with Store(url, key=KEY) as store, PerdureSaver(store) as saver:
        config = put(saver, thread(), MARKER)
    with Store(url, key=key) as store, PerdureSaver(store) as saver:
        for call in (
            lambda: saver.get_tuple(thread()),
            lambda: list(saver.list(None)),
            lambda: put(saver, config, 2),
            lambda: saver.put_writes(config, [("x", 3)], "task"),
            lambda: saver.delete_thread("alice"),
            lambda: asyncio.run(saver.aget_tuple(thread())),
        ):
            with pytest.raises(error):
                call()
    with Store(url, key=KEY) as store, PerdureSaver(store) as saver:
        assert values(saver) == {"x": MARKER}


def test_a_changed_byte_of_a_thread_is_told_not_skipped_P5(tmp_path: Path) -> None:
    url = tmp_path / "a.db"
    with Store(url, key=KEY) as store, PerdureSaver(store) as saver:
        put(saver, put(saver, thread(), 1), MARKER)
    with sqlite3.connect(url) as base:
        (blob,) = base.execute("SELECT blob FROM records ORDER BY number DESC LIMIT 1").fetchone()
        worse = blob[:-1] + bytes([blob[-1] ^ 1])
        assert base.execute("UPDATE records SET blob = ? WHERE blob = ?", (worse, blob)).rowcount
    base.close()
    with (
        Store(url, key=KEY) as store,
        PerdureSaver(store) as saver,
        pytest.raises((errors.Tampered, errors.Damaged)),
    ):
        saver.get_tuple(thread())
