"""The thread that writes for event loops, which must not wait for a commit themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from perdure import limits
from perdure.engine.requests import Answer, Commit
from perdure.errors import StoreClosed
from perdure.group_commit import GroupCommit

if TYPE_CHECKING:
    import asyncio
    import queue

_Asked: TypeAlias = "tuple[Commit, asyncio.AbstractEventLoop, asyncio.Future[Answer], float]"
"""A commit, who waits for it where, and when it was asked for (a time of `time.monotonic`)."""


class WriterThread:
    """The one thread through which an event loop's commits go, in batches as they come."""

    def __init__(self, group: GroupCommit) -> None:
        import queue

        self._group = group
        self._open = threading.Lock()
        self._closed = False
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="perdure-writer", daemon=True)
        self._thread.start()

    async def commit(self, request: Commit, loop: asyncio.AbstractEventLoop) -> Answer:
        """Settle one commit; other tasks run meanwhile."""
        future: asyncio.Future[Answer] = loop.create_future()
        with self._open:
            if self._closed:
                raise StoreClosed("this store was closed; open a new one")
            self._queue.put((request, loop, future, time.monotonic()))
        return await future

    def _work(self) -> None:
        import queue

        while (item := self._queue.get()) is not None:
            batch = [item]
            while len(batch) < limits.batch_commits_max:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:  # the last there is
                    self._queue.put(None)
                    break
                batch.append(more)
            while batch:
                batch = self._settle(batch)

    def _settle(self, batch: Sequence[_Asked]) -> list[_Asked]:
        """Hand each its outcome; but for those that may wait longer than the first did."""
        outcomes: Sequence[Answer | BaseException]
        try:
            outcomes = self._group.commit_all([request for request, *_ in batch], batch[0][-1])
        except BaseException as error:
            outcomes = [error] * len(batch)
        later = []
        for asked, outcome in zip(batch, outcomes, strict=True):
            _, loop, future, since = asked
            if asked is not batch[0] and self._group.may_wait(outcome, since):
                later.append(asked)
                continue
            try:
                loop.call_soon_threadsafe(_hand_over, future, outcome)
            except RuntimeError:
                continue  # that loop is closed: nobody waits any more
        return later

    def close(self) -> None:
        """Settle what was asked for before, take nothing more, and end the thread."""
        with self._open:  # whatever was queued before is settled; nothing is queued after
            self._closed = True
            self._queue.put(None)
        self._thread.join()


def _hand_over(future: asyncio.Future[Answer], outcome: Answer | BaseException) -> None:
    if future.done():  # its task was cancelled; the commit stands and is settled by its id
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
