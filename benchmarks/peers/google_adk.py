"""The Agent Development Kit's SqliteSessionService: one event appended."""

from __future__ import annotations

from pathlib import Path

from google.adk.events import Event
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai.types import Content, Part

from benchmarks.messages import Message
from benchmarks.peers.peer import AsyncPeer, sqlite_mode, with_text

WHOSE = {"app_name": "support", "user_id": "alice", "session_id": "alice"}


class GoogleAdk(AsyncPeer):
    async def aopen(self, directory: Path) -> None:
        self._service = SqliteSessionService(str(directory / "conversation.db"))
        found = await self._service.get_session(**WHOSE)
        self._session = found or await self._service.create_session(**WHOSE)

    async def asave(self, message: Message) -> None:
        event = Event(
            author=message["role"],
            content=Content(role=message["role"], parts=[Part(text=message["content"])]),
            custom_metadata={"turn": message["turn"]},
        )
        await self._service.append_event(self._session, event)

    async def aload(self) -> int:
        return with_text([event.content.parts[0].text for event in self._session.events])

    async def amode(self) -> str:
        answers = []
        async with self._service._get_db_connection() as connection:
            for name in ("journal_mode", "synchronous"):
                async with connection.execute(f"PRAGMA {name}") as cursor:
                    answers.append((await cursor.fetchone())[0])
        return sqlite_mode(*answers)

    async def aclose(self) -> None:
        await self._service.close()
