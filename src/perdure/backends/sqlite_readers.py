"""The connections of a SQLite store that read: each thread takes one for as long as it needs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from perdure.backends import sqlite_fork, sqlite_open
from perdure.backends.sqlite_open import Place

IDLE_MAX = 8
"""Connections kept to read with (connections); more are open while more threads read at once."""


class Readers:
    """Connections that read; they are inside SQLite from being taken until they are given back."""

    def __init__(self, place: Place, opened: set[apsw.Connection]) -> None:
        self._place = place
        self._opened = opened
        """Every connection of the store: what a forked child must leave alone."""
        # A signal's handler may fork while its thread is in here, so the lock is one of a thread.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._idle: list[apsw.Connection] = []
        self._inside: dict[int, int] = {}
        """How many connections each thread has taken, by the thread's identity."""
        self._holder: int | None = None
        """The thread that forks, while it does."""
        self._is_closed = False

    def add(self, connection: apsw.Connection) -> None:
        """Keep one that was opened elsewhere."""
        self._idle.append(connection)

    def take(self) -> apsw.Connection:
        """A connection for the calling thread, which gives it back."""
        with self._lock:
            self._enter()
            if self._idle:
                return self._idle.pop()
        try:
            connection = sqlite_open.patiently(self._place, sqlite_open.reader)
            sqlite_open.wait_for_others(connection, self._place)
        except BaseException:
            with self._lock:
                self._leave()
            raise
        self._opened.add(connection)
        return connection

    def give_back(self, connection: apsw.Connection) -> None:
        """Keep a connection that was taken for the next thread, or close it."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            with self._lock:
                if not self._is_closed and len(self._idle) < IDLE_MAX:
                    self._idle.append(connection)
                    return
            self._opened.discard(connection)
            connection.close()
        finally:
            with self._lock:
                self._leave()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Between `take` and `give_back`: nothing is done with the connection, so others may fork.

        What takes long is cut up by it, and what calls others' code, who may fork themselves.
        """
        with self._lock:
            self._leave()
        try:
            yield
        finally:
            with self._lock:
                self._enter()

    def close(self) -> list[apsw.Connection]:
        """Keep none from now on; those that are idle, for the caller to close."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        return idle

    def idle(self) -> list[apsw.Connection]:
        """Those that nobody has taken, for the caller to close; others are opened when needed."""
        with self._lock:
            idle, self._idle = self._idle, []
        return idle

    def hold(self, deadline: float) -> bool:
        """Let no other thread take a connection, and wait for those who have, until `deadline`.

        Whether nobody has one, the calling thread included.
        """
        if not sqlite_fork.acquire(self._lock, deadline):
            return False
        try:
            me = self._holder = threading.get_ident()
            while any(thread != me for thread in self._inside):
                if not self._changed.wait(max(deadline - time.monotonic(), 0.0)):
                    break
            return not self._inside
        finally:
            self._lock.release()

    def let_go(self) -> None:
        """Let threads take connections again."""
        with self._lock:
            self._holder = None
            self._changed.notify_all()

    def _enter(self) -> None:
        """Note that this thread goes into SQLite, when nobody forks any more. Lock held."""
        me = threading.get_ident()
        while self._holder is not None and self._holder != me:
            self._changed.wait()
        self._inside[me] = self._inside.get(me, 0) + 1

    def _leave(self) -> None:
        """Note that this thread came out of SQLite. Lock held."""
        me = threading.get_ident()
        left = self._inside.pop(me, 1) - 1
        if left:
            self._inside[me] = left
        if self._holder is not None:
            self._changed.notify_all()
