"""Runs that wait: the `RunState` of a run interrupted for an approval, kept and resumed."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from perdure.adapters.openai_agents.keeper import Keeper, Opened, Unchanged
from perdure.adapters.openai_agents.places import RUNS

if TYPE_CHECKING:
    from agents import Agent, RunState

CALLS, STATE = "calls", "state"
"""Of a kept run: the ids of the calls that wait for an approval, and what the SDK says of it."""


class KeepingRuns:
    """Keeps runs that wait beside the conversation they belong to."""

    _keeper: Keeper

    async def keep_run(self, run: RunState[Any, Any], name: str = "run", **options: Any) -> None:
        """Keep a run that waits for an approval, to be resumed in any process, days later.

        While it is kept its calls count as waiting, not as crashed. A run that was kept under the
        name before is replaced.

        Args:
            run: what `result.to_state()` gave.
            name: of the run, among those of this conversation.
            options: of `RunState.to_json`, such as `context_serializer=`.

        Raises:
            NotStorable: its context holds what cannot be kept.

        Example:
            >>> if result.interruptions:
            ...     await session.keep_run(result.to_state())
        """
        told = run.to_json(**options)
        calls = [_call_id(each) for each in run.get_interruptions()]

        async def keeping(session: Opened) -> None:
            await _load(session)
            kept = session.state.setdefault(RUNS, {})
            kept[name] = {CALLS: [each for each in calls if each], STATE: told}

        await self._keeper.write(keeping, label=f"run kept: {name}"[:100])

    async def kept_run(
        self, agent: Agent[Any], name: str = "run", **options: Any
    ) -> RunState[Any, Any] | None:
        """A run that was kept, to be approved and given to `Runner.run`; None: there is none.

        It stays kept until `drop_run`: a process that dies while it goes on with it has lost
        nothing. What tools do to the world is an effect under the call's id, so that a run that is
        resumed twice does it once.

        Args:
            agent: the agent that the run began with.
            name: of the run.
            options: of `RunState.from_json`, such as `context_override=`.

        Example:
            >>> run = await session.kept_run(agent)
            >>> for each in run.get_interruptions():
            ...     run.approve(each)
            >>> result = await Runner.run(agent, run, session=session)
            >>> await session.drop_run()
        """
        from agents import RunState

        async def reading(session: Opened) -> Any:
            await _load(session)
            kept = session.state.get(RUNS, {}).get(name)
            return None if kept is None else kept[STATE].plain()

        told = await self._keeper.read(reading)
        if told is None:
            return None
        return await RunState.from_json(agent, told, **options)

    async def kept_runs(self) -> dict[str, list[str]]:
        """The names of the runs that are kept, each with the ids of the calls that wait."""

        async def reading(session: Opened) -> dict[str, list[str]]:
            await _load(session)
            return {name: list(each[CALLS]) for name, each in session.state.get(RUNS, {}).items()}

        return await self._keeper.read(reading)

    async def drop_run(self, name: str = "run") -> bool:
        """Keep a run no longer: it has ended, or is given up.

        Args:
            name: of the run.

        Returns:
            Whether there was one.
        """

        async def dropping(session: Opened) -> bool:
            await _load(session)
            if session.state.get(RUNS, {}).pop(name, None) is None:
                raise Unchanged(False)
            if not session.state[RUNS]:
                del session.state[RUNS]
            return True

        return await self._keeper.write(dropping, looks=True)


async def waiting(session: Opened) -> Collection[str]:
    """The ids of all calls whose runs are kept.

    Args:
        session: on the state of the conversation.
    """
    await _load(session)
    return {call for each in session.state.get(RUNS, {}).values() for call in each[CALLS]}


async def _load(session: Opened) -> None:
    if RUNS in session.state:
        await session.load(RUNS)


def _call_id(approval: Any) -> str | None:
    """The id of the call that an approval is asked for."""
    raw = approval.raw_item
    found = raw.get("call_id") if isinstance(raw, dict) else getattr(raw, "call_id", None)
    return found if isinstance(found, str) else None
