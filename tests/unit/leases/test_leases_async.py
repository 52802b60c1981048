"""Leases under asyncio: waiting blocks no loop, and a cancellation leaves nothing held."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from perdure import AsyncStore, errors, leasing
from perdure.engine.requests import Commit, IsAlive


def test_one_holds_it_and_the_next_waits(tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncStore(tmp_path / "a.db") as mine, AsyncStore(tmp_path / "a.db") as theirs:
            async with mine.open("a", exclusive=True) as session:
                assert [lease.session for lease in (await mine.info("a")).leases] == [session.id]
                with pytest.raises(errors.Busy) as caught:
                    await theirs.open("a", exclusive=True, wait=0)
                assert caught.value.lease is not None
                async with theirs.open("a") as other:
                    other.state["m"] = 1
                    with pytest.raises(errors.Busy):
                        await other.save()
                    await other.refresh()
                looked = asyncio.Event()
                loop, answers = asyncio.get_running_loop(), theirs._driver._answers
                alive = answers[IsAlive]

                def looking(request: IsAlive) -> Any:
                    loop.call_soon_threadsafe(looked.set)
                    return alive(request)

                answers[IsAlive] = looking
                waiting = asyncio.ensure_future(theirs.open("a", exclusive=True, wait=60))
                await looked.wait()
                assert not waiting.done()  # and this loop went on
                session.state["n"] = 1
            async with await waiting as next_:
                assert next_.state["n"] == 1
            assert (await mine.info("a")).leases == ()

    asyncio.run(work())


def test_a_holder_that_lost_it_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncStore(tmp_path / "a.db") as mine, AsyncStore(tmp_path / "a.db") as theirs:
            session = await mine.open("a", exclusive=True)
            theirs._driver._answers[IsAlive] = lambda _: False
            await (await theirs.open("a", exclusive=True, wait=0)).close()
            session.state["n"] = 1
            with pytest.raises(errors.LeaseLost):
                await session.save()
            await session.refresh()
            await session.close()

    asyncio.run(work())


def test_a_wait_can_be_cancelled(tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncStore(tmp_path / "a.db") as mine, AsyncStore(tmp_path / "a.db") as theirs:
            async with mine.open("a", exclusive=True) as session:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await theirs.open("a", exclusive=True, wait=60)
                assert [lease.session for lease in (await mine.info("a")).leases] == [session.id]
            async with theirs.open("a", exclusive=True, wait=0):
                pass

    asyncio.run(work())


@pytest.mark.parametrize("is_there", [False, True])
def test_what_a_cancelled_opening_got_is_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """The commit goes on when its task is cancelled: what lands later is given back, too."""
    monkeypatch.setattr(leasing, "POLL_MAX_S", 0.01)

    async def work() -> None:
        async with AsyncStore(tmp_path / "a.db") as store:
            if is_there:
                async with store.open("a") as session:
                    session.state["n"] = 1
            opening = asyncio.ensure_future(store.open("a", exclusive=True))
            perform = store._driver.backend.commit
            loop, began = asyncio.get_running_loop(), asyncio.Event()

            def commit(requests: list[Commit]) -> Any:
                loop.call_soon_threadsafe(began.set)
                return perform(requests)

            monkeypatch.setattr(store._driver.backend, "commit", commit)
            await began.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            async with store.open("a", exclusive=True, wait=60) as session:
                found = [lease.session for lease in (await store.info("a")).leases]
                assert found == [session.id]

    asyncio.run(work())
