"""`AsyncStore.watch`: the same under asyncio, which it never blocks."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from perdure import AsyncStore, Store
from perdure.aio_watch import AsyncWatch
from perdure.backends.sqlite import SqliteBackend
from perdure.errors import StoreClosed, UsageError

T = TypeVar("T")

PATIENCE_S = 60.0
"""No test waits so long: what is awaited comes, or the test has failed."""


async def save(store: AsyncStore, key: str, *values: Any) -> None:
    """One checkpoint a value, and none at the end."""
    session = await store.open(key)
    for value in values:
        session.state["n"] = value
        await session.save()


async def soon(awaited: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaited, PATIENCE_S)


async def numbers(watch: AsyncWatch) -> list[tuple[str, int]]:
    return [(landed.checkpoint.key, landed.checkpoint.number) async for landed in watch]


@pytest.mark.parametrize("url", ["agents.db", "memory:"])
def test_checkpoints_come_in_order_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with AsyncStore(url) as store:
            await save(store, "a", 1)
            async with store.watch("*", timeout=0) as watch:
                await save(store, "a", 2, 3)
                await save(store, "b", 1)
                assert await numbers(watch) == [("a", 2), ("a", 3), ("b", 1)]
                again = store.watch("*", cursor=watch.cursor, timeout=0)
            await save(store, "b", 2)
            assert await numbers(again) == [("b", 2)]
            start = store.watch("a", since="start", timeout=0)
            assert await numbers(start) == [("a", 1), ("a", 2), ("a", 3)]

    asyncio.run(main())


def test_a_commit_of_the_same_store_wakes_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncStore(tmp_path / "agents.db") as store:
            watch = store.watch("a", interval=3600)
            async with watch:
                waiting = asyncio.ensure_future(anext(watch))
                await asyncio.sleep(0)
                await save(store, "a", 1)
                assert (await soon(waiting)).checkpoint.number == 1

    asyncio.run(main())


def test_what_another_process_would_save_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "agents.db"
        async with (
            AsyncStore(path) as store,
            AsyncStore(path) as other,
            store.watch("a", interval=0.01) as watch,
        ):
            waiting = asyncio.ensure_future(anext(watch))
            await save(other, "a", 1)
            assert (await soon(waiting)).checkpoint.number == 1

    asyncio.run(main())


def test_closing_ends_the_iteration_of_another_task(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncStore(tmp_path / "agents.db") as store:
            watch = store.watch("a", interval=3600)
            waiting = asyncio.ensure_future(numbers(watch))
            await asyncio.sleep(0)
            await watch.close()
            await watch.close()
            assert await soon(waiting) == []
            assert store._driver.bell._listeners == ()

    asyncio.run(main())


def test_closing_the_store_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        store = AsyncStore(tmp_path / "agents.db")
        await save(store, "a", 1)
        watch = store.watch("a", interval=3600)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreClosed):
            await soon(waiting)

    asyncio.run(main())


class Held(SqliteBackend):
    """Holds every request up, in whatever thread it comes, while the gate is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.is_inside = threading.Event()

    def perform(self, request: Any) -> Any:
        self.is_inside.set()
        assert self.gate.wait(PATIENCE_S)
        return super().perform(request)


def test_the_loop_goes_on_while_the_store_is_slow_and_a_cancellation_loses_nothing(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        backend = Held(tmp_path / "agents.db")
        other = Store(tmp_path / "agents.db")
        async with AsyncStore(backend) as store, store.watch("a") as watch:
            session = other.open("a")
            for value in range(3):
                session.state["n"] = value
                session.save()
            backend.gate.clear()
            backend.is_inside.clear()
            waiting = asyncio.ensure_future(anext(watch))
            assert await asyncio.to_thread(backend.is_inside.wait, PATIENCE_S)
            assert not waiting.done()  # the loop is free although the look is not done
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            backend.gate.set()
            found = [(await soon(anext(watch))).checkpoint.number for _ in range(3)]
            assert found == [1, 2, 3]

    asyncio.run(main())


def test_a_commit_after_the_loop_of_a_watch_has_ended_is_no_error(tmp_path: Path) -> None:
    store = AsyncStore(tmp_path / "agents.db")

    async def first() -> AsyncWatch:
        watch = store.watch("a", timeout=0)
        assert await numbers(watch) == []
        return watch

    left = asyncio.run(first())
    asyncio.run(save(store, "a", 1))
    assert store._driver.bell._listeners != ()
    del left
    assert store._driver.bell._listeners == ()


def test_a_wrong_call_is_told_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncStore(tmp_path / "agents.db") as store:
            with pytest.raises(UsageError, match="not a cursor"):
                store.watch("a", cursor="x")
            with pytest.raises(UsageError, match="interval is seconds"):
                store.watch("a", interval=0)

    asyncio.run(main())
