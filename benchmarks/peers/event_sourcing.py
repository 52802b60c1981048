"""The eventsourcing library on SQLite: one event of one aggregate, saved by an application."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event

from benchmarks.messages import Message
from benchmarks.peers.peer import Peer, sqlite_mode, with_text


class Conversation(Aggregate):
    def __init__(self) -> None:
        self.messages: list[Message] = []

    @staticmethod
    def create_id(*_: Any, **__: Any) -> UUID:
        return uuid5(NAMESPACE_URL, "support/alice")

    @event("Said")
    def say(self, message: Message) -> None:
        self.messages.append(message)


class EventSourcing(Peer):
    def open(self, directory: Path) -> None:
        path = directory / "conversation.db"
        settings = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
        self._application = Application(settings)
        try:
            self._conversation = self._application.repository.get(Conversation.create_id())
        except AggregateNotFoundError:
            self._conversation = Conversation()

    def save(self, message: Message) -> None:
        self._conversation.say(message)
        self._application.save(self._conversation)

    def load(self) -> int:
        return with_text([message["content"] for message in self._conversation.messages])

    def mode(self) -> str:
        with self._application.factory.datastore.transaction(commit=False) as cursor:
            answers = []
            for name in ("journal_mode", "synchronous"):
                cursor.execute(f"PRAGMA {name}")
                answers.append(cursor.fetchone()[0])
        return sqlite_mode(*answers)

    def close(self) -> None:
        self._application.close()
