"""Reading and writing one conversation: the long-lived session on its state.

Who calls comes one after the other. A write is taken in and saved before anything else is; where
others saved meanwhile, it is made again on top of what they saved, and where it fails, it is given
up: whatever this returned is saved, and whatever raised is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from perdure.adapters.openai_agents.places import MESSAGES
from perdure.aio import AsyncStore
from perdure.aio_session import AsyncSession
from perdure.core.head import MAIN
from perdure.errors import CommitUnknown, PerdureError, Reload, StateDeleted, UsageError
from perdure.turn import Turn
from perdure.types import Durability

T = TypeVar("T")

Opened: TypeAlias = AsyncSession[Any]

TAIL = 50
"""How many of the last items are read at first; others are when they are asked for."""
TRIES_MAX = 1_000
"""How often a write is made again on top of what others saved: one of them came through each
time."""
SETTLING_MAX = 3
"""How often a save whose answer was lost is sent again before that is told."""


class Unchanged(Exception):
    """What an edit raises that has nothing to save; `value` is what it found."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Keeper:
    """The session on the state of one conversation, opened when it is first needed.

    Args:
        store: where the state is.
        key: of the state.
        branch: of the state.
        durability: what a save survives; None: as the store has it.
    """

    def __init__(
        self, store: AsyncStore, key: str, branch: str, durability: Durability | None
    ) -> None:
        self.store = store
        self.key = key
        self.branch = branch
        self.durability = durability
        self._turn = Turn()
        self._opened: Opened | None = None
        self._is_closed = False
        self._has_edits = False
        """Whether the session may have edits that are not saved, and nobody waits for any more."""

    async def read(self, reading: Callable[[Opened], Awaitable[T]]) -> T:
        """What `reading` finds in the newest checkpoint.

        Args:
            reading: is given the session; it edits nothing.
        """
        async with self._turn:
            return await reading(await self._newest())

    async def write(
        self,
        edit: Callable[[Opened], Awaitable[T]],
        *,
        label: str | None = None,
        looks: bool = False,
    ) -> T:
        """Make an edit and save it, as one checkpoint; one that is cancelled is whole or not there.

        Args:
            edit: is given the session; called again where others saved meanwhile. It raises
                `Unchanged` where there is nothing to save.
            label: of the checkpoint.
            looks: let it see what others saved last; else it is told when it saves.

        Raises:
            StateDeleted: the state was deleted meanwhile; the next call begins a new one.
        """
        async with self._turn:
            session = await (self._newest() if looks or self._has_edits else self._open())
            for attempt in range(1, TRIES_MAX + 1):
                is_edited, self._has_edits = False, True
                try:
                    result = await edit(session)
                    is_edited = True
                    await self._save(session, label)
                    return result
                except Unchanged as found:
                    self._has_edits = False
                    value: T = found.value
                    return value
                except StateDeleted:
                    await self._let_go()
                    raise
                except Reload:
                    if attempt == TRIES_MAX:
                        await self._give_up(session)
                        raise
                    await session.refresh()
                except asyncio.CancelledError:
                    await settled(self._finish(session, label, is_edited))
                    raise
                except BaseException:
                    await self._give_up(session)
                    raise
        raise AssertionError("a loop that returns or raises")

    def sum_up(self, session: Opened, text: str | None) -> None:
        """Say what the conversation is about; only `main` does, for all branches share one line.

        Args:
            session: the session that a write was given.
            text: what `perdure ls` shows.
        """
        if self.branch == MAIN:
            session.summary = text

    async def _save(self, session: Opened, label: str | None) -> None:
        for attempt in range(SETTLING_MAX):
            try:
                await session.save(label, durability=self.durability)
                self._has_edits = False
                return
            except CommitUnknown:  # once more: it commits once
                if attempt == SETTLING_MAX - 1:
                    raise

    async def _finish(self, session: Opened, label: str | None, is_edited: bool) -> None:
        """Bring a write that was cancelled to an end: nobody knows how far its save had come."""
        try:
            if is_edited:
                await self._save(session, label)
                return
        except PerdureError:
            pass
        await self._give_up(session)

    async def _give_up(self, session: Opened) -> None:
        """Drop what is not saved: who made it is told, and makes it again or not."""
        try:
            await session.refresh()
            self._has_edits = False
        except PerdureError:
            await self._let_go()

    async def _open(self) -> Opened:
        if self._is_closed:
            raise UsageError("this PerdureSession was closed: make a new one")
        if self._opened is None:
            self._opened = await self.store.open(
                self.key, branch=self.branch, sections=(), windows={MESSAGES: TAIL}
            )
        return self._opened

    async def _newest(self) -> Opened:
        """The session, with all that others saved; with none of what is not saved."""
        if self._opened is not None:
            try:
                await self._opened.refresh()
                self._has_edits = False
            except StateDeleted:
                await self._let_go()
        return await self._open()

    async def _let_go(self) -> None:
        """End the session without what it has not saved."""
        session, self._opened, self._has_edits = self._opened, None, False
        if session is not None:
            with suppress(PerdureError):
                await session.__aexit__(_LetGo, _LetGo(), None)

    async def close(self) -> None:
        """End the session. Safe to call twice."""
        async with self._turn:
            self._is_closed = True
            if self._has_edits and self._opened is not None:
                await self._give_up(self._opened)
            session, self._opened = self._opened, None
            if session is not None:
                with suppress(StateDeleted):
                    await session.close()


class _LetGo(Exception):
    """How a session ends that is not to save anything."""


async def settled(work: Awaitable[T]) -> T:
    """The outcome of `work`, which is done to its end: a cancellation comes after it.

    Args:
        work: what may not be stopped half-way.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # else it is complained of as never looked at
        raise
