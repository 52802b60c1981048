"""What `AsyncSession.goals`, `.facts` and `.children` do: a method each, whose body is acts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perdure.agent import children, facts, goals

if TYPE_CHECKING:
    from perdure.agent.children import Child
    from perdure.agent.facts import Fact
    from perdure.agent.goals import Goal
    from perdure.agent.on_async_session import AsyncAgentSession


class AsyncGoals:
    """What the agent is after; kept in the section `perdure.goals`.

    Example:
        >>> await session.goals.add("Refund order 17")
        >>> await session.goals.complete("Refund order 17", because="the bank confirmed it")
    """

    def __init__(self, session: AsyncAgentSession[Any]) -> None:
        self._session = session

    async def add(self, text: str, *, id: str | None = None) -> Goal:
        """Add a goal; one that is there with the same text stays as it is.

        Args:
            text: what is to be reached.
            id: a name for it; by default its text.

        Raises:
            UsageError: another goal has this name.
        """
        return await self._session._act(goals.add(self._session, text, id))

    async def complete(self, id: str, *, because: str | None = None) -> Goal:
        """Say that a goal is reached.

        Raises:
            PathNotFound: there is no such goal.
            UsageError: it was dropped.
        """
        return await self._session._act(goals.end(self._session, id, "done", because))

    async def drop(self, id: str, *, because: str | None = None) -> Goal:
        """Give a goal up.

        Raises:
            PathNotFound: there is no such goal.
            UsageError: it is reached.
        """
        return await self._session._act(goals.end(self._session, id, "dropped", because))

    async def all(self) -> list[Goal]:
        """Every goal, in the order in which they were added."""
        return await self._session._act(goals.every(self._session))

    async def active(self) -> list[Goal]:
        """Those that are neither reached nor dropped."""
        return [goal for goal in await self.all() if goal.status == "active"]


class AsyncFacts:
    """What the agent found out; kept in the section `perdure.facts`.

    Example:
        >>> await session.facts.set("rate", 1.17, source="the bank", valid_for=timedelta(hours=1))
        >>> fact = await session.facts.get("rate")
        >>> fact.value, fact.is_stale
        (1.17, False)
    """

    def __init__(self, session: AsyncAgentSession[Any]) -> None:
        self._session = session

    async def set(
        self,
        name: str,
        value: Any,
        *,
        source: str | None = None,
        valid_for: timedelta | None = None,
    ) -> Fact:
        """Note a fact, in the place of what was known by this name.

        Args:
            name: what it is about.
            value: anything that a state can hold.
            source: where it comes from.
            valid_for: how long it may be relied on.

        Raises:
            NotStorable: the value cannot be stored.
            UsageError: the name says nothing, or the duration is none.
        """
        return await self._session._act(facts.put(self._session, name, value, source, valid_for))

    async def get(self, name: str) -> Fact | None:
        """What is known, with its age; None: nothing is."""
        return await self._session._act(facts.get(self._session, name))

    async def all(self) -> list[Fact]:
        """Every fact."""
        return await self._session._act(facts.every(self._session))

    async def stale(self) -> list[Fact]:
        """Those that were to be relied on no longer than until now."""
        return [fact for fact in await self.all() if fact.is_stale]

    async def forget(self, name: str) -> bool:
        """Take a fact away; whether there was one."""
        return await self._session._act(facts.forget(self._session, name))


class AsyncChildren:
    """The states of sub-agents that this one has linked; kept in the section `perdure.children`.

    How each stands is read from its own state when it is asked for.

    Example:
        >>> for child in await session.children.unfinished():
        ...     print(child.name, child.status, child.tasks)
        researcher unfinished 2
    """

    def __init__(self, session: AsyncAgentSession[Any]) -> None:
        self._session = session

    async def all(self) -> list[Child]:
        """Every child, in the order in which they were linked, as it stands now.

        One that is missing, deleted or damaged is told as such.
        """
        return await self._session._act(children.every(self._session))

    async def unfinished(self) -> list[Child]:
        """Those that somebody has to go on with, or to look after."""
        return [child for child in await self.all() if not child.is_finished]

    async def get(self, name: str) -> Child | None:
        """One child as it stands now; None: none of this name is linked."""
        return await self._session._act(children.one(self._session, name))

    async def complete(self, name: str, result: Any = None) -> Child:
        """Say, durably, that a child is finished, however it stands; opening it takes that back.

        Args:
            name: what the parent calls it.
            result: what came of it: anything that a state can hold.

        Raises:
            PathNotFound: none of this name is linked.
            NotStorable: the result cannot be stored.
        """
        return await self._session._act(children.end(self._session, name, "finished", result))

    async def drop(self, name: str, *, because: str | None = None) -> Child:
        """Say, durably, that nobody goes on with a child; its state stays. Opening it undoes that.

        Raises:
            PathNotFound: none of this name is linked.
        """
        return await self._session._act(
            children.end(self._session, name, "dropped", because=because)
        )
