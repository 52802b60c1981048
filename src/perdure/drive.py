"""Drivers: they run an engine generator and answer its requests, blocking or not.

`Driver.run` is for threads, `Driver.arun` for asyncio. Both settle commits through one
`GroupCommit`, which writes those waiting at the same moment as one transaction.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from perdure import host, limits
from perdure.backends.protocol import Backend, StoreInfo
from perdure.engine.requests import (
    Answer,
    Commit,
    IsAlive,
    Now,
    Pause,
    Random,
    Request,
    Steps,
)
from perdure.errors import CommitUnknown, StoreClosed
from perdure.events import log

if TYPE_CHECKING:
    import asyncio
    import queue

T = TypeVar("T")

Clock = Callable[[], int]
"""Microseconds since 1970 UTC."""


def system_clock() -> int:
    """The machine's clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class _Member:
    """One commit waiting for its outcome."""

    __slots__ = ("outcome", "request")

    def __init__(self, request: Commit) -> None:
        self.request = request
        self.outcome: Answer | BaseException | None = None


class GroupCommit:
    """Commits that wait at the same moment share one transaction, and so one sync.

    Whoever gets the lock settles everyone waiting; the others find their outcome when they get
    it. With one writer the lock is free and there is no hand-off to another thread.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._waiting: deque[_Member] = deque()

    def commit(self, request: Commit) -> Answer:
        """Settle one commit, in company of whoever waits with it."""
        (outcome,) = self.commit_all([request])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def commit_all(self, requests: Sequence[Commit]) -> list[Answer | BaseException]:
        """Settle several commits; one outcome each, in order."""
        members = [_Member(request) for request in requests]
        self._waiting.extend(members)
        with self._lock:
            while members[-1].outcome is None:
                self._settle()
        return [member.outcome for member in members if member.outcome is not None]

    def _settle(self) -> None:
        """Settle the commits at the front of the queue. The lock is held."""
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(len(waiting), limits.batch_commits_max))]
        outcomes: Sequence[Answer | BaseException]
        try:
            outcomes = self._backend.commit([member.request for member in batch])
        except Exception as error:
            outcomes = [error] * len(batch)
        except BaseException:
            # Ctrl-C belongs to the thread it reached; the others learn that they must ask again.
            for member in batch:
                member.outcome = CommitUnknown("the commit was interrupted; save again")
            raise
        for member, outcome in zip(batch, outcomes, strict=True):
            member.outcome = outcome
        try:
            self._backend.after_commit()
        except Exception:
            # Upkeep that failed must not make durable commits seem to have failed.
            log.exception("upkeep after a commit failed; it is tried again after a later one")


class Driver:
    """Answers the requests of one store's engine."""

    def __init__(self, backend: Backend, clock: Clock = system_clock) -> None:
        self.backend = backend
        self.clock = clock
        self._pid = os.getpid()
        self._connected: StoreInfo | None = None
        self._closed = False
        self._group = GroupCommit(backend)
        self._writer: _WriterThread | None = None
        self._opening = threading.Lock()

    def connect(self) -> StoreInfo:
        """The store's identity; opens it on first use, and again in a forked child."""
        if self._pid != os.getpid():
            self._renew_after_fork()
        if self._closed:
            raise StoreClosed("this store was closed; open a new one")
        if self._connected is None:
            with self._opening:
                self._connected = self.backend.connect()
        return self._connected

    def _renew_after_fork(self) -> None:
        # Locks and threads of the parent mean nothing here; the backend reopens by itself.
        self._pid = os.getpid()
        self._group, self._writer = GroupCommit(self.backend), None
        self._opening, self._connected = threading.Lock(), None

    def run(self, steps: Steps[T]) -> T:
        """Run an engine generator to its end in this thread."""
        self.connect()
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                request = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, error = None, None
            try:
                answer = self._answer(request)
            except Exception as raised:
                error = raised

    def _answer(self, request: Request) -> Any:
        if type(request) is Commit:
            return self._group.commit(request)
        return self._answer_at_once(request)

    def _answer_at_once(self, request: Request) -> Any:
        if isinstance(request, Random):
            return os.urandom(request.size)
        if isinstance(request, Now):
            return self.clock()
        if isinstance(request, IsAlive):
            return host.is_alive(request.holder)
        if isinstance(request, Pause):
            return time.sleep(request.seconds)
        return self.backend.perform(request)

    async def arun(self, steps: Steps[T]) -> T:
        """Run an engine generator to its end on the running event loop, never blocking it."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._connected is None or self._pid != os.getpid() or self._closed:
            await loop.run_in_executor(None, self.connect)
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                request = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, error = None, None
            try:
                if type(request) is Commit:
                    answer = await self._writer_thread().commit(request, loop)
                elif type(request) is Pause:
                    await asyncio.sleep(request.seconds)
                elif isinstance(request, Now | Random):
                    answer = self._answer_at_once(request)
                else:
                    answer = await loop.run_in_executor(None, self._answer_at_once, request)
            except Exception as raised:
                error = raised
            except BaseException:  # cancelled: nothing the engine could do about it
                steps.close()
                raise

    def _writer_thread(self) -> _WriterThread:
        if self._writer is None:
            with self._opening:
                if self._writer is None:
                    self._writer = _WriterThread(self._group)
        return self._writer

    def close(self) -> None:
        """Let what is under way finish, then release the store. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            return
        if self._writer is not None:
            self._writer.close()
        self.backend.close()


class _WriterThread:
    """The one thread through which an event loop's commits go, in batches as they come."""

    def __init__(self, group: GroupCommit) -> None:
        import queue

        self._group = group
        self._open = threading.Lock()
        self._closed = False
        self._queue: queue.SimpleQueue[
            tuple[Commit, asyncio.AbstractEventLoop, asyncio.Future[Answer]] | None
        ] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="perdure-writer", daemon=True)
        self._thread.start()

    async def commit(self, request: Commit, loop: asyncio.AbstractEventLoop) -> Answer:
        """Settle one commit; other tasks run meanwhile."""
        future: asyncio.Future[Answer] = loop.create_future()
        with self._open:
            if self._closed:
                raise StoreClosed("this store was closed; open a new one")
            self._queue.put((request, loop, future))
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
            outcomes: Sequence[Answer | BaseException]
            try:
                outcomes = self._group.commit_all([request for request, _, _ in batch])
            except BaseException as error:
                outcomes = [error] * len(batch)
            for (_, loop, future), outcome in zip(batch, outcomes, strict=True):
                try:
                    loop.call_soon_threadsafe(_hand_over, future, outcome)
                except RuntimeError:
                    continue  # that loop is closed: nobody waits any more

    def close(self) -> None:
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
