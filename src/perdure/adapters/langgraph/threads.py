"""The threads of a saver: under which keys they are, and those that sessions are kept on."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator

from perdure.adapters.langgraph.keys import (
    is_of_thread,
    is_told,
    key_of,
    namespaces_of,
    place_of,
    root_of,
    roots_of,
)
from perdure.adapters.langgraph.places import CHECKPOINT
from perdure.adapters.langgraph.sessions import Options
from perdure.adapters.langgraph.thread import Thread
from perdure.core.head import MAIN
from perdure.store import Store

THREADS_MAX = 256
"""Threads that a saver keeps sessions on (threads); the one not used for longest is let go."""


class Threads:
    """Finds threads, and keeps their sessions for as long as they are used.

    Args:
        store: where the threads are.
        prefix: what their keys begin with.
        options: how each of them is worked on.
    """

    def __init__(self, store: Store, prefix: str, options: Options) -> None:
        self._store = store
        self._prefix = prefix
        self._options = options
        self._held: OrderedDict[str, Thread] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    # ---- where they are ---------------------------------------------------------------------

    def keys(self, thread_id: str | None) -> Iterator[str]:
        """The keys of the states of a thread, or of all threads."""
        if thread_id is None:
            yield from self._keys_under(self._prefix)
            return
        for root in roots_of(self._prefix, thread_id):
            if [info.key for info in self._store.states(root, limit=1)] == [root]:
                yield root
            yield from self._keys_under(namespaces_of(root))

    def _keys_under(self, prefix: str) -> Iterator[str]:
        after = None
        while page := self._store.states(prefix, after=after):
            yield from (info.key for info in page)
            after = page[-1].key

    def place_of(self, key: str) -> tuple[str, str] | None:
        """The thread and the namespace of a state; None: it has no checkpoint that tells."""
        told = None
        if not is_told(key):
            told = self._store.at(key, MAIN, sections=[CHECKPOINT]).get(CHECKPOINT)
        return place_of(self._prefix, key, told)

    # ---- their sessions ---------------------------------------------------------------------

    def of(self, thread_id: str, namespace: str) -> Thread:
        """The thread of an id, in a namespace of it."""
        return self.at(key_of(self._prefix, thread_id, namespace))

    def at(self, key: str) -> Thread:
        """The thread whose state is under a key."""
        with self._lock:
            if self._pid != os.getpid():  # sessions stay with the process that opened them
                self._held, self._pid = OrderedDict(), os.getpid()
            thread = self._held.get(key)
            if thread is not None:
                self._held.move_to_end(key)
                return thread
            root = root_of(self._prefix, key)
            thread = self._held[key] = Thread(self._store, key, root, self._options)
            excess = list(self._held)[:-THREADS_MAX]
            loose = [self._held.pop(each) for each in excess]
        for each in loose:
            each.forget()
        return thread

    def held(self) -> list[str]:
        """The keys of those that sessions are kept on, the one not used for longest first."""
        with self._lock:
            return list(self._held)

    def release(self, thread_id: str) -> None:
        """End the sessions on a thread."""
        roots = roots_of(self._prefix, thread_id)
        self._end([key for key in self.held() if any(is_of_thread(each, key) for each in roots)])

    def close(self) -> None:
        """End all sessions."""
        self._end(self.held())

    def _end(self, keys: list[str]) -> None:
        with self._lock:
            threads = [self._held.pop(key) for key in keys if key in self._held]
        for thread in threads:
            thread.forget()
