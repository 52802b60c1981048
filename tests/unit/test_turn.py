"""A session of an `AsyncStore` is used in any event loop, and taken in turns in all of them."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import pytest

import perdure
from perdure.aio_session import AsyncSession
from perdure.turn import Turn

WAIT_S = 10


def test_a_session_goes_on_in_another_loop_though_both_wait(tmp_path: Path) -> None:
    """With asyncio's own locks the second loop raised RuntimeError."""
    store = perdure.AsyncStore(tmp_path / "agents.db")

    async def edit_together(session: AsyncSession, name: str) -> None:
        async def save(n: int) -> None:
            async with session.atomic():
                session.state[f"{name} {n}"] = n
                await asyncio.sleep(0)
            await session.save()

        await asyncio.gather(*(save(n) for n in range(5)))

    async def begin() -> AsyncSession:
        session = await store.open("a")
        await edit_together(session, "first")
        return session

    async def go_on(session: AsyncSession) -> None:
        await edit_together(session, "second")
        await session.refresh()
        await session.close()
        await store.close()

    session = asyncio.run(begin())
    asyncio.run(go_on(session))
    with perdure.Store(tmp_path / "agents.db") as again, again.open("a") as found:
        assert len(found.state) == 10


def test_two_loops_in_two_threads_take_turns(tmp_path: Path) -> None:
    """No save is lost, and no two run into each other."""
    store = perdure.AsyncStore("memory:two-loops")
    session: AsyncSession = asyncio.run(_opened(store))

    async def work(name: str) -> None:
        for n in range(50):
            async with session.atomic():
                session.state.setdefault("all", []).append([name, n])
            await session.save()

    threads = [threading.Thread(target=asyncio.run, args=(work(name),)) for name in "ab"]
    for thread in threads:
        thread.daemon = True
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    found = [tuple(each) for each in session.state["all"]]
    assert sorted(found) == [(name, n) for name in "ab" for n in range(50)]
    asyncio.run(_closed(session, store))


async def _opened(store: perdure.AsyncStore) -> AsyncSession:
    return await store.open("a")


async def _closed(session: AsyncSession, store: perdure.AsyncStore) -> None:
    await session.close()
    await store.close()


def test_turns_come_in_order_and_a_free_one_is_taken_at_once() -> None:
    turn, order = Turn(), list[int]()

    async def take(number: int) -> None:
        async with turn:
            order.append(number)
            await asyncio.sleep(0)

    async def work() -> None:
        taking = turn.acquire()
        with pytest.raises(StopIteration):
            taking.send(None)
        tasks = [asyncio.ensure_future(take(number)) for number in range(5)]
        await asyncio.sleep(0)
        turn.release()
        await asyncio.gather(*tasks)

    asyncio.run(work())
    assert order == [0, 1, 2, 3, 4]
    assert not turn._is_taken


@pytest.mark.parametrize("is_handed", [False, True], ids=["waiting", "handed the turn"])
def test_who_is_cancelled_holds_nobody_up(is_handed: bool) -> None:
    turn, order = Turn(), list[str]()

    async def take(name: str) -> None:
        async with turn:
            order.append(name)

    async def work() -> None:
        await turn.acquire()
        first, second = (asyncio.ensure_future(take(name)) for name in ("first", "second"))
        await asyncio.sleep(0)
        if is_handed:
            turn.release()
            first.cancel()
        else:
            first.cancel()
            await asyncio.sleep(0)
            turn.release()
        await asyncio.wait_for(second, WAIT_S)
        assert first.cancelled()

    asyncio.run(work())
    assert order == ["second"]
    assert not turn._is_taken


def test_a_loop_that_was_closed_with_someone_waiting_holds_nobody_up() -> None:
    turn = Turn()

    async def take() -> None:
        async with turn:
            raise AssertionError("nobody is there to take it")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(turn.acquire())
    left = loop.create_task(take())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def go_on() -> None:
        turn.release()
        async with turn:
            pass

    asyncio.run(asyncio.wait_for(go_on(), WAIT_S))
    left._log_destroy_pending = False  # type: ignore[attr-defined]  # that is what the test is about
    del left, loop
    gc.collect()
    assert not turn._is_taken
