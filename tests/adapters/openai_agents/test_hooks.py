"""With `session.hooks()` the calls of a run are saved before they are made, and told of (P9)."""

import asyncio
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agents import Agent, ModelResponse, RunHooks, Runner, Usage, function_tool
from openai.types.responses import ResponseFunctionToolCall
from tests.adapters.openai_agents.stub import ModelServer, model
from tests.adapters.openai_agents.test_runner import ASKED, CONFIG, Shop, told

from perdure.adapters.openai_agents import PerdureSession
from perdure.adapters.openai_agents.items import UNKNOWN


class Noting(RunHooks[Any]):
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def on_llm_end(self, *_: Any) -> None:
        self.heard.append("said")

    async def on_tool_start(self, *_: Any) -> None:
        self.heard.append("start")

    async def on_tool_end(self, *_: Any) -> None:
        self.heard.append("end")


def test_a_conversation_is_the_same_with_them_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    async def talk(shop: Shop, hooked: bool) -> Any:
        noting = Noting()
        async with PerdureSession("alice", tmp_path / f"{hooked}.db") as session:
            for asked in ASKED:
                hooks = session.hooks(noting) if hooked else noting
                await Runner.run(shop.agent, asked, session=session, run_config=CONFIG, hooks=hooks)
            state = await session.store.at(session.key, "main")
            return await session.get_items(), sorted(state), noting.heard

    found = []
    for hooked in (True, False):
        with ModelServer() as server:
            found.append(told(server, partial(talk, hooked=hooked)))
    assert found[0] == found[1]
    assert found[0][1] == ["messages"]
    assert found[0][2].count("end") == 2


def test_who_is_still_at_a_call_when_another_run_begins_is_in_the_conversation_once(
    tmp_path: Path,
) -> None:
    """The second run is told that nobody knows; what came of it takes that place."""

    async def story(server: ModelServer) -> Any:
        kind, client = model(server.url)
        begun, end = asyncio.Event(), asyncio.Event()

        @function_tool
        async def refund(order: int) -> str:
            """Refund an order."""
            begun.set()
            await end.wait()
            return f"refunded {order}"

        agent = Agent("clerk", model=kind, tools=[refund])
        async with (
            client,
            PerdureSession("alice", tmp_path / "a.db") as first,
            PerdureSession("alice", tmp_path / "a.db") as second,
        ):

            def running(asked: str, session: PerdureSession) -> Any:
                return Runner.run(
                    agent, asked, session=session, run_config=CONFIG, hooks=session.hooks()
                )

            slow = asyncio.create_task(running("refund 17", first))
            await begun.wait()
            assert (await running("hello", second)).final_output == "heard: hello"
            assert UNKNOWN in str(server.inputs[-1])
            end.set()
            assert (await slow).final_output == "done: refunded 17"
            assert (await running("bye", second)).final_output == "heard: bye"
            return await first.get_items()

    with ModelServer() as server:
        items = asyncio.run(story(server))
    assert UNKNOWN not in str(items)
    calls = [each["call_id"] for each in items if each.get("type") == "function_call"]
    outputs = [each["call_id"] for each in items if each.get("type") == "function_call_output"]
    assert calls == outputs and len(calls) == 1


def test_a_run_that_failed_in_a_tool_is_told_of(tmp_path: Path) -> None:
    async def story(server: ModelServer) -> Any:
        kind, client = model(server.url)

        @function_tool(failure_error_function=None)
        def refund(order: int) -> str:
            """Refund an order."""
            raise ConnectionError("after it was sent")

        agent = Agent("clerk", model=kind, tools=[refund])
        async with client, PerdureSession("alice", tmp_path / "a.db") as session:
            with pytest.raises(Exception, match="after it was sent"):
                await Runner.run(
                    agent, "refund 17", session=session, run_config=CONFIG, hooks=session.hooks()
                )
            await Runner.run(agent, "hello", session=session, run_config=CONFIG)
            return str(server.inputs[-1])

    with ModelServer() as server:
        assert UNKNOWN in asyncio.run(story(server))


def test_a_run_that_waits_for_an_approval_is_not_taken_for_one_that_crashed(
    tmp_path: Path,
) -> None:
    async def story(shop: Shop) -> None:
        async with PerdureSession("alice", tmp_path / "a.db") as session:
            result = await Runner.run(
                shop.agent, "refund 17", session=session, run_config=CONFIG, hooks=session.hooks()
            )
            await session.keep_run(result.to_state())
            await shop.run("hello", session)
            assert UNKNOWN not in str(await session.get_items())

    with ModelServer() as server:
        told(server, story, asks=True)


def called(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "pay", "arguments": "{}"}


def paid(name: str) -> list[Any]:
    return [called(name), {"type": "function_call_output", "call_id": name, "output": "paid"}]


def response(name: str) -> ModelResponse:
    made = ResponseFunctionToolCall.model_validate(called(name))
    return ModelResponse(output=[made], usage=Usage(), response_id=None)


def outcomes(items: list[Any]) -> list[tuple[str, str]]:
    """The calls, each with its outputs; every output comes after its call, and once."""
    calls = [each["call_id"] for each in items if each.get("type") == "function_call"]
    outputs = [each for each in items if each.get("type") == "function_call_output"]
    assert sorted(calls) == sorted(each["call_id"] for each in outputs)
    assert len(set(calls)) == len(calls)
    return sorted((each["call_id"], each["output"]) for each in outputs)


RUN: Any = SimpleNamespace()
AGENT: Any = None


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("looks", [False, True])
def test_of_two_runs_at_once_each_call_is_told_of_once(
    dies: bool, looks: bool, tmp_path: Path
) -> None:
    """Whichever saves last, and whether the second began before the first made its calls or not."""

    async def story() -> list[Any]:
        first = PerdureSession("alice", tmp_path / "a.db")
        second = PerdureSession("alice", tmp_path / "a.db")
        await first.add_items([{"role": "user", "content": "one"}])
        if not looks:
            await second.add_items([{"role": "user", "content": "two"}])
        await first.hooks().on_llm_end(RUN, AGENT, response("c1"))
        if looks:
            await second.get_items(wrapper=RUN)
            await second.add_items([{"role": "user", "content": "two"}])
        await second.hooks().on_llm_end(RUN, AGENT, response("c2"))
        await second.add_items(paid("c2"))
        if not dies:
            await first.add_items(paid("c1"))
        await first.close()
        await second.close()
        async with PerdureSession("alice", tmp_path / "a.db") as third:
            return await third.get_items(wrapper=RUN)

    told = UNKNOWN if dies else "paid"
    assert outcomes(asyncio.run(story())) == [("c1", told), ("c2", "paid")]
