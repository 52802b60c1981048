"""LangGraph's SqliteSaver, and Perdure's: one message added to a channel, one checkpoint put."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.messages import Message
from benchmarks.peers.peer import Peer, sqlite_mode, with_text
from perdure import Store
from perdure.adapters.langgraph import PerdureSaver
from perdure.backends.sqlite import SqliteBackend

THREAD: dict[str, Any] = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}


def saver_mode(saver: SqliteSaver) -> str:
    journal, synchronous = (
        saver.conn.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    )
    return sqlite_mode(journal, synchronous)


class Putting(Peer):
    """The messages in a channel of one thread, a checkpoint put for each."""

    _opened: ExitStack
    _saver: Any

    def begin(self) -> None:
        self._config = THREAD
        self._messages: list[Message] = []
        found = self._saver.get_tuple(THREAD)
        if found is not None:
            self._config = found.config
            self._messages = found.checkpoint["channel_values"]["messages"]

    def save(self, message: Message) -> None:
        self._messages = [*self._messages, message]
        step = len(self._messages)
        checkpoint = empty_checkpoint() | {
            "id": str(uuid6(clock_seq=step)),
            "channel_values": {"messages": self._messages},
            "channel_versions": {"messages": step},
        }
        told = {"source": "loop", "step": step}
        self._config = self._saver.put(self._config, checkpoint, told, {"messages": step})

    def load(self) -> int:
        return with_text([message["content"] for message in self._messages])

    def close(self) -> None:
        self._opened.close()


class LangGraphSaver(Putting):
    def open(self, directory: Path) -> None:
        self._opened = ExitStack()
        path = str(directory / "conversation.db")
        self._saver = self._opened.enter_context(SqliteSaver.from_conn_string(path))
        self.begin()

    def mode(self) -> str:
        return saver_mode(self._saver)


class LangGraphPerdure(Putting):
    def open(self, directory: Path) -> None:
        self._backend = SqliteBackend(directory / "conversation.db")
        self._opened = ExitStack()
        store = self._opened.enter_context(Store(self._backend))
        self._saver = self._opened.enter_context(PerdureSaver(store))
        self.begin()

    def mode(self) -> str:
        writer = self._backend._writer
        assert writer is not None, "a save came first"
        return sqlite_mode(writer.pragma("journal_mode"), writer.pragma("synchronous"))
