"""`python -m benchmarks.peers.openai_sessions`: sessions of the OpenAI Agents SDK in a long talk.

Items are added one at a time to a conversation of `COUNT`, and all of it is read, by who reads it
again and by who reads it first. The sessions take turns, so that what else the machine does falls
on all of them. Each syncs every commit. Takes a minute.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from agents.extensions.memory import EncryptedSession
from agents.memory import SQLiteSession
from rich.console import Console
from rich.table import Table

from benchmarks.messages import message
from benchmarks.peers.peer import sqlite_mode
from benchmarks.report import about
from perdure import AsyncStore
from perdure.adapters.openai_agents import PerdureSession

COUNT, COUNT_QUICK = 5_000, 50
ADDS, READS, SETTLING_S = 300, 9, 2.0
KEY = bytes(range(32))

Made = Callable[[Path], Any]


def sqlite_session(directory: Path) -> SQLiteSession:
    return SQLiteSession("alice", directory / "theirs.db")


def encrypted_session(directory: Path) -> EncryptedSession:
    under = SQLiteSession("alice", directory / "theirs-encrypted.db")
    return EncryptedSession("alice", under, "0" * 32, ttl=10**9)


def perdure_session(directory: Path) -> PerdureSession:
    return PerdureSession("alice", directory / "ours.db")


def perdure_encrypted(directory: Path) -> PerdureSession:
    return PerdureSession("alice", directory / "ours-encrypted.db", key=KEY)


SESSIONS: dict[str, Made] = {
    "SQLiteSession": sqlite_session,
    "PerdureSession": perdure_session,
    "EncryptedSession": encrypted_session,
    "PerdureSession, encrypted": perdure_encrypted,
}


async def closed(session: Any) -> None:
    if isinstance(session, PerdureSession):
        await session.close()
    else:
        getattr(session, "underlying_session", session).close()


async def timed(action: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await action()
    return time.perf_counter() - began


def require_synced(session: SQLiteSession) -> None:
    """See that SQLiteSession syncs each commit, as Perdure does by default."""
    connection = session._get_connection()
    mode = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]
    assert sqlite_mode(*mode) == "WAL, FULL", mode


async def first_read(made: Made, directory: Path, count: int) -> float:
    session = made(directory)
    began = time.perf_counter()
    assert len(await session.get_items()) >= count
    took = time.perf_counter() - began
    await closed(session)
    return took


async def measure(directory: Path, count: int) -> dict[str, dict[str, float]]:
    sessions = {name: made(directory) for name, made in SESSIONS.items()}
    async with AsyncStore(directory / "warm.db") as store:
        await store.states()  # what is made once a process is no part of any
    items: list[Any] = [dict(message(number)) for number in range(count + ADDS)]
    for item in items[:count]:
        for session in sessions.values():
            await session.add_items([item])
    require_synced(sessions["SQLiteSession"])
    await asyncio.sleep(SETTLING_S)  # what is due after so much is not part of the next ones
    times: dict[str, dict[str, list[float]]] = {name: {} for name in SESSIONS}

    async def each(what: str, action: Callable[[str], Awaitable[float]]) -> None:
        for name in SESSIONS:
            times[name].setdefault(what, []).append(await action(name))

    async def added(name: str, item: Any) -> float:
        return await timed(lambda: sessions[name].add_items([item]))

    for item in items[count:]:
        await each("add_items, p50 ms", partial(added, item=item))
    for _ in range(READS):
        await each("get_items of all, p50 ms", lambda name: timed(sessions[name].get_items))
        await each(
            "get_items of 20, p50 ms", lambda name: timed(lambda: sessions[name].get_items(20))
        )
        await each(
            "get_items of all, opened anew",
            lambda name: first_read(SESSIONS[name], directory, count),
        )
    expected = await sessions["SQLiteSession"].get_items()
    for session in sessions.values():
        assert await session.get_items() == expected
        await closed(session)
    return {
        name: {what: statistics.median(found) * 1e3 for what, found in each.items()}
        for name, each in times.items()
    }


def main(arguments: list[str]) -> int:
    count = COUNT_QUICK if "--quick" in arguments else COUNT
    with tempfile.TemporaryDirectory(prefix="peers-", dir=".") as directory:
        found = asyncio.run(measure(Path(directory), count))
    table = Table("", *SESSIONS, "ratio", "ratio, encrypted")
    theirs, ours, theirs_encrypted, ours_encrypted = (found[name] for name in SESSIONS)
    for what in ours:
        table.add_row(
            what,
            *(f"{found[name][what]:,.2f}" for name in SESSIONS),
            f"{theirs[what] / ours[what]:,.1f}",
            f"{theirs_encrypted[what] / ours_encrypted[what]:,.1f}",
        )
    console = Console(width=120)
    console.print(f"OpenAI Agents SDK, a conversation of {count:,} items", table, highlight=False)
    told = about(
        Path("."), quick=count != COUNT, command="python -m benchmarks.peers.openai_sessions"
    )
    console.print("\n".join(f"{name}: {each}" for name, each in told.items()), highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
