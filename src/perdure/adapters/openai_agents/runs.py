"""Runs that wait: the `RunState` of a run interrupted for an approval, kept and resumed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from perdure.adapters.openai_agents.approvals import ask, ask_no_more, asked_by
from perdure.adapters.openai_agents.keeper import Keeper, Opened, Unchanged
from perdure.adapters.openai_agents.places import RUNS
from perdure.errors import RunTaken

if TYPE_CHECKING:
    from agents import Agent, RunState

ID, CALLS, STATE, TAKEN = "id", "calls", "state", "taken"
"""Of a kept run: what tells it from others that were kept under its name, the ids of the calls that
wait for an approval, what the SDK says of it, and who took it up."""
BY, AT = "by", "at"
"""Of who took a run up: the session's id, and when."""


class KeepingRuns:
    """Keeps runs that wait beside the conversation they belong to."""

    _keeper: Keeper

    def __init__(self) -> None:
        self._taken_up: dict[str, str | None] = {}
        """By name, the ids of the runs that were taken up here."""

    async def keep_run(self, run: RunState[Any, Any], name: str = "run", **options: Any) -> None:
        """Keep a run that waits for an approval, to be resumed in any process, days later.

        Until it is taken up its calls count as waiting, not as crashed, and `perdure waiting` and
        the briefing tell of them. A run that was kept under the name before is replaced.

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
        told, asked, id_ = run.to_json(**options), asked_by(run), uuid4().hex

        async def keeping(session: Opened) -> None:
            await _load(session)
            kept = session.state.setdefault(RUNS, {})
            if name in kept:
                await ask_no_more(session, kept[name][CALLS])
            kept[name] = {ID: id_, CALLS: list(asked), STATE: told}
            await ask(session, asked)

        await self._keeper.write(keeping, label=f"run kept: {name}"[:100])
        self._taken_up.pop(name, None)

    async def kept_run(
        self,
        agent: Agent[Any],
        name: str = "run",
        *,
        again: bool = False,
        look: bool = False,
        **options: Any,
    ) -> RunState[Any, Any] | None:
        """Take up a run that was kept, to approve it and give it to `Runner.run`; None: none is.

        It stays kept until `drop_run`, and who took it up is saved before this returns: a run that
        two go on with makes its calls twice. From then on its calls count as being made: where they
        have no output when another run begins, the model is told so.

        Args:
            agent: the agent that the run began with.
            name: of the run.
            again: take it up even if somebody has before: you know what its tools did, or they do
                things once whoever asks, as effects under the call's id.
            look: only look at it, for who asks a person: it is not to be gone on with.
            options: of `RunState.from_json`, such as `context_override=`.

        Raises:
            RunTaken: somebody has taken it up before; `is_running` says whether they may still be
                at it.

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
            return None if kept is None else (kept.get(ID), kept[STATE].plain())

        while (found := await self._keeper.read(reading)) is not None:
            id_, told = found
            run = await RunState.from_json(agent, told, **options)
            if look:
                return run
            if await self._take(name, id_, again):
                self._taken_up[name] = id_
                return run
        return None

    async def _take(self, name: str, id_: str | None, again: bool) -> bool:
        """Save that this session takes up a run; False: another one is kept under its name now."""

        async def taking(session: Opened) -> bool:
            await _load(session)
            kept = session.state.get(RUNS, {}).get(name)
            if kept is None or kept.get(ID) != id_:
                raise Unchanged(False)
            if TAKEN in kept and not again:
                raise await self._taken(name, kept[TAKEN])
            kept[TAKEN] = {BY: session.id, AT: datetime.now(UTC)}
            await ask_no_more(session, kept[CALLS])
            return True

        return await self._keeper.write(taking, label=f"run taken up: {name}"[:100], looks=True)

    async def _taken(self, name: str, taken: Any) -> RunTaken:
        """What to tell of a run that was taken up before."""
        by, at = taken[BY], taken[AT]
        ends = {each.id: each.ended for each in await self._keeper.store.sessions(self._keeper.key)}
        is_running = ends.get(by) == "maybe running"
        state = "which may still be at it" if is_running else "which is not at it any more"
        return RunTaken(
            f"the run {name!r} was taken up at {at:%Y-%m-%d %H:%M:%S} UTC by session {by[:8]}, "
            f"{state}: its tools may have run. Find out what they did; then take it up with "
            "again=True, or drop_run it",
            by=by,
            at=at,
            is_running=is_running,
        )

    async def kept_runs(self) -> dict[str, list[str]]:
        """The names of the runs that are kept, each with the ids of the calls that wait."""

        async def reading(session: Opened) -> dict[str, list[str]]:
            await _load(session)
            return {name: list(each[CALLS]) for name, each in session.state.get(RUNS, {}).items()}

        return await self._keeper.read(reading)

    async def drop_run(self, name: str = "run") -> bool:
        """Keep a run no longer: it has ended, or is given up.

        Where this session took one up under the name, it is that one: another that was kept in its
        place meanwhile stays, since it waits for an answer of its own.

        Args:
            name: of the run.

        Returns:
            Whether there was one.
        """

        async def dropping(session: Opened) -> bool:
            await _load(session)
            kept = session.state.get(RUNS, {}).get(name)
            if kept is None or self._taken_up.get(name, kept.get(ID)) != kept.get(ID):
                raise Unchanged(False)
            await ask_no_more(session, kept[CALLS])
            del session.state[RUNS][name]
            if not session.state[RUNS]:
                del session.state[RUNS]
            return True

        is_dropped = await self._keeper.write(dropping, looks=True)
        self._taken_up.pop(name, None)
        return is_dropped


async def waiting(session: Opened) -> Collection[str]:
    """The ids of all calls whose runs are kept, and were not taken up yet.

    Args:
        session: on the state of the conversation.
    """
    await _load(session)
    kept = session.state.get(RUNS, {}).values()
    return {call for each in kept if TAKEN not in each for call in each[CALLS]}


async def _load(session: Opened) -> None:
    if RUNS in session.state:
        await session.load(RUNS)
