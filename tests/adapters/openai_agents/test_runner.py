"""The SDK's own runner over real HTTP: what it keeps in a PerdureSession, and goes on with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from agents.run_internal.session_persistence import rewind_session_items
from tests.adapters.openai_agents.stub import ModelServer, model

import perdure
from perdure.adapters.openai_agents import PerdureSession
from perdure.adapters.openai_agents.items import UNKNOWN

CONFIG = RunConfig(tracing_disabled=True)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


class Shop:
    """An agent with a tool, on the server's model; what the tool did."""

    def __init__(self, server: ModelServer, *, asks: bool = False) -> None:
        self.refunded: list[int] = []
        self.model, self.client = model(server.url)

        @function_tool(needs_approval=asks)
        def refund(order: int) -> str:
            """Refund an order."""
            self.refunded.append(order)
            return f"refunded {order}"

        self.boss = Agent("boss", model=self.model, instructions="b")
        self.agent = Agent(
            "clerk", model=self.model, instructions="c", tools=[refund], handoffs=[self.boss]
        )

    async def run(self, asked: Any, session: Any, *, streamed: bool = False) -> Any:
        if not streamed:
            return await Runner.run(self.agent, asked, session=session, run_config=CONFIG)
        result = Runner.run_streamed(self.agent, asked, session=session, run_config=CONFIG)
        async for _ in result.stream_events():
            pass
        return result


def told(
    server: ModelServer, story: Callable[[Shop], Awaitable[Any]], *, asks: bool = False
) -> Any:
    async def whole() -> Any:
        shop = Shop(server, asks=asks)
        async with shop.client:
            return await story(shop)

    return asyncio.run(whole())


ASKED = ("hello there", "refund 17 18", "hand me over", "bye")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_with_tools_and_handoffs_is_kept_as_sqlite_session_does(
    streamed: bool, tmp_path: Path
) -> None:
    async def story(shop: Shop, session: Any) -> Any:
        answers = [
            (await shop.run(asked, session, streamed=streamed)).final_output for asked in ASKED
        ]
        return answers, await session.get_items()

    async def ours(shop: Shop) -> Any:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            return await story(shop, session)

    async def theirs(shop: Shop) -> Any:
        return await story(shop, SQLiteSession("alice", tmp_path / "b.db"))

    found = []
    for way in (ours, theirs):
        with ModelServer() as server:
            found.append(told(server, way))
    assert found[0] == found[1]
    assert found[0][0] == ["heard: hello there", "done: refunded 18", *found[0][0][2:]]
    assert len(found[0][1]) > 10


def test_a_run_that_waits_for_an_approval_is_resumed_in_another_session(
    server: ModelServer, tmp_path: Path
) -> None:
    async def asking(shop: Shop) -> None:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            result = await shop.run("refund 17", session)
            assert [each.tool_name for each in result.interruptions] == ["refund"]
            await session.keep_run(result.to_state())
            assert list(await session.kept_runs()) == ["run"]

    async def approving(shop: Shop) -> Any:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            assert await session.kept_run(shop.agent, "another") is None
            state = await session.kept_run(shop.agent)
            assert state is not None
            for each in state.get_interruptions():
                state.approve(each)
            result = await shop.run(state, session)
            assert await session.drop_run() and not await session.drop_run()
            assert await session.kept_runs() == {}
            return result.final_output, shop.refunded, await session.get_items()

    told(server, asking, asks=True)
    answer, refunded, items = told(server, approving, asks=True)
    assert (answer, refunded) == ("done: refunded 17", [17])
    kinds = [each.get("type", each.get("role")) for each in items]
    assert kinds == ["user", "function_call", "function_call_output", "message"]


def test_a_turn_that_comes_while_a_run_waits_leaves_its_call_to_it(
    server: ModelServer, tmp_path: Path
) -> None:
    async def story(shop: Shop) -> Any:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            waiting = await shop.run("refund 17", session)
            await session.keep_run(waiting.to_state())
            assert (await shop.run("and now", session)).final_output == "heard: and now"
            assert UNKNOWN not in str(await session.get_items())
            state = await session.kept_run(shop.agent)
            assert state is not None
            state.approve(state.get_interruptions()[0])
            await shop.run(state, session)
            assert (await shop.run("bye", session)).final_output == "heard: bye"
            return shop.refunded

    assert told(server, story, asks=True) == [17]


def test_a_call_that_was_given_up_is_told_of_and_its_late_output_takes_the_place(
    server: ModelServer, tmp_path: Path
) -> None:
    async def story(shop: Shop) -> Any:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            waiting = await shop.run("refund 17", session)  # it is not kept: nobody waits for it
            await shop.run("and now", session)
            items: Any = await session.get_items()
            assert [each.get("output") for each in items[:4]] == [None, None, UNKNOWN, None]
            assert UNKNOWN in str(server.inputs[-1])
            assert len(await session.store.history(session.key)) == 5
            state = waiting.to_state()
            state.approve(state.get_interruptions()[0])
            await shop.run(state, session)
            assert UNKNOWN not in str(await session.get_items())
            return (await shop.run("bye", session)).final_output

    assert told(server, story, asks=True) == "heard: bye"


def test_a_guardrail_that_trips_leaves_what_it_leaves_in_sqlite_session(
    server: ModelServer, tmp_path: Path
) -> None:
    async def trip(*_: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    async def story(shop: Shop) -> Any:
        found = []
        shop.agent.input_guardrails = [InputGuardrail(trip)]
        async with PerdureSession("alice", tmp_path / "a.db") as ours:
            for session in (ours, SQLiteSession("alice", tmp_path / "b.db")):
                shop.agent.input_guardrails = []
                await shop.run("hello there", session)
                shop.agent.input_guardrails = [InputGuardrail(trip)]
                with pytest.raises(InputGuardrailTripwireTriggered):
                    await shop.run("refund 17", session)
                shop.agent.input_guardrails = []
                answer = await shop.run("bye", session)
                items: Any = await session.get_items()
                found.append((answer.final_output, [each.get("content") for each in items][::2]))
        return found

    ours, theirs = told(server, story)
    assert ours == theirs
    assert ours[0] == "heard: bye"


def test_the_sdk_rewinds_what_it_added_also_behind_an_answer_of_ours(
    server: ModelServer, tmp_path: Path
) -> None:
    async def story(shop: Shop) -> Any:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            await shop.run("refund 17", session)
            again: Any = [{"role": "user", "content": "again"}]
            await session.add_items(again)
            assert (await session.get_items())[-2:] != again
            await rewind_session_items(session, again)
            items: Any = await session.get_items()
            return items[-1]["output"]

    assert told(server, story, asks=True) == UNKNOWN


def test_a_conversation_reads_well_in_perdure(server: ModelServer, tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            for asked in ASKED:
                await shop.run(asked, session)

    told(server, story)
    with perdure.Store(tmp_path / "a.db") as store:
        assert store.info("sessions/alice").summary == "bye"
        assert store.verify("sessions/alice")[0].ok
        assert "bye" in str(store.open("sessions/alice").state["messages"][-1])
