"""Commits that wait together: one transaction, each woken when it is settled, nobody forgotten."""

from __future__ import annotations

import itertools
import linecache
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType, FunctionType
from typing import Any

import pytest

from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.drive import Driver
from perdure.engine.requests import Answer, Commit, Committed, HeadRow, Tail
from perdure.errors import Busy, CommitUnknown, PerdureError
from perdure.group_commit import GroupCommit

WAIT_S = 10


class Gated(MemoryBackend):
    """A backend whose batches wait until they are let through, one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.connect()
        self.batches: list[list[str]] = []
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.failing: BaseException | None = None

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        self.batches.append([each.key for each in batch])
        self.arrived.release()
        assert self.gate.acquire(timeout=WAIT_S)
        if self.failing is not None:
            error, self.failing = self.failing, None
            raise error
        return super().commit(batch)


class Waiter(threading.Thread):
    """A thread that commits, and keeps what came of it."""

    def __init__(self, commit: Callable[[], object]) -> None:
        super().__init__()
        self._commit = commit
        self.outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._commit()
        except BaseException as error:
            self.outcome = error

    def result(self) -> object:
        self.join(WAIT_S)
        assert not self.is_alive()
        return self.outcome


def _new(key: str) -> Commit:
    token = key.encode().ljust(16, b".")
    return Commit(key, None, HeadRow(token, b"head of " + token), Tail(token, 0, 0))


@pytest.fixture
def backend() -> Gated:
    return Gated()


@pytest.fixture
def group(backend: Gated) -> GroupCommit:
    return GroupCommit(backend)


def _queued(group: GroupCommit, backend: Gated, keys: Sequence[str]) -> list[Waiter]:
    """One thread a key: the first is in the backend, the others wait in the order given."""
    waiters: list[Waiter] = []
    for key in keys:
        waiters.append(Waiter(lambda key=key: group.commit(_new(key))))  # type: ignore[misc]
        if len(waiters) == 1:
            assert backend.arrived.acquire(timeout=WAIT_S)
        else:
            _until(lambda: len(group._waiting) == len(waiters) - 1)
    return waiters


def _until(true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(WAIT_S * 1000):
        if true():
            return
        waiting.wait(0.001)
    raise AssertionError("it never came to be")


def test_those_who_wait_share_the_next_transaction(group: GroupCommit, backend: Gated) -> None:
    waiters = _queued(group, backend, ["a", "b", "c", "d"])
    backend.gate.release(2)
    assert [waiter.result() for waiter in waiters] == [Committed()] * 4
    assert backend.batches == [["a"], ["b", "c", "d"]]
    assert group._leader is None
    assert not group._waiting


def test_nobody_settled_waits_for_the_next_batch(group: GroupCommit, backend: Gated) -> None:
    first, second = _queued(group, backend, ["a", "b"])
    backend.gate.release()
    assert first.result() == Committed()  # while the second is still held at the gate
    assert backend.arrived.acquire(timeout=WAIT_S)
    third = Waiter(lambda: group.commit(_new("c")))
    _until(lambda: len(group._waiting) == 1)
    backend.gate.release()
    assert second.result() == Committed()
    backend.gate.release()
    assert third.result() == Committed()
    assert backend.batches == [["a"], ["b"], ["c"]]


def test_a_batch_has_a_bound_and_calls_stay_whole(group: GroupCommit, backend: Gated) -> None:
    (first,) = _queued(group, backend, ["a"])
    size = limits.batch_commits_max // 2 + 1
    calls = [[_new(f"{name}{number}") for number in range(size)] for name in "bc"]
    waiters = []
    for call in calls:
        waiters.append(Waiter(lambda call=call: group.commit_all(call)))  # type: ignore[misc]
        _until(lambda: len(group._waiting) == len(waiters))
    backend.gate.release(3)
    assert first.result() == Committed()
    assert [waiter.result() for waiter in waiters] == [[Committed()] * size] * 2
    assert [len(batch) for batch in backend.batches] == [1, size, size]


def test_an_error_of_the_batch_reaches_all_of_it(group: GroupCommit, backend: Gated) -> None:
    waiters = _queued(group, backend, ["a", "b", "c"])
    backend.gate.release()
    assert waiters[0].result() == Committed()
    backend.failing = Busy("full of others")
    backend.gate.release()
    assert [type(waiter.result()) for waiter in waiters[1:]] == [Busy, Busy]
    fourth = Waiter(lambda: group.commit(_new("d")))
    backend.gate.release()
    assert fourth.result() == Committed()


def test_a_leader_interrupted_leaves_the_others_an_answer_and_the_lead(
    group: GroupCommit, backend: Gated
) -> None:
    waiters = _queued(group, backend, ["a", "b", "c"])
    backend.gate.release()
    assert waiters[0].result() == Committed()
    assert backend.arrived.acquire(timeout=WAIT_S)
    later = Waiter(lambda: group.commit(_new("d")))
    _until(lambda: len(group._waiting) == 1)
    backend.failing = KeyboardInterrupt()
    backend.gate.release()
    assert {type(waiter.result()) for waiter in waiters[1:]} == {KeyboardInterrupt, CommitUnknown}
    backend.gate.release()
    assert later.result() == Committed()


class Interrupted(BaseException):
    """What the signal's handler raises, as Ctrl-C's does `KeyboardInterrupt`."""


@pytest.mark.parametrize("when", ["queued", "chosen to lead", "in flight"])
def test_a_waiter_interrupted_holds_nobody_up(
    group: GroupCommit, backend: Gated, when: str
) -> None:
    waiters = _queued(group, backend, ["a"])
    if when == "in flight":  # someone else leads the batch that it will be in
        waiters += [Waiter(lambda: group.commit(_new("b")))]
        _until(lambda: len(group._waiting) == 1)

    def interrupt(*_: object) -> None:
        # In the main thread, in the middle of its wait.
        waiters.append(Waiter(lambda: group.commit(_new("last"))))
        _until(lambda: len(group._waiting) == len(waiters))
        if when != "queued":
            backend.gate.release()
            assert waiters[0].result() == Committed()
        if when == "in flight":
            assert backend.arrived.acquire(timeout=WAIT_S)
        elif when == "chosen to lead":
            _until(lambda: group._leader is group._waiting[0])
        raise Interrupted

    def send() -> None:
        _until(lambda: len(group._waiting) == len(waiters))
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGUSR1)

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        sender = Waiter(send)
        with pytest.raises(Interrupted):
            group.commit(_new("interrupted"))
        assert sender.result() is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    backend.gate.release(3)
    assert [waiter.result() for waiter in waiters] == [Committed()] * len(waiters)
    assert group._leader is None
    assert not group._waiting
    sent = [key for batch in backend.batches for key in batch]
    assert ("interrupted" in sent) == (when == "in flight")


class InterruptAt:
    """Raises in this thread before the n-th line of `GroupCommit` that it comes to.

    Not where a block gives its lock back: Python looks for signals on neither side of that.
    """

    def __init__(self, number: int) -> None:
        self._left = number
        self.is_over = False

    def __call__(self, frame: FrameType, event: str, _arg: object) -> InterruptAt | None:
        if frame.f_code not in GROUP_CODE:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not self.is_over and not line.startswith("with "):
            self._left -= 1
            if not self._left:
                self.is_over = True
                raise Interrupted
        return self


GROUP_CODE = {
    each.__code__ for each in vars(GroupCommit).values() if isinstance(each, FunctionType)
}


def _commit_interrupted(interrupt: InterruptAt, usual: int) -> tuple[InterruptAt, list[Waiter]]:
    """One commit of this thread, interrupted, while two others come; then one more."""
    others: list[Waiter] = []

    class Joined(MemoryBackend):
        def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
            if not others:  # ours, on its way: two come to wait for it
                come()
            return super().commit(batch)

    def come() -> None:
        for key in "bc":
            others.append(Waiter(lambda key=key: group.commit(_new(key))))  # type: ignore[misc]
            _until(lambda: len(group._waiting) >= len(others) or not others[-1].is_alive())

    backend = Joined()
    backend.connect()
    group = GroupCommit(backend)
    group._usual = usual
    sys.settrace(interrupt)
    try:
        group.commit(_new("a"))
    except Interrupted:
        pass
    finally:
        sys.settrace(None)
    last = Waiter(lambda: group.commit(_new("last")))
    assert last.result() == Committed()
    return interrupt, others


@pytest.mark.parametrize("usual", [1, 3], ids=["alone", "leading a batch"])
def test_an_interrupt_at_any_line_holds_nobody_up(usual: int) -> None:
    for number in itertools.count(1):
        interrupt, others = _commit_interrupted(InterruptAt(number), usual)
        outcomes = {type(each.result()) for each in others}
        assert outcomes <= {Committed, CommitUnknown}
        if not interrupt.is_over:
            break
    assert number > 15


def test_a_leader_waits_for_those_who_are_usually_there(group: GroupCommit, backend: Gated) -> None:
    group._usual, group._pace_s = 2, 2.0  # it looks every tenth of a second
    first = Waiter(lambda: group.commit(_new("a")))
    second = Waiter(lambda: group.commit(_new("b")))
    backend.gate.release()
    assert first.result() == second.result() == Committed()
    assert [sorted(batch) for batch in backend.batches] == [["a", "b"]]


def test_a_leader_waits_but_once_for_those_who_do_not_come(
    group: GroupCommit, backend: Gated
) -> None:
    group._usual = 3
    backend.gate.release(2)
    assert group.commit(_new("a")) == Committed()
    group._pace_s = 1e6  # waiting again would take for ever
    assert group.commit(_new("b")) == Committed()
    assert backend.batches == [["a"], ["b"]]


# ---- others in the way ----------------------------------------------------------------------


class Patient(Gated):
    """A backend that waits for other processes, for an hour at most."""

    busy_timeout = 3600.0

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait_from(self, since: float) -> None:
        self.waits.append(since)


def test_a_wait_counts_from_when_the_commit_was_asked_for() -> None:
    backend = Patient()
    group = GroupCommit(backend)
    before = time.monotonic()
    waiters = _queued(group, backend, ["a", "b"])
    after = time.monotonic()
    backend.gate.release(2)
    assert [waiter.result() for waiter in waiters] == [Committed()] * 2
    assert [before <= since <= after for since in backend.waits] == [True, True]
    assert backend.waits == sorted(backend.waits)


def test_busy_is_told_to_those_whose_time_is_over_and_others_are_sent_again() -> None:
    backend = Patient()
    group = GroupCommit(backend)
    (first,) = _queued(group, backend, ["a"])
    now = time.monotonic()
    waits = {"b": now - 3600, "c": now - 3599.9999, "d": now + 100, "e": now + 100}
    waiters = []
    for key, since in waits.items():
        commit = partial(group.commit_all, [_new(key)], since)
        waiters.append(Waiter(commit))
        _until(lambda: len(group._waiting) == len(waiters))
    backend.gate.release()
    assert first.result() == Committed()
    assert backend.arrived.acquire(timeout=WAIT_S)
    backend.failing = Busy("others kept the store")
    backend.gate.release(2)
    outcomes = [waiter.result() for waiter in waiters]
    assert [type(outcome[0]) for outcome in outcomes] == [Busy, Busy, Committed, Committed]  # type: ignore[index]
    assert backend.batches == [["a"], ["b", "c", "d", "e"], ["d", "e"]]
    assert backend.waits[-2:] == [waits["b"], waits["d"]]


class Loop:
    """Stands for an event loop: keeps what is handed over to it."""

    def __init__(self, handed: list[object]) -> None:
        self.handed = handed

    def call_soon_threadsafe(self, _call: object, _future: object, outcome: object) -> None:
        self.handed.append(outcome)


def test_the_tasks_of_a_loop_wait_no_longer_than_others() -> None:
    backend = Patient()
    driver = Driver(backend)
    backend.gate.release(2)
    backend.failing = Busy("others kept the store")
    handed: list[object] = []
    loop: Any = Loop(handed)
    future: Any = None
    writer = driver._writer_thread()
    later = writer._settle([(_new("b"), loop, future, 1.0), (_new("c"), loop, future, 1e9)])
    assert [asked[0].key for asked in later] == ["c"]
    assert [type(outcome) for outcome in handed] == [Busy]
    assert writer._settle(later) == []
    assert handed[1:] == [Committed()]
    assert backend.waits == [1.0, 1e9]
    driver.close()
