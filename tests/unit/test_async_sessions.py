"""The async facade on a real SQLite store: nothing lost by tasks, waits or cancellation."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors
from perdure.core import record


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    async def main() -> None:
        store = perdure.AsyncStore(tmp_path / "a.db")
        async with store.open("a") as session:
            session.state["messages"] = ["hello"]
            assert (await session.save()).number == 1
        session = await store.open("a")
        assert session.resumed is not None and session.resumed.ended == "closed"
        assert session.state.plain() == {"messages": ["hello"]}
        await session.close()
        assert (await store.at("a", 1)).plain() == {"messages": ["hello"]}
        assert [found.ok for found in await store.verify()] == [True]
        await store.close()

    asyncio.run(main())


def test_saves_of_many_tasks_on_many_states_share_commits(tmp_path: Path) -> None:
    async def work(store: perdure.AsyncStore, key: str) -> None:
        async with store.open(key) as session:
            for n in range(10):
                session.state["n"] = n
                await session.save()

    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            await asyncio.gather(*(work(store, f"agent/{i}") for i in range(20)))
            for info in await store.states():
                assert info.number == 10
                assert (await store.at(info.key, 10))["n"] == 9

    asyncio.run(main())


def test_edits_made_while_a_save_is_under_way_belong_to_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                session.state["n"] = 1
                saving = asyncio.ensure_future(session.save())
                await asyncio.sleep(0)
                session.state["n"] = 2
                first = await saving
                second = await session.save()
            assert (await store.at("a", first.number))["n"] == 1
            assert (await store.at("a", second.number))["n"] == 2

    asyncio.run(main())


def test_a_cancelled_save_is_settled_by_the_next_one_P4(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                session.state["tokens"] = []
                await session.save()
                for n in range(20):
                    session.state["tokens"].append(n)
                    task = asyncio.ensure_future(session.save())
                    for _ in range(n % 4):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                await session.save()
            newest = (await store.history("a", limit=1))[0].number
            assert (await store.at("a", newest))["tokens"] == list(range(20))
            assert all(found.ok for found in await store.verify())

    asyncio.run(main())


def test_a_cancelled_session_keeps_its_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            started = asyncio.Event()

            async def work() -> None:
                async with store.open("a") as session:
                    session.state["n"] = 1
                    started.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(work())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            session = await store.open("a")
            assert session.state["n"] == 1
            assert session.resumed is not None and session.resumed.ended == "cancelled"

    asyncio.run(main())


def test_a_save_by_another_task_waits_for_an_atomic_block(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                session.state["x"] = 0
                inside, go_on = asyncio.Event(), asyncio.Event()

                async def block() -> None:
                    async with session.atomic():
                        session.state["x"] = 1
                        inside.set()
                        await go_on.wait()
                        session.state["y"] = 1
                        with pytest.raises(errors.SaveInsideAtomic):
                            await session.save()

                task = asyncio.ensure_future(block())
                await inside.wait()
                saving = asyncio.ensure_future(session.save())
                await asyncio.sleep(0.01)
                assert not saving.done()
                go_on.set()
                await task
                checkpoint = await saving
            assert (await store.at("a", checkpoint.number)).plain() == {"x": 1, "y": 1}

    asyncio.run(main())


def test_an_edit_by_another_task_is_no_part_of_an_atomic_block(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store, store.open("a") as session:
            session.state["mine"] = []
            inside, go_on = asyncio.Event(), asyncio.Event()

            async def block() -> None:
                async with session.atomic():
                    session.state["mine"].append(1)
                    inside.set()
                    await go_on.wait()
                    raise RuntimeError

            task = asyncio.create_task(block())
            await inside.wait()
            with pytest.raises(errors.ConcurrentEdit, match="atomic block"):
                session.state["other"] = 1
            waiting = asyncio.create_task(_append_in_a_block(session, 2))
            go_on.set()
            with pytest.raises(RuntimeError):
                await task
            await waiting
            session.state["other"] = 2
            assert session.state.plain() == {"mine": [2], "other": 2}

    asyncio.run(main())


async def _append_in_a_block(session: perdure.AsyncSession, value: int) -> None:
    async with session.atomic():
        session.state["mine"].append(value)


def test_a_task_started_in_an_atomic_block_belongs_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store, store.open("a") as session:
            session.state["mine"] = []

            async def save() -> None:
                with pytest.raises(errors.SaveInsideAtomic):
                    await session.save()

            async with session.atomic():
                await asyncio.create_task(save())
                await asyncio.create_task(_append_in_a_block(session, 1))
                await asyncio.to_thread(session.state["mine"].append, 2)
            assert session.state.plain() == {"mine": [1, 2]}

    asyncio.run(main())


def test_one_store_serves_several_loops_one_after_the_other(tmp_path: Path) -> None:
    store = perdure.AsyncStore(tmp_path / "a.db")

    async def once(n: int) -> None:
        async with store.open("a") as session:
            session.state["n"] = n

    for n in range(3):
        asyncio.run(once(n))
    asyncio.run(store.close())
    with perdure.Store(tmp_path / "a.db") as again:
        assert again.at("a", 3)["n"] == 2


def test_a_refresh_takes_in_what_others_saved_and_keeps_the_loop_free(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            one, two = await store.open("a"), await store.open("a")
            one.state["items"] = [{"n": n} for n in range(100)]
            await one.save()
            two.state["mine"] = 1
            with pytest.raises(errors.Conflict) as conflict:
                await two.save()
            assert conflict.value.overlap == ()
            refreshed = await two.refresh(keep_changes=True)
            assert refreshed is not None and refreshed.number == 1
            assert two.state.plain() == {"items": [{"n": n} for n in range(100)], "mine": 1}
            assert (await two.save()).number == 2
            one.state["items"].append("given up")
            await one.refresh()
            assert one.state.plain() == two.state.plain()

    asyncio.run(main())


def test_an_edit_made_while_a_refresh_reads_is_given_up_with_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            one, two = await store.open("a"), await store.open("a")
            one.state["x"] = 1
            await one.save()
            refreshing = asyncio.create_task(two.refresh())
            await asyncio.sleep(0)  # it asks now what is new, and only that
            two.state["x"] = 2
            await refreshing
            assert two.state.plain() == {"x": 1}

    asyncio.run(main())


def test_a_large_save_is_sealed_off_the_loop(tmp_path: Path) -> None:
    sealed_in: list[threading.Thread] = []
    seal = record._seal

    def noted(*args: Any) -> Any:
        sealed_in.append(threading.current_thread())
        return seal(*args)

    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db") as store, store.open("a") as session:
            session.state["small"] = "x" * 1000
            await session.save()
            session.state["large"] = "x" * 1_000_000
            await session.save()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "_seal", noted)
        asyncio.run(main())
    assert [thread is threading.main_thread() for thread in sealed_in] == [True, False]


def test_what_comes_while_a_session_closes_is_refused_and_not_lost(tmp_path: Path) -> None:
    async def main() -> None:
        store = perdure.AsyncStore(tmp_path / "a.db")
        session = await store.open("a")
        messages = session.state.setdefault("messages", ["one"])
        closing = asyncio.create_task(session.close())
        saving = asyncio.create_task(session.save(label="late"))
        again = asyncio.create_task(session.close())
        refreshing = asyncio.create_task(session.refresh())
        await asyncio.sleep(0)
        with pytest.raises(errors.Detached):
            messages.append("two")
        await closing
        await again
        for late in (saving, refreshing):
            with pytest.raises(errors.SessionClosed):
                await late
        assert [each.ended for each in await store.sessions("a")] == ["closed"]
        assert len(await store.history("a")) == 1
        assert (await store.at("a", 1)).plain() == {"messages": messages.plain()}
        await store.close()

    asyncio.run(main())


def test_a_save_that_waits_while_a_failed_session_ends_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        store = perdure.AsyncStore(tmp_path / "a.db")
        session = await store.open("a")
        session.state["n"] = 1
        await session.save()
        await session._saving.acquire()  # a save is under way
        session.state["n"] = 2
        ending = asyncio.create_task(session.__aexit__(ValueError, ValueError(), None))
        await asyncio.sleep(0)
        session.state["n"] = 3
        saving = asyncio.create_task(session.save())
        await asyncio.sleep(0)
        session._saving.release()
        await ending
        with pytest.raises(errors.SessionClosed):
            await saving
        assert (await store.at("a", 1)).plain() == {"n": 1}
        await store.close()

    asyncio.run(main())
