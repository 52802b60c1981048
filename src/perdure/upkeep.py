"""Maintenance in the background: one thread a store, which works on the states that need it.

A session asks for it after a save, when its state's tail has grown past its limit. A save never
waits for it; a writer that finds the tail far past its limit does one step of it itself, after its
save was acknowledged.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from perdure import limits
from perdure.engine import maintain
from perdure.errors import PerdureError
from perdure.events import log

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.engine.read import Site
    from perdure.engine.session import SessionCore

Maintenance: TypeAlias = Literal["background", "off"]

REST_PART = 9
"""How long maintenance rests after each step, as a multiple of the time it took: a tenth of a
processor at most, and of the interpreter's time, however fast others save."""

CLOSING_WAIT_S = 0.05
"""How long closing a store waits for the step under way (seconds)."""


class Upkeep:
    """The maintenance of one store's states."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._door = threading.Lock()
        self._due: deque[Site] = deque()
        self._work = threading.Event()
        self._end = threading.Event()
        """Set when the store is being closed."""
        self._began = 0.0
        """When the step under way began (seconds)."""
        self._closed = False
        self._thread: threading.Thread | None = None

    def saved(self, core: SessionCore) -> bool:
        """See to a state after a save; whether its writer should do a step itself."""
        over = core.tail_excess()
        if over < 1:
            return False
        self._ask_for(core.site)
        return over >= limits.tail_excess_max

    def step(self, core: SessionCore) -> None:
        """One bounded step, in the writer's own thread."""
        self._run(core.site, only_one=True)

    def _ask_for(self, site: Site) -> None:
        if self._pid != os.getpid():
            self._forget()
        if site in self._due:
            return
        with self._door:
            if self._closed or site in self._due:
                return
            self._due.append(site)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="perdure-upkeep", daemon=True)
                self._thread.start()
        self._work.set()

    def _go(self) -> None:
        while not self._closed:
            self._work.wait()
            with self._door:
                self._work.clear()
                site = self._due[0] if self._due else None
            if site is None:
                continue
            self._began = time.monotonic()
            self._run(site)
            with self._door:
                self._due.popleft()
                if self._due:
                    self._work.set()

    def _run(self, site: Site, *, only_one: bool = False) -> None:
        """Let maintenance work; a failure is told, and tried again after a later save."""
        steps = maintain.step(site) if only_one else maintain.maintain(site, done=self._rest)
        try:
            self._driver.run(steps, pausing=None if only_one else self._pause)
        except PerdureError as error:
            if not self._closed:
                log.warning("maintenance of %r: %s", site.key, error)
        except Exception:
            log.exception("maintenance of %r failed", site.key)

    def _rest(self, _step: maintain.Step) -> None:
        self._end.wait(REST_PART * (time.monotonic() - self._began))
        self._began = time.monotonic()

    def _pause(self) -> None:
        """Between two requests: let other threads have the interpreter, and see to closing."""
        if self._closed:
            raise _Closing
        time.sleep(0)

    def close(self) -> None:
        """Stop after the request under way; wait for it, but not for long."""
        if self._pid != os.getpid():
            return
        self._closed = True
        self._end.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(CLOSING_WAIT_S)


class _Closing(PerdureError):
    """The store is being closed."""
