"""A run that waits is gone on with once: who takes it up is saved before its tools run (P9)."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.openai_agents.stub import ModelServer
from tests.adapters.openai_agents.test_kill import kill_in_the_tool
from tests.adapters.openai_agents.test_runner import Shop, told

import perdure
from perdure.adapters.openai_agents import PerdureSession
from perdure.adapters.openai_agents.items import UNKNOWN
from perdure.errors import RunTaken


async def keep(shop: Shop, store: Path, orders: str = "17") -> None:
    async with PerdureSession("alice", store) as session:
        result = await shop.run(f"refund {orders}", session)
        await session.keep_run(result.to_state())


async def go_on(shop: Shop, session: PerdureSession, run: Any) -> str:
    for each in run.get_interruptions():
        run.approve(each)
    answer: str = (await shop.run(run, session)).final_output
    await session.drop_run()
    return answer


def test_of_two_who_take_it_up_at_once_one_does_and_the_other_is_told(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        began = datetime.now(UTC)
        await keep(shop, tmp_path / "a.db")
        async with (
            PerdureSession("alice", tmp_path / "a.db") as first,
            PerdureSession("alice", tmp_path / "a.db") as second,
        ):
            sessions = (first, second)
            taken = await asyncio.gather(
                *(session.kept_run(shop.agent) for session in sessions), return_exceptions=True
            )
            errors = [each for each in taken if isinstance(each, RunTaken)]
            ((session, run),) = (
                (session, run)
                for session, run in zip(sessions, taken)
                if run is not None and not isinstance(run, BaseException)
            )
            (error,) = errors
            assert error.is_running and error.at is not None
            assert began <= error.at <= datetime.now(UTC)
            at_work = await session.store.sessions(session.key)
            assert [each.ended for each in at_work if each.id == error.by] == ["maybe running"]
            with pytest.raises(RunTaken, match="may still be at it"):
                await session.kept_run(shop.agent)  # its own, too: it may have failed half-way
            assert await go_on(shop, session, run) == "done: refunded 17"
            assert await second.kept_run(shop.agent) is None
        assert shop.refunded == [17]

    with ModelServer() as server:
        told(server, story, asks=True)


def test_to_look_at_it_takes_nothing_up_and_a_call_of_it_waits(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await keep(shop, tmp_path / "a.db")
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            for _ in range(2):
                run = await session.kept_run(shop.agent, look=True)
                assert run is not None
                assert [each.tool_name for each in run.get_interruptions()] == ["refund"]
            await shop.run("and now", session)
            assert UNKNOWN not in str(await session.get_items())
            assert await go_on(shop, session, await session.kept_run(shop.agent)) == (
                "done: refunded 17"
            )

    with ModelServer() as server:
        told(server, story, asks=True)


def test_what_it_waits_for_is_told_until_it_is_taken_up(tmp_path: Path) -> None:
    def asked() -> list[Any]:
        with perdure.Store(tmp_path / "a.db") as store:
            return [each.payload for each in store.waiting()]

    async def story(shop: Shop) -> None:
        await keep(shop, tmp_path / "a.db", "17")
        one = [{"tool": "refund", "arguments": {"order": 17}}]
        assert asked() == one
        with perdure.Store(tmp_path / "a.db") as store, store.open("sessions/alice") as looked:
            assert "refund" in str(looked.briefing())
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            await session.kept_run(shop.agent, look=True)
            assert asked() == one
            await keep(shop, tmp_path / "a.db", "18")  # in its place
            assert asked() == [{"tool": "refund", "arguments": {"order": 18}}]
            run = await session.kept_run(shop.agent)
            assert asked() == []
            await go_on(shop, session, run)
            await keep(shop, tmp_path / "a.db", "19")
            assert len(asked()) == 1
            assert await session.drop_run() and asked() == []
            await keep(shop, tmp_path / "a.db", "20")
            assert len(asked()) == 1
            await session.clear_session()
            assert asked() == [] and await session.kept_runs() == {}

    with ModelServer() as server:
        told(server, story, asks=True)


def test_one_that_waits_again_may_be_taken_up_again(tmp_path: Path) -> None:
    """What is kept under the name then is another one."""

    async def story(shop: Shop) -> None:
        await keep(shop, tmp_path / "a.db", "17 18")
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            run = await session.kept_run(shop.agent)
            assert run is not None
            run.approve(run.get_interruptions()[0])
            waiting = await shop.run(run, session)
            assert shop.refunded == [17] and len(waiting.interruptions) == 1
            await session.keep_run(waiting.to_state())
            run = await session.kept_run(shop.agent)
            assert await go_on(shop, session, run) == "done: refunded 18"
        assert shop.refunded == [17, 18]

    with ModelServer() as server:
        told(server, story, asks=True)


def test_another_that_was_kept_meanwhile_is_not_dropped_with_it(tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await keep(shop, tmp_path / "a.db")
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            run = await session.kept_run(shop.agent)
            await keep(shop, tmp_path / "a.db", "18")
            assert await go_on(shop, session, run) == "done: refunded 17"
            (left,) = (await session.kept_runs()).values()
            assert len(left) == 1
            assert await go_on(shop, session, await session.kept_run(shop.agent)) == (
                "done: refunded 18"
            )
            assert await session.kept_runs() == {} and not await session.drop_run()
            await keep(shop, tmp_path / "a.db", "19")
            assert await session.drop_run(), "one that is given up without being taken up"

    with ModelServer() as server:
        told(server, story, asks=True)


def test_who_took_it_up_was_killed_in_the_tool_and_that_is_told_not_locked_for_ever(
    tmp_path: Path,
) -> None:
    store = tmp_path / "a.db"

    async def going_on(shop: Shop) -> None:
        async with PerdureSession("alice", store) as session:
            with pytest.raises(RunTaken, match="is not at it any more") as caught:
                await session.kept_run(shop.agent)
            assert not caught.value.is_running
            answer = await shop.run("hello", session)
            assert answer.final_output == "heard: hello"
            assert str(server.inputs[-1]).count(UNKNOWN) == 2, "the model is told of both calls"
            run = await session.kept_run(shop.agent, again=True)
            assert await go_on(shop, session, run) == "done: refunded 18"
            assert UNKNOWN not in str(await session.get_items())
            assert (await shop.run("bye", session)).final_output == "heard: bye"
        assert shop.refunded == [17, 18]

    with ModelServer() as server:
        told(server, lambda shop: keep(shop, store, "17 18"), asks=True)
        kill_in_the_tool(server.url, store, "kept")
        told(server, going_on, asks=True)
    with perdure.Store(store) as opened:
        assert all(each.ok for each in opened.verify())
