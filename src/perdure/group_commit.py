"""Group commit: the commits that wait at the same moment are written as one transaction."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from perdure import limits
from perdure.backends.protocol import Backend
from perdure.bell import Bell
from perdure.engine.requests import Answer, Commit
from perdure.errors import Busy, CommitUnknown, StoreClosed
from perdure.events import log

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
