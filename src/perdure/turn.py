"""Taking turns under asyncio, whichever event loop, and whichever thread, one is in.

A lock of asyncio belongs to the loop in which somebody first waited for it, and raises in another.
A session belongs to none: `asyncio.run` makes a new loop each time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class Turn:
    """A lock that is handed to who has waited longest; `async with` takes it and lets it go.

    Taking one that is free does not let other tasks run first.

    Example:
        >>> turn = Turn()
        >>> async with turn:
        ...     ...
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        """Held while what follows changes, never during a wait."""
        self._is_taken = False
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def acquire(self) -> None:
        """Take it, after all who wait for it."""
        with self._door:
            if not self._is_taken:
                self._is_taken = True
                return
            loop = asyncio.get_running_loop()
            asked = loop, loop.create_future()
            self._waiting.append(asked)
        try:
            await asked[1]
        except BaseException:  # cancelled, or its loop is gone
            with self._door:
                is_handed = asked not in self._waiting
                if not is_handed:
                    self._waiting.remove(asked)
            if is_handed:
                self.release()
            raise

    def release(self) -> None:
        """Hand it to who has waited longest."""
        while True:
            with self._door:
                if not self._waiting:
                    self._is_taken = False
                    return
                loop, future = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(_wake, future)
            except RuntimeError:
                continue  # that loop is closed: nobody waits there any more
            return

    async def __aenter__(self) -> None:
        """Take it."""
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        """Hand it on."""
        self.release()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():  # else its task was cancelled, and hands the turn on
        future.set_result(None)
