"""A bell that a store rings after each of its commits, for those who wait for one."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Bell:
    """Calls whoever listens. Ringing costs nothing while nobody does.

    Example:
        >>> bell, heard = Bell(), threading.Event()
        >>> bell.listen(heard.set)
        >>> bell.ring()
        >>> heard.is_set()
        True
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._listeners: tuple[Callable[[], object], ...] = ()

    def listen(self, listener: Callable[[], object]) -> None:
        """Have `listener` called from now on, in any thread; it must be quick and never raise."""
        with self._door:
            self._listeners = (*self._listeners, listener)

    def leave(self, listener: Callable[[], object]) -> None:
        """Call `listener` no more."""
        with self._door:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def ring(self) -> None:
        """Call those who listen."""
        for listener in self._listeners:
            listener()
