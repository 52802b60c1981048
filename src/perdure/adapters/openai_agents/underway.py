"""What a run is doing between two saves of the SDK: the calls it makes, and what came of them.

The SDK saves the items of a response when its tools have run. A process that dies meanwhile leaves
no trace of the calls, and the next run makes them again. With these hooks they are saved before
their tools run, and each outcome when it is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from agents import Agent, ModelResponse, RunHooks, Tool
from agents.run_context import AgentHookContext, RunContextWrapper

from perdure.adapters.openai_agents.items import (
    Item,
    Named,
    answers,
    calls_of,
    late,
    open_calls,
    output_of,
    stand_ins,
    told_of,
)
from perdure.adapters.openai_agents.keeper import Keeper, Opened, Unchanged
from perdure.adapters.openai_agents.looking import IsEnough, end_of, last_turn, take_out
from perdure.adapters.openai_agents.places import MESSAGES, UNDERWAY
from perdure.adapters.openai_agents.runs import waiting
from perdure.state.node import plain

RESPONSES, TAKEN = "responses", "taken"
"""Of what is under way: the responses whose calls are being made, of all runs; and the ids of calls
that were taken into the conversation without what came of them."""
ITEMS, OUTPUTS = "items", "outputs"
"""Of a response: its items, and outputs by id of their calls."""
TAKEN_MAX = 256
"""How many calls are remembered whose runs may still be alive (calls)."""


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
                await _loaded(session)
                told = session.state.setdefault(UNDERWAY, {})
                told.setdefault(RESPONSES, []).append({ITEMS: items, OUTPUTS: {}})

            await self._keeper.write(beginning)
        await self._inner.on_llm_end(context, agent, response)

    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object
    ) -> None:
        """Save the outcome of a call."""
        call_id = getattr(context, "tool_call_id", None)

        async def ending(session: Opened) -> None:
            for each in (await _loaded(session)).get(RESPONSES, ()):
                if call_id in _ids(each[ITEMS]):
                    each[OUTPUTS][call_id] = str(result)
                    return
            raise Unchanged(None)

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
    messages = await last_turn(session)
    responses = (await _loaded(session)).get(RESPONSES, ())
    if not responses and not open_calls(messages):
        return []
    wait = await waiting(session)
    added: list[Item] = []
    for each in responses:
        if _ids(each[ITEMS]).isdisjoint(wait):
            items, outputs = plain(each[ITEMS]), each[OUTPUTS]
            known = [call for call in calls_of(items) if call["call_id"] in outputs]
            added += items
            added += [output_of(call, outputs[call["call_id"]]) for call in known]
    return [*added, *answers(open_calls([*messages, *added]), wait)]


async def take_in(session: Opened, added: Collection[Item]) -> None:
    """Add what was cut off to the conversation, and remember what that was.

    Args:
        session: on the state of the conversation.
        added: what `cut_off` gave.
    """
    session.state.setdefault(MESSAGES, []).extend(added)
    if taken := _ids(added):
        told = await _loaded(session)
        remembered = [*told.get(TAKEN, ()), *sorted(taken)][-TAKEN_MAX:]
        _keep(session, _others(told, taken), remembered)


async def settle(session: Opened, new: Sequence[Any]) -> None:
    """See that what is about to be added is not there already: answered by us, or as underway.

    Args:
        session: on the state of the conversation.
        new: what is added.
    """
    if calls := late(new):
        end = await end_of(session, _holding(calls))
        await take_out(session, end, stand_ins(end, calls))
    told = await _loaded(session)
    ids = _ids(new) if told else set()
    responses, alive = _others(told, ids), ids.intersection(told.get(TAKEN, ()))
    if alive:  # who made the calls was alive after all
        end = await end_of(session, _holding(told_of(calls_of(new))))
        await take_out(session, end, _copies(end, new, ids))
    if alive or len(responses) < len(told.get(RESPONSES, ())):
        _keep(session, responses, [each for each in told.get(TAKEN, ()) if each not in alive])


def _holding(calls: Collection[Named]) -> IsEnough:
    """Whether all of these calls were met, in what was shown so far."""
    left = set(calls)

    def is_enough(part: Sequence[Any]) -> bool:
        left.difference_update(told_of(part))
        return not left

    return is_enough


def _copies(end: Sequence[Any], new: Sequence[Any], ids: Collection[str]) -> set[int]:
    """Positions of what was taken in of a response: its calls, their outputs, what is beside them.

    Args:
        end: of the conversation.
        new: the response.
        ids: of its calls.
    """
    found = {
        at for at, item in enumerate(end) if isinstance(item, dict) and item.get("call_id") in ids
    }
    for step in (-1, 1):
        for at in sorted(found, reverse=step < 0):
            while 0 <= at + step < len(end) and end[at + step] in new:
                at += step
                found.add(at)
    return found


def _ids(items: Iterable[Any]) -> set[str]:
    """The ids of the calls among some items."""
    return {call["call_id"] for call in calls_of(items)}


def _others(told: dict[str, Any], ids: set[str]) -> list[Any]:
    """The responses that are under way and have none of these calls."""
    return [each for each in told.get(RESPONSES, ()) if _ids(each[ITEMS]).isdisjoint(ids)]


def _keep(session: Opened, responses: list[Any], taken: list[str]) -> None:
    """Say what is under way from now on."""
    told = {RESPONSES: plain(responses), TAKEN: taken}
    session.state[UNDERWAY] = {name: each for name, each in told.items() if each}
    if not session.state[UNDERWAY]:
        del session.state[UNDERWAY]


async def _loaded(session: Opened) -> dict[str, Any]:
    if UNDERWAY not in session.state:
        return {}
    await session.load(UNDERWAY)
    told: dict[str, Any] = session.state[UNDERWAY]
    return told
