"""The OpenAI Agents SDK's SQLiteSession: one item added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.memory import SQLiteSession

from benchmarks.messages import Message
from benchmarks.peers.peer import AsyncPeer, sqlite_mode, with_text


class OpenAIAgents(AsyncPeer):
    async def aopen(self, directory: Path) -> None:
        self._session = SQLiteSession("alice", directory / "conversation.db")

    async def asave(self, message: Message) -> None:
        items: list[Any] = [message]
        await self._session.add_items(items)

    async def aload(self) -> int:
        items: list[Any] = await self._session.get_items()
        return with_text([item["content"] for item in items])

    async def amode(self) -> str:
        connection = self._session._get_connection()
        journal, synchronous = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        )
        return sqlite_mode(journal, synchronous)

    async def aclose(self) -> None:
        self._session.close()
