"""A long run beside an event loop: who cancels it ends it, and not only the waiting for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from perdure.upkeep import breaks

T = TypeVar("T")


class _Ended(Exception):
    """What a run ends by when nobody waits for it any more."""


async def beside(work: Callable[[Callable[[], None]], T]) -> T:
    """Do work in a thread; cancelled, it ends before its next request, and then so does this.

    Args:
        work: given what it is to call before each of its requests.

    Raises:
        CancelledError: it was cancelled; with the notes of what the work ended by.
    """
    pause, is_over = breaks(), threading.Event()

    def pausing() -> None:
        if is_over.is_set():
            raise _Ended
        pause()

    running = asyncio.ensure_future(asyncio.to_thread(work, pausing))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError as cancelled:
        is_over.set()
        await asyncio.wait([running])
        for note in getattr(running.exception(), "__notes__", ()):
            cancelled.add_note(note)
        raise
