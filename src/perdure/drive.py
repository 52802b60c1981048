"""Drivers: they run an engine generator and answer its requests, blocking or not.

`Driver.run` is for threads, `Driver.arun` for asyncio. Both settle commits through one
`GroupCommit`, an event loop's by way of a `WriterThread`.
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
from perdure.bell import Bell
from perdure.encrypted import require_key
from perdure.engine.requests import (
    Commit,
    Compute,
    IsAlive,
    Now,
    Pause,
    Random,
    Request,
    Steps,
    Tell,
)
from perdure.errors import StoreClosed
from perdure.events import log
from perdure.group_commit import GroupCommit
from perdure.writer import WriterThread

if TYPE_CHECKING:
    from perdure.cache import Cache
    from perdure.engine.scope import Scope

T = TypeVar("T")

AT_ONCE = frozenset({Now, Random})
"""Requests that an event loop answers itself: they wait for nothing."""

Clock = Callable[[], int]
"""Microseconds since 1970 UTC."""


def system_clock() -> int:
    """The machine's clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Driver:
    """Answers the requests of one store's engine."""

    def __init__(
        self, backend: Backend, clock: Clock = system_clock, cache: Cache | None = None
    ) -> None:
        self.backend = backend
        self.clock = clock
        self.cache = cache
        """What was read of the store, for its engine to use; emptied in a forked child."""
        self.scope: Scope | None = None
        """What may be done through it; None: everything."""
        self._pid = os.getpid()
        self._connected: StoreInfo | None = None
        self._closed = False
        self.losses: deque[str] = deque(maxlen=limits.losses_kept_max)
        """What was told of sessions of this store that took unsaved edits with them."""
        self.bell = Bell()
        """Rung after each batch of commits."""
        self._group = GroupCommit(backend, self.bell)
        self._writer: WriterThread | None = None
        self._opening = threading.Lock()
        self._answers: dict[type[Request], Callable[[Any], Any]] = {
            Commit: self._group.commit,
            Random: lambda request: os.urandom(request.size),
            Now: lambda _: self.clock(),
            IsAlive: lambda request: host.is_alive(request.holder),
            Pause: lambda request: time.sleep(request.seconds) if request.seconds else None,
            Compute: lambda request: request.work(),
            Tell: lambda request: log.warning("%s", request.message),
        }
        """How each request is answered; the backend answers all others."""

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._closed

    def belongs_to(self, driver: Driver) -> bool:
        """Whether it is a driver, or behind a wall of it."""
        return self is driver

    def connect(self) -> StoreInfo:
        """The store's identity; opens it on first use, and again in a forked child."""
        if self._pid != os.getpid():
            self._renew_after_fork()
        if self._closed:
            raise StoreClosed("this store was closed; open a new one")
        if self._connected is None:
            with self._opening:
                connected = self.backend.connect()
                require_key(self.backend, connected)
                self._connected = connected
        return self._connected

    @property
    def store_id(self) -> bytes:
        """The store's id; empty as long as there is no store that this driver has opened."""
        return self._connected.store_id if self._connected is not None else b""

    def _answering(self, makes: bool) -> Backend:
        """Who answers storage requests: the store, or an empty one where there is none yet.

        A store that is only read is not made for it, so that a name misspelt leaves no file.
        """
        if not makes and self._connected is None and not self._closed:
            is_made = getattr(self.backend, "is_made", None)
            if is_made is not None and not is_made():
                from perdure.backends.memory import MemoryBackend

                return MemoryBackend("")
        self.connect()
        return self.backend

    def is_made(self) -> bool:
        """Whether there is a store; opens it then."""
        return self._answering(makes=False) is self.backend

    def _renew_after_fork(self) -> None:
        # Locks and threads of the parent mean nothing here; the backend reopens by itself.
        self._pid = os.getpid()
        self.bell = Bell()
        self._group, self._writer = GroupCommit(self.backend, self.bell), None
        self._answers[Commit] = self._group.commit
        self._opening, self._connected = threading.Lock(), None
        if self.cache is not None:
            self.cache.renew()

    def run(
        self, steps: Steps[T], *, makes: bool = True, pausing: Callable[[], None] | None = None
    ) -> T:
        """Run an engine generator to its end in this thread, calling `pausing` at each request.

        `makes` tells whether the store is made if it is not there; if not, it reads as an empty
        one, from the first step to the last.
        """
        backend = self._answering(makes)
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                request = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, error = None, None
            if pausing is not None:
                pausing()
            try:
                answer = self._answer(request, backend)
            except Exception as raised:
                error = raised

    def answer(self, request: Request) -> Any:
        """The answer to one request, for who runs an engine function piece by piece."""
        return self._answer(request, self._answering(makes=False))

    def commit_all(self, requests: Sequence[Commit]) -> Sequence[Any]:
        """Settle commits of one thread in one transaction, each by its own condition.

        At most `limits.batch_commits_max`. One outcome each, in order: the answer, or the error.
        """
        self.connect()
        return self._group.commit_all(requests)

    def _answer(self, request: Request, backend: Backend) -> Any:
        answer = self._answers.get(type(request))
        return backend.perform(request) if answer is None else answer(request)  # type: ignore[arg-type]  # the others are storage requests

    async def arun(self, steps: Steps[T], *, makes: bool = True) -> T:
        """Run an engine generator to its end on the running event loop, never blocking it."""
        import asyncio

        loop, backend = asyncio.get_running_loop(), self.backend
        if self._connected is None or self._pid != os.getpid() or self._closed:
            backend = await loop.run_in_executor(None, self._answering, makes)
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
                elif type(request) in AT_ONCE:
                    answer = self._answer(request, backend)
                else:
                    answer = await loop.run_in_executor(None, self._answer, request, backend)
            except Exception as raised:
                error = raised
            except BaseException:  # cancelled: nothing the engine could do about it
                steps.close()
                raise

    def _writer_thread(self) -> WriterThread:
        if self._writer is None:
            with self._opening:
                if self._writer is None:
                    self._writer = WriterThread(self._group)
        return self._writer

    def close(self) -> None:
        """Let what is under way finish, then release the store. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            return
        self.bell.ring()  # who waits for a commit is to learn of it
        if self.cache is not None:
            self.cache.close()
        if self._writer is not None:
            self._writer.close()
        self.backend.close()
