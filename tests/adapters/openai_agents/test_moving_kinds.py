"""Files of each kind of session that the SDK has on SQLite, made by the SDK itself, move in."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agents.extensions.memory import (
    AdvancedSQLiteSession,
    AsyncSQLiteSession,
    EncryptedSession,
    SQLAlchemySession,
)
from agents.memory import SQLiteSession
from sqlalchemy.ext.asyncio import create_async_engine

from perdure import Store
from perdure.adapters.openai_agents.moving import move_conversations
from perdure.errors import UsageError

SECRET = "a-long-secret-of-the-session"
ITEMS: list[Any] = [
    {"role": "user", "content": "Wo ist mein Hund? 🐕"},
    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"pet": "dog"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "in the garden"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "In the garden."}]},
]

Story = Callable[[Any], Awaitable[Any]]
Kind = Callable[[Path, Story], Coroutine[Any, Any, Any]]


async def of_sqlite(file: Path, story: Story) -> Any:
    with closing(SQLiteSession("alice", file)) as session:
        return await story(session)


async def of_async_sqlite(file: Path, story: Story) -> Any:
    session = AsyncSQLiteSession("alice", file)
    try:
        return await story(session)
    finally:
        await session.close()


async def of_advanced_sqlite(file: Path, story: Story) -> Any:
    made = AdvancedSQLiteSession(session_id="alice", db_path=file, create_tables=True)
    with closing(made) as session:
        return await story(session)


async def of_sqlalchemy(file: Path, story: Story) -> Any:
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    try:
        return await story(SQLAlchemySession("alice", engine=engine, create_tables=True))
    finally:
        await engine.dispose()


KINDS: list[Kind] = [of_sqlite, of_async_sqlite, of_advanced_sqlite, of_sqlalchemy]


async def filled(session: Any) -> None:
    await session.add_items(ITEMS[:1])
    await session.add_items(ITEMS[1:])


async def read(session: Any) -> Any:
    return await session.get_items()


@pytest.mark.parametrize("url", ["postgresql://localhost/agents", "redis://localhost"])
def test_what_is_no_sqlite_file_is_told_to_be_none(url: str, tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store, pytest.raises(UsageError, match="SQLite files alone"):
        move_conversations(url, store)


def moved(file: Path, store: Path, **options: Any) -> Any:
    """What is in the store of a file that was moved there; each item was compared."""
    with Store(store) as opened:
        result = move_conversations(file, opened, **options)
        assert result.ok, result
        return opened.at("sessions/alice", "main").plain()["messages"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_it_moves_in_as_the_sdk_reads_it(kind: Kind, is_encrypted: bool, tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"

    async def story(session: Any) -> Any:
        kept = EncryptedSession("alice", session, SECRET) if is_encrypted else session
        await filled(kept)
        return await read(kept)

    assert asyncio.run(kind(file, story)) == ITEMS
    key = SECRET if is_encrypted else None
    assert moved(file, tmp_path / "a.db", encryption_key=key) == ITEMS


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_in_the_order_that_the_sdk_has_them_in(kind: Kind, tmp_path: Path) -> None:
    """Some go by their times: a clock that went back moves the last one to the front there."""
    file = tmp_path / "theirs.db"
    asyncio.run(kind(file, filled))
    with closing(sqlite3.connect(file)) as base, base:
        base.execute(
            "UPDATE agent_messages SET created_at = '2001-01-01 00:00:00' "
            "WHERE id = (SELECT max(id) FROM agent_messages)"
        )
    expected = asyncio.run(kind(file, read))
    assert (expected == ITEMS) == (kind is not of_sqlalchemy)
    assert moved(file, tmp_path / "a.db") == expected
