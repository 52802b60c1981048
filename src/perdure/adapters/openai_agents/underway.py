"""What a run is doing between two saves of the SDK: the calls it makes, and what came of them.

The SDK saves the items of a response when its tools have run. A process that dies meanwhile leaves
no trace of the calls, and the next run makes them again. With these hooks they are saved before
their tools run, and each outcome when it is known.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agents import Agent, ModelResponse, RunHooks, Tool
from agents.run_context import AgentHookContext, RunContextWrapper

from perdure.adapters.openai_agents.items import Item, answers, calls_of, open_calls, output_of
from perdure.adapters.openai_agents.keeper import Keeper, Opened, Unchanged
from perdure.adapters.openai_agents.places import MESSAGES, UNDERWAY
from perdure.adapters.openai_agents.runs import waiting
from perdure.state.node import plain

ITEMS, OUTPUTS, TAKEN = "items", "outputs", "taken"
"""Of what is under way: the items of the response, and outputs by id of their calls. Once they are
taken into the conversation, the ids of their calls alone."""


class TellingHooks(RunHooks[Any]):
    """Saves the calls of a run before they are made; `PerdureSession.hooks` gives it.

    Args:
        keeper: of the conversation.
        inner: hooks that are told everything as well.
    """

    def __init__(self, keeper: Keeper, inner: RunHooks[Any] | None) -> None:
        self._keeper = keeper
        self._inner: RunHooks[Any] = inner if inner is not None else RunHooks()

    async def on_llm_start(
        self,
        context: RunContextWrapper[Any],
        agent: Agent[Any],
        system_prompt: str | None,
        input_items: list[Any],
    ) -> None:
        """Nothing of its own."""
        await self._inner.on_llm_start(context, agent, system_prompt, input_items)

    async def on_llm_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse
    ) -> None:
        """Save a response that has calls."""
        items: list[Any] = list(response.to_input_items())
        if calls_of(items):

            async def beginning(session: Opened) -> None:
                session.state[UNDERWAY] = {ITEMS: items, OUTPUTS: {}}

            await self._keeper.write(beginning)
        await self._inner.on_llm_end(context, agent, response)

    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object
    ) -> None:
        """Save the outcome of a call."""
        call_id = getattr(context, "tool_call_id", None)

        async def ending(session: Opened) -> None:
            told = await _loaded(session)
            if call_id not in {each.get("call_id") for each in told.get(ITEMS, ())}:
                raise Unchanged(None)
            told[OUTPUTS][call_id] = str(result)

        if call_id is not None:
            await self._keeper.write(ending)
        await self._inner.on_tool_end(context, agent, tool, result)

    async def on_agent_start(self, context: AgentHookContext[Any], agent: Agent[Any]) -> None:
        """Nothing of its own."""
        await self._inner.on_agent_start(context, agent)

    async def on_agent_end(
        self, context: AgentHookContext[Any], agent: Agent[Any], output: Any
    ) -> None:
        """Nothing of its own."""
        await self._inner.on_agent_end(context, agent, output)

    async def on_handoff(
        self, context: RunContextWrapper[Any], from_agent: Agent[Any], to_agent: Agent[Any]
    ) -> None:
        """Nothing of its own."""
        await self._inner.on_handoff(context, from_agent, to_agent)

    async def on_tool_start(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool
    ) -> None:
        """Nothing of its own."""
        await self._inner.on_tool_start(context, agent, tool)


async def cut_off(session: Opened) -> list[Item]:
    """What the conversation lacks of a turn that crashed: its calls, and an output for each.

    Args:
        session: on the state of the conversation.
    """
    messages = session.state.get(MESSAGES, ())
    told = await _loaded(session)
    items = [plain(item) for item in told.get(ITEMS, ())]
    calls = open_calls(messages)
    if not items and not calls:
        return []
    wait = await waiting(session)
    if any(call.get("call_id") in wait for call in calls_of(items)):
        items = []
    outputs = told.get(OUTPUTS, {})
    known = [
        output_of(call, outputs[call["call_id"]])
        for call in calls_of(items)
        if call["call_id"] in outputs
    ]
    return [*items, *known, *answers(open_calls([*messages, *items, *known]), wait)]


async def take_in(session: Opened, added: Collection[Item]) -> None:
    """Add what was cut off to the conversation, and remember what that was.

    Args:
        session: on the state of the conversation.
        added: what `cut_off` gave.
    """
    session.state.setdefault(MESSAGES, []).extend(added)
    if taken := [call["call_id"] for call in calls_of(added)]:
        session.state[UNDERWAY] = {TAKEN: taken}


async def settle(session: Opened, new: Collection[Item]) -> None:
    """See that what is about to be added is not there twice: once as what was under way.

    Args:
        session: on the state of the conversation.
        new: what is added.
    """
    told = await _loaded(session)
    ids = {call["call_id"] for call in calls_of(new)} if told else set()
    if ids.intersection(call["call_id"] for call in calls_of(told.get(ITEMS, ()))):
        del session.state[UNDERWAY]
    elif ids.intersection(told.get(TAKEN, ())):  # who made the calls was alive after all
        messages = session.state[MESSAGES]
        for at in reversed(range(len(messages))):
            item = messages[at]
            if item in new or (isinstance(item, dict) and item.get("call_id") in ids):
                del messages[at]
        del session.state[UNDERWAY]


async def _loaded(session: Opened) -> dict[str, Any]:
    if UNDERWAY not in session.state:
        return {}
    await session.load(UNDERWAY)
    told: dict[str, Any] = session.state[UNDERWAY]
    return told
