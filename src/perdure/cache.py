"""What a store has read and verified, kept in memory up to a bound, for all of its sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import RLock
from typing import Any


class Cache:
    """Things by their places; beyond `bytes_max`, those go that were not used for longest.

    It may be used from any thread. Nothing in it is ever changed: it is shared by whoever gets it.

    Example:
        >>> cache = Cache(1000)
        >>> cache.keep(("a", 1), b"page", 600)
        >>> cache.keep(("a", 2), b"other", 600)
        >>> cache.get(("a", 1)), cache.get(("a", 2)), cache.bytes
        (None, b'other', 600)
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.renew()

    def renew(self) -> None:
        """Begin empty; in a forked child, whatever the parent's threads were about to do."""
        self._lock = RLock()  # a signal's handler may come here while its thread is here
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.bytes = 0
        """What is kept (bytes)."""

    def get(self, place: Hashable) -> Any:
        """What is kept at a place, or None; it is the last to go now."""
        with self._lock:
            found = self._kept.get(place)
            if found is None:
                return None
            self._kept.move_to_end(place)
        return found[0]

    def keep(self, place: Hashable, thing: Any, size_bytes: int) -> None:
        """Keep what takes so many bytes, in the place of what was kept there.

        What is larger than the whole cache is not kept, and lets nothing else go.
        """
        with self._lock:
            self.bytes -= self._kept.pop(place, (None, 0))[1]
            if size_bytes > self.bytes_max:
                return
            # Counted before it is there: what an interrupt leaves is a cache that is too small.
            self.bytes += size_bytes
            self._kept[place] = thing, size_bytes
            while self.bytes > self.bytes_max and self._kept:
                self.bytes -= self._kept.popitem(last=False)[1][1]
            if not self._kept:
                self.bytes = 0

    def clear(self) -> None:
        """Let everything go: what is stored is not what it was."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def close(self) -> None:
        """Let everything go, and keep nothing from now on."""
        with self._lock:
            self.bytes_max = -1
            self._kept.clear()
            self.bytes = 0
