"""Watching states: new checkpoints as they land, from any process (`Store.watch`).

A watch looks whenever its own store commits, and every `interval` for what others did. Where the
backend tells cheaply whether anything was committed at all, an idle look is no more than that.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from perdure import limits
from perdure.core.refs import check_branch
from perdure.engine.follow import Follower, Since
from perdure.errors import NotAStore, UsageError
from perdure.naming import check_key
from perdure.types import Checkpoint

if TYPE_CHECKING:
    from perdure.drive import Driver


class Landed(msgspec.Struct, frozen=True):
    """A checkpoint that a watch gives.

    Example:
        >>> for landed in store.watch("support/*"):
        ...     print(landed.checkpoint.key, landed.checkpoint.number, landed.checkpoint.changes)
    """

    checkpoint: Checkpoint
    """With its changes."""
    cursor: str
    """Where another watch goes on after it: `store.watch(…, cursor=landed.cursor)`."""


class WatchBase:
    """What `Watch` and `AsyncWatch` have in common."""

    def __init__(
        self,
        driver: Driver,
        key: str,
        *,
        cursor: str | None,
        since: Since,
        interval: float,
        timeout: float | None,
        branch: str,
    ) -> None:
        check_key(key if key == "*" or not isinstance(key, str) else key.removesuffix("*"))
        if since not in ("now", "start"):
            raise UsageError(f"since is one of 'now', 'start', not {since!r}")
        if cursor is not None and not isinstance(cursor, str):
            raise UsageError(f"a cursor is the text that a watch gave, not {cursor!r}")
        self._interval = _seconds(interval, "interval", 0.001)
        self._timeout = _seconds(timeout, "timeout", 0.0) if timeout is not None else None
        self._driver = driver
        self._follower = Follower(key, check_branch(branch), since, cursor)
        self._mark: object = None
        """What the backend said of its changes before the last look; None: nothing."""
        self._closed = False

    @property
    def cursor(self) -> str:
        """Where another watch goes on after what this one gave, as text.

        It has an entry for each state that is watched, and fits this store, key and branch alone.
        """
        return self._follower.cursor()

    def _look(self, pausing: Callable[[], None] | None = None) -> None:
        """Find what landed, if nothing found before is left."""
        follower, driver = self._follower, self._driver
        if not self._is_there():
            follower.begin_empty()
            return
        changed = getattr(driver.backend, "changed", None)
        mark = changed() if changed is not None else None
        if mark is not None and mark == self._mark and follower.is_idle:
            return
        driver.run(follower.look(driver.store_id), makes=False, pausing=pausing)
        if follower.is_idle:
            self._mark = mark  # from before the look: what came during it is looked at again

    def _is_there(self) -> bool:
        """Whether there is a store by now; opens it then."""
        path = getattr(self._driver.backend, "path", None)
        if path is not None and not self._driver.store_id and not os.path.exists(path):
            return False
        try:
            return self._driver.is_made()
        except NotAStore as error:
            if not error.is_empty:
                raise
            return False  # a store that is made stays an empty file for a moment

    def _take(self) -> Landed | None:
        checkpoint = self._follower.take()
        return Landed(checkpoint, self._follower.cursor()) if checkpoint is not None else None

    def _until(self) -> float:
        """When the wait for a checkpoint ends that begins now (a time of `time.monotonic`)."""
        return time.monotonic() + self._timeout if self._timeout is not None else float("inf")

    def _wait_s(self, until: float) -> float:
        """How long to wait for the next look (seconds); nothing is left where it is not over 0."""
        return min(self._interval, until - time.monotonic())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._follower.watch!r}>"


class Watch(WatchBase):
    """New checkpoints as they land: an iterator, as `Store.watch` gives it.

    One thread iterates at a time; any may close it. After its timeout, or an error, it may be
    iterated again and goes on where it was.

    Example:
        >>> with store.watch("support/alice", timeout=5) as watch:
        ...     for landed in watch:
        ...         print(landed.checkpoint.number)
    """

    def __init__(self, driver: Driver, key: str, **options: Any) -> None:
        super().__init__(driver, key, **options)
        self._woken = threading.Event()
        bell, wake = driver.bell, self._woken.set
        bell.listen(wake)
        self._leave = weakref.finalize(self, bell.leave, wake)
        try:
            self._look()  # so that what is saved from here on is new
        except BaseException:
            self._leave()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Landed:
        """The next checkpoint, as soon as there is one.

        Raises:
            Stop(Async)Iteration: none came for as long as `timeout`, or the watch was closed.
            Damaged: the state that is watched cannot be read.
            StoreClosed: the store was closed.
        """
        until = self._until()
        while not self._closed:
            self._woken.clear()
            landed = self._take()
            if landed is None:
                self._look()
                landed = self._take()
            if landed is not None:
                return landed
            wait_s = self._wait_s(until)
            if wait_s <= 0:
                break
            if not self._closed:
                self._woken.wait(wait_s)
        raise StopIteration

    def close(self) -> None:
        """End the iteration, also of others that wait in it. Safe to call twice."""
        self._closed = True
        self._leave()
        self._woken.set()

    def __enter__(self) -> Self:
        """The watch itself, which knows from here on what is new."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the iteration."""
        self.close()


def _seconds(value: object, name: str, least: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and least <= float(value) <= limits.watch_interval_max_s):  # type: ignore[arg-type]  # it is a number
        raise UsageError(
            f"{name} is seconds from {least:g} to {limits.watch_interval_max_s:,}, not {value!r}"
        )
    return float(value)  # type: ignore[arg-type]  # it is a number
