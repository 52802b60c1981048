"""Forking a process whose threads use SQLite: not while any of them does.

SQLite has mutexes for the whole process. A fork copies them as they are, and one that another
thread held then stays held in the child for ever, also for stores that the child opens itself. So
a fork waits until no thread is inside SQLite, keeps all out while it is made, and lets them go on.
It waits no longer than `limits.fork_wait_s`: a thread that forks may be the one waited for.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from perdure import limits


class Held(Protocol):
    """What a fork needs of each store that is open in this process."""

    def hold(self, deadline: float) -> Callable[[], None]:
        """Keep other threads out of SQLite, waiting for those in it until `deadline`.

        `deadline` is a time of `time.monotonic`. Gives what lets them go on.
        """

    def renew(self) -> None:
        """In a child: leave what is the parent's alone, and begin as if never connected."""


class Timed(Protocol):
    """A lock, of a thread or not."""

    def acquire(self, *, timeout: float) -> bool:
        """Take it, waiting so long at most (seconds); whether it was taken."""


_known: set[weakref.ref[Held]] = set()


class _Forks:
    """The forks under way in this process."""

    def __init__(self) -> None:
        self.turn = threading.RLock()
        """Held by the thread that forks: two would wait for each other."""
        self.to_let_go: dict[int, list[ExitStack]] = {}
        """By the identity of the thread that forks."""


_forks = _Forks()


def join(store: Held) -> None:
    """Have forks wait for this store's threads, as long as it lives."""
    _known.add(weakref.ref(store, _known.discard))


def acquire(lock: Timed, deadline: float) -> bool:
    """Take a lock, waiting for it until `deadline` at most."""
    return lock.acquire(timeout=max(deadline - time.monotonic(), 0.0))


def _stores() -> list[Held]:
    """Those that live. The copy is made in one step, whatever other threads add meanwhile."""
    return [store for each in list(_known) if (store := each()) is not None]


def _before() -> None:
    deadline = time.monotonic() + limits.fork_wait_s
    stack = ExitStack()
    _forks.to_let_go.setdefault(threading.get_ident(), []).append(stack)
    if acquire(_forks.turn, deadline):
        stack.callback(_forks.turn.release)
    for store in _stores():
        stack.callback(store.hold(deadline))


def _after_in_parent() -> None:
    _forks.to_let_go[threading.get_ident()].pop().close()


def _after_in_child() -> None:
    _forks.__init__()  # type: ignore[misc]  # whatever was under way is the parent's
    for store in _stores():
        store.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
