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
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from perdure import host, limits
from perdure.backends.protocol import Backend, StoreInfo
from perdure.bell import Bell
from perdure.engine.requests import (
    Answer,
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
from perdure.errors import Busy, CommitUnknown, StoreClosed
from perdure.events import log

if TYPE_CHECKING:
    import asyncio
    import queue

    from perdure.cache import Cache

T = TypeVar("T")

AT_ONCE = frozenset({Now, Random})
"""Requests that an event loop answers itself: they wait for nothing."""

Clock = Callable[[], int]
"""Microseconds since 1970 UTC."""


def system_clock() -> int:
    """The machine's clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


GATHER_PART = 0.4
"""How long a leader waits for those who are usually here, as a part of the last commit's time."""

GATHER_LOOKS = 8
"""How often it looks whether they have come."""


class _Call:
    """The commits of one waiting thread, their outcomes, and what it waits on."""

    __slots__ = ("outcomes", "requests", "since", "turn")

    def __init__(self, requests: Sequence[Commit], since: float) -> None:
        self.requests = requests
        self.since = since
        """When it was asked for, by `time.monotonic`: from then on it waits for others."""
        self.outcomes: Sequence[Answer | BaseException] = ()
        self.turn: threading.Lock | None = None
        """Held until this call is settled or leads; None for one that found nobody to wait for."""


class GroupCommit:
    """Commits that wait at the same moment share one transaction, and so one sync.

    The first to come leads: it settles everyone waiting, wakes each, and hands the lead to whoever
    came first meanwhile, who is in the next batch. Each waits on a lock of its own, so that nobody
    whose commit is settled waits for the batch after it. With one writer there is no hand-off.

    Those who were just woken come back as soon as they have the next thing to save. A leader who
    knows of more committers than wait with it gives them a part of the time that a commit takes;
    else they would form two crowds, each of which waits for the other's sync. One that comes up
    short expects fewer the next time, so that nobody waits twice for those who do not come.

    Where the backend waits for other processes, the wait of a commit begins when it is asked for,
    not when its batch begins. When one has waited long enough for `Busy`, those of its batch that
    came later are sent again.
    """

    def __init__(self, backend: Backend, bell: Bell | None = None) -> None:
        self._backend = backend
        self._bell = bell if bell is not None else Bell()
        self._patience_s: float | None = getattr(backend, "busy_timeout", None)
        self._wait_from: Callable[[float], None] | None = getattr(backend, "wait_from", None)
        self._door = threading.Lock()
        """Held while the queue or the lead changes, never during a commit."""
        self._waiting: deque[_Call] = deque()
        self._leader: _Call | None = None
        self._batch: Sequence[_Call] = ()
        """Those whose commits are under way, until each is woken."""
        self._usual = 1
        """Calls that were settled in the last batch, or came up during it (calls)."""
        self._pace_s = 0.0
        """How long the last batch took (seconds)."""

    def commit(self, request: Commit) -> Answer:
        """Settle one commit, in company of whoever waits with it."""
        (outcome,) = self.commit_all((request,))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def commit_all(
        self, requests: Sequence[Commit], since: float | None = None
    ) -> Sequence[Answer | BaseException]:
        """Settle at most `limits.batch_commits_max` commits; one outcome each, in order.

        `since` is when they were asked for (a time of `time.monotonic`), if that is not now.
        """
        call = _Call(requests, time.monotonic() if since is None else since)
        try:
            with self._door:
                if self._leader is None:
                    self._leader = call
                else:
                    call.turn = threading.Lock()
                    call.turn.acquire()
                is_alone = self._leader is call and self._usual == 1
                if not is_alone:
                    self._waiting.append(call)
            if call.turn is not None:
                call.turn.acquire()
            if is_alone:
                self._settle_alone(call)
            elif self._leader is call:
                self._lead(call)
        except BaseException:
            while True:  # interrupted again and again, if need be: others wait for the lead
                try:
                    self._leave(call)
                    break
                except BaseException:
                    continue
            raise
        return call.outcomes

    def _settle_alone(self, call: _Call) -> None:
        """Settle the one call that found nobody waiting, and hand the lead on."""
        call.outcomes = self._send(call.requests, call.since)
        self._usual = 1 + len(self._waiting)
        self._look_after()
        self._leave(call)

    def _lead(self, leader: _Call) -> None:
        """Settle the front of the queue, where the leader stands, and hand the lead on."""
        self._gather()
        with self._door:
            self._take_batch()
        batch = self._batch
        began = time.perf_counter()
        self._settle(batch)
        self._pace_s = time.perf_counter() - began
        self._usual = len(batch) + len(self._waiting)
        self._wake(leader)
        self._look_after()
        self._leave(leader)

    def _gather(self) -> None:
        """Wait a little for those who are usually here."""
        for _ in range(GATHER_LOOKS):
            if len(self._waiting) >= self._usual:
                break
            time.sleep(self._pace_s * GATHER_PART / GATHER_LOOKS)

    def _look_after(self) -> None:
        try:
            self._backend.after_commit()
        except StoreClosed:
            pass  # closed as soon as the commit was done: nothing is left to look after
        except Exception:
            # Upkeep that failed must not make durable commits seem to have failed.
            log.exception("upkeep after a commit failed; it is tried again after a later one")

    def _take_batch(self) -> None:
        """Take whole calls from the front of the queue: one, and as many more as fit. Door held."""
        count = size = 0
        for call in self._waiting:
            size += len(call.requests)
            if count and size > limits.batch_commits_max:
                break
            count += 1
        # In the batch before they are out of the queue: an interrupt between leaves nobody out.
        self._batch = tuple(self._waiting)[:count]
        for _ in range(count):
            self._waiting.popleft()

    def _settle(self, batch: Sequence[_Call]) -> None:
        """Give each call its outcomes; those that may wait longer than the first get another try.

        Each try settles at least the first, so there is an end.
        """
        while batch:
            first, later = batch[0], list[_Call]()
            requests = [request for call in batch for request in call.requests]
            outcomes = self._send(requests, first.since)
            start = 0
            for call in batch:
                end = start + len(call.requests)
                if call is not first and self.may_wait(outcomes[start], call.since):
                    later.append(call)  # without outcomes: an interrupt leaves them unknown
                else:
                    call.outcomes = outcomes[start:end]
                start = end
            batch = later

    def _send(self, requests: Sequence[Commit], since: float) -> Sequence[Answer | BaseException]:
        try:
            if self._wait_from is not None:
                self._wait_from(since)
            outcomes = self._backend.commit(requests)
        except Exception as error:
            return [error] * len(requests)
        self._bell.ring()
        return outcomes

    def may_wait(self, outcome: Answer | BaseException, since: float) -> bool:
        """Whether this is `Busy` though what was asked for at `since` may wait longer."""
        if self._patience_s is None or not isinstance(outcome, Busy):
            return False
        return time.monotonic() < since + self._patience_s

    def _wake(self, leader: _Call) -> None:
        """Let those go whose commits were under way. Done again, it goes on where it stopped."""
        for call in self._batch:
            if not call.outcomes:
                # Ctrl-C belongs to the thread it reached; the others learn to ask again.
                unknown = CommitUnknown("the commit was interrupted; save again")
                call.outcomes = [unknown] * len(call.requests)
            if call is not leader:
                self._release(call)
        self._batch = ()

    def _leave(self, call: _Call) -> None:
        """Hand on the lead, if `call` has it; if it gave up waiting, it is not sent any more.

        Each step may be done again, or stand when the next one is not reached: whoever is
        interrupted in here comes again.
        """
        with self._door:
            if call in self._waiting:
                self._waiting.remove(call)
            if self._leader is call:
                for sent in self._batch:
                    if sent in self._waiting:
                        self._waiting.remove(sent)
                self._wake(call)
                self._leader = self._waiting[0] if self._waiting else None
            if self._leader is not None:
                self._release(self._leader)

    def _release(self, call: _Call) -> None:
        """Let a call's thread go on, if it does not yet; twice does no harm."""
        if call.turn is not None and call.turn.locked():
            call.turn.release()


class Driver:
    """Answers the requests of one store's engine."""

    def __init__(
        self, backend: Backend, clock: Clock = system_clock, cache: Cache | None = None
    ) -> None:
        self.backend = backend
        self.clock = clock
        self.cache = cache
        """What was read of the store, for its engine to use; emptied in a forked child."""
        self._pid = os.getpid()
        self._connected: StoreInfo | None = None
        self._closed = False
        self.losses: deque[str] = deque(maxlen=limits.losses_kept_max)
        """What was told of sessions of this store that took unsaved edits with them."""
        self.bell = Bell()
        """Rung after each batch of commits."""
        self._group = GroupCommit(backend, self.bell)
        self._writer: _WriterThread | None = None
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
        self.bell.ring()  # who waits for a commit is to learn of it
        if self.cache is not None:
            self.cache.close()
        if self._writer is not None:
            self._writer.close()
        self.backend.close()


_Asked: TypeAlias = "tuple[Commit, asyncio.AbstractEventLoop, asyncio.Future[Answer], float]"
"""A commit, who waits for it where, and when it was asked for (a time of `time.monotonic`)."""


class _WriterThread:
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
