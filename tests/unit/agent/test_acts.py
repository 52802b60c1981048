"""The agent's record: acts done for either kind of session, and the sections that they edit."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perdure import AsyncStore, Store, lenses, migration, schema
from perdure.agent.acts import Acts, Call, Clock, Save, Sleep
from perdure.agent.records import DECISIONS, GOALS, edit, read
from perdure.errors import Malformed, SessionClosed, UsageError


def decide(session: Any, text: str) -> Acts[int]:
    """Note a decision and save it; how many there are."""
    now = yield Clock()
    decisions = yield from edit(session, DECISIONS)
    decisions[text] = {"text": text, "at": now}
    yield Sleep(0)
    yield Save()
    return len(decisions)


def called(function: Any, *args: Any) -> Acts[Any]:
    try:
        return (yield Call(function, args))
    except ValueError as error:
        return error


def test_a_record_is_read_by_the_next_session(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        with store.open("a") as session:
            assert session._act(decide(session, "one")) == 1
        with store.open("a") as session:
            assert session._act(decide(session, "two")) == 2
            found = session.raw[DECISIONS]
        assert list(found) == ["one", "two"]
        assert isinstance(found["one"]["at"], datetime)
        assert abs((datetime.now(UTC) - found["one"]["at"]).total_seconds()) < 600


def test_async_session_does_the_same_and_loads_what_it_was_not_opened_with(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                assert await session._act(decide(session, "one")) == 1
            async with store.open("a", sections=[]) as session:
                assert await session._act(decide(session, "two")) == 2
                return list(session.raw[DECISIONS])

    assert asyncio.run(run()) == ["one", "two"]


def test_what_a_function_gives_or_raises_comes_back() -> None:
    async def later(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def run() -> tuple[Any, ...]:
        async with AsyncStore("memory:").open("a") as session:
            one = await session._act(called(later, 1))
            return one, await session._act(called(int, "2")), await session._act(called(int, "x"))

    one, two, error = asyncio.run(run())
    assert (one, two) == (1, 2)
    assert isinstance(error, ValueError)
    with Store("memory:").open("a") as session:
        assert session._act(called(int, "2")) == 2
        assert isinstance(session._act(called(int, "x")), ValueError)
        with pytest.raises(UsageError, match=r"later is a coroutine function.*AsyncStore"):
            session._act(called(later, 1))


def test_reading_what_is_not_there_writes_nothing() -> None:
    store = Store("memory:")
    with store.open("a") as session:
        assert session._act(read(session, GOALS)) == {}
        assert not session.changes()
    with pytest.raises(SessionClosed):
        session._act(read(session, GOALS))


def test_what_is_no_record_is_refused() -> None:
    store = Store("memory:")
    with store.open("a") as session:
        session._document.write_reserved(GOALS, [1])
        with pytest.raises(Malformed, match=r"'perdure.goals' is a TrackedList"):
            session._act(edit(session, GOALS))


def test_older_code_writes_the_record_too() -> None:
    @schema("Told", version=1)
    @dataclass
    class Older:
        name: str = ""

    @schema("Told", version=2)
    @dataclass
    class Newer:
        title: str = ""

    migration(Newer, 1, 2, [lenses.rename("name", "title")])
    store = Store("memory:")
    with store.open("a", schema=Newer) as newer:
        newer.state.title = "t"
        newer._act(decide(newer, "by newer code"))
    with store.open("a", schema=Older) as older:
        assert older._act(decide(older, "by older code")) == 2
    with store.open("a", schema=Newer) as newer:
        assert newer.state.title == "t"
        assert len(newer.raw[DECISIONS]) == 2
