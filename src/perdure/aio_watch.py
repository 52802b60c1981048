"""Watching states under asyncio (`AsyncStore.watch`): what `perdure.watching` does, awaited."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from perdure.errors import PerdureError
from perdure.upkeep import breaks
from perdure.watching import Landed, WatchBase

if TYPE_CHECKING:
    from perdure.drive import Driver


class AsyncWatch(WatchBase):
    """New checkpoints as they land: an asynchronous iterator, as `AsyncStore.watch` gives it.

    One task iterates at a time; any may close it. After its timeout, or an error, it may be
    iterated again and goes on where it was; so it does after a cancellation.

    Example:
        >>> async with store.watch("support/alice", timeout=5) as watch:
        ...     async for landed in watch:
        ...         print(landed.checkpoint.number)
    """

    def __init__(self, driver: Driver, key: str, **options: Any) -> None:
        super().__init__(driver, key, **options)
        self._woken = asyncio.Event()
        self._leave: Callable[[], object] | None = None
        self._looking: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Landed:
        """The next checkpoint, as soon as there is one.

        Raises:
            Stop(Async)Iteration: none came for as long as `timeout`, or the watch was closed.
            Damaged: the state that is watched cannot be read.
            StoreClosed: the store was closed.
        """
        self._listen()
        until = self._until()
        while not self._closed:
            self._woken.clear()
            landed = self._take() if self._looking is None else None
            if landed is None:
                await self._looked()
                landed = self._take()
            if landed is not None:
                return landed
            wait_s = self._wait_s(until)
            if wait_s <= 0:
                break
            if not self._closed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), wait_s)
        raise StopAsyncIteration

    def _listen(self) -> None:
        """Be woken by commits of this store, on the loop that iterates."""
        if self._leave is None and not self._closed:
            bell, wake = self._driver.bell, _Waker(asyncio.get_running_loop(), self._woken)
            bell.listen(wake)
            self._leave = weakref.finalize(self, bell.leave, wake)

    async def _looked(self) -> None:
        """Look, in a thread; one that a cancellation left behind is waited for by the next."""
        if self._looking is None:
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._look, breaks()))
        looking = self._looking
        try:
            await asyncio.shield(looking)
        finally:
            if looking.done():
                self._looking = None

    async def close(self) -> None:
        """End the iteration, also of others that wait in it. Safe to call twice."""
        self._closed = True
        if self._leave is not None:
            self._leave()
        self._woken.set()
        if self._looking is not None:
            with suppress(PerdureError):
                await asyncio.shield(self._looking)

    async def __aenter__(self) -> Self:
        """The watch itself, which knows from here on what is new."""
        self._listen()
        if self._follower.is_unbegun:
            await self._looked()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the iteration."""
        await self.close()


class _Waker:
    """Sets an event of an event loop from any thread; does nothing when that loop is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
        self._loop = loop
        self._woken = woken

    def __call__(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)
