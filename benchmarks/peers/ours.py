"""Perdure: a message appended to a section, and a save."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import perdure
from benchmarks.messages import Message
from benchmarks.peers.peer import Peer, sqlite_mode, with_text
from perdure.backends.sqlite import SqliteBackend


class Perdure(Peer):
    durability: Literal["power", "process"]

    def open(self, directory: Path) -> None:
        self._backend = SqliteBackend(directory / "conversation.db")
        self._store = perdure.Store(self._backend, durability=self.durability)
        self._session = self._store.open("support/alice")
        self._messages = self._session.state.setdefault("messages", [])

    def save(self, message: Message) -> None:
        self._messages.append(message)
        self._session.save()

    def load(self) -> int:
        return with_text([message["content"] for message in self._messages])

    def mode(self) -> str:
        writer = self._backend._writer
        assert writer is not None, "a save came first"
        return sqlite_mode(writer.pragma("journal_mode"), writer.pragma("synchronous"))

    def close(self) -> None:
        self._session.close()
        self._store.close()


class PerdurePower(Perdure):
    durability = "power"


class PerdureProcess(Perdure):
    durability = "process"
