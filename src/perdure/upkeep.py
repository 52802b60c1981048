"""Maintenance in the background: one thread a store, which works on the states that need it.

A session asks for it after a save, when its state's tail has grown past its limit. The thread works
in slices of a millisecond, and rests nine times as long after each: others feel no more than one
slice, however much there is to do. A writer that saves faster than that keeps up with, and finds
the tail at four times its limit, does a slice of it itself after its save was acknowledged, and
two at eight times: so the tail grows no further than its writer works it off.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from perdure import limits
from perdure.engine import maintain
from perdure.engine.requests import LET_GO
from perdure.errors import PerdureError
from perdure.events import log

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.engine.read import Site
    from perdure.engine.session import SessionCore

Maintenance: TypeAlias = Literal["background", "off"]

SLICE_S = 0.0005
"""How long the thread works before it rests (seconds). What is under way then is finished first:
a piece of computing, of which none takes longer, or a transaction."""

REST_PART = 9
"""How long it rests after each slice, as a multiple of the time that took: a tenth of a processor
at most, and of the interpreter's time, however fast others save."""

SHARE_S = 0.001
"""How long a writer works after a save where the tail is at `limits.tail_excess_max` (seconds)."""

BREAK_S = 0.0001
"""How long maintenance that was called beside an event loop rests after each slice (seconds)."""

IDLE_S = 0.5
"""How long the thread waits for work before it ends (seconds): one that waited for ever would keep
a store that was dropped without being closed, and its connections."""

CLOSING_WAIT_S = 0.05
"""How long closing a store waits for the slice under way (seconds)."""


def breaks() -> Callable[[], None]:
    """What `Driver.run` calls while it runs maintenance beside an event loop, which goes on so."""
    began = time.monotonic()

    def pause() -> None:
        nonlocal began
        if time.monotonic() - began > SLICE_S:
            time.sleep(BREAK_S)
            began = time.monotonic()

    return pause


class Job:
    """The maintenance of one state, done a slice at a time by whoever holds its lock."""

    def __init__(self, driver: Driver, site: Site, excess: float = 0) -> None:
        self.site = site
        self.excess = excess
        """How many times its limit the state's tail was when this was asked for."""
        self.lock = threading.Lock()
        self.is_done = False
        self.has_failed = False
        self._driver = driver
        self._steps = maintain.maintain(site)
        self._answer: Any = None
        self._error: Exception | None = None

    def work(self, seconds: float) -> None:
        """Go on for about so long, one piece at least; a failure is told, and is an end."""
        until = time.monotonic() + seconds
        try:
            while not self.is_done:
                self._go_on()
                if time.monotonic() >= until:
                    break
        except PerdureError as error:
            self.is_done = self.has_failed = True
            if not self._driver.closed:
                log.warning("maintenance of %r: %s", self.site.key, error)
        except Exception:
            self.is_done = self.has_failed = True
            log.exception("maintenance of %r failed", self.site.key)
        except BaseException:
            self.is_done = True  # interrupted: what it was to be told may be lost
            raise

    def _go_on(self) -> None:
        """To the next request, and its answer."""
        answer, error, self._answer, self._error = self._answer, self._error, None, None
        try:
            request = self._steps.throw(error) if error else self._steps.send(answer)
        except StopIteration:
            self.is_done = True
            return
        if request is not LET_GO:
            try:
                self._answer = self._driver.answer(request)
            except Exception as raised:
                self._error = raised


class Upkeep:
    """The maintenance of one store's states."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._door = threading.Lock()
        """Held while the jobs or the thread change, never during work."""
        self._jobs: dict[str, Job] = {}
        """By key of the state, the next to be worked on first."""
        self._later: dict[str, float] = {}
        """By key of a state whose maintenance failed: how many times its limit the tail is when it
        is tried again. A try costs the whole tail, so each comes after twice as much."""
        self._due = threading.Event()
        """Set when there may be a job, or the store is being closed."""
        self._end = threading.Event()
        """Set when the store is being closed."""
        self._thread: threading.Thread | None = None

    def saved(self, core: SessionCore) -> float:
        """See to a state after a save; how long its writer should `help` with it (seconds)."""
        over = core.tail_excess()
        if over < 1:
            self._later.pop(core.site.key, None)
            return 0
        if over < self._later.get(core.site.key, 0):
            return 0
        self.ask_for(core.site, over)
        return SHARE_S * over / limits.tail_excess_max if over >= limits.tail_excess_max else 0

    def ask_for(self, site: Site, excess: float = 0) -> None:
        """Have a state maintained in the background, if anything is due; returns at once.

        `excess` is how many times its limit the tail is, where that is known.
        """
        if self._pid != os.getpid():
            self._forget()
        if site.key in self._jobs:
            return
        with self._door:
            if self._end.is_set() or site.key in self._jobs:
                return
            self._jobs[site.key] = Job(self._driver, site, excess)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="perdure-upkeep", daemon=True)
                self._thread.start()
            self._due.set()

    def help(self, site: Site, seconds: float) -> None:
        """Work on a state in the caller's thread for about so long, its turn waited for included.

        A longer transaction or piece of computing is finished, but nothing is begun after that.
        """
        job, until = self._jobs.get(site.key), time.monotonic() + seconds
        if job is None or not job.lock.acquire(timeout=seconds):
            return
        try:
            job.work(until - time.monotonic())
        finally:
            job.lock.release()
        self._settle(job)

    def _settle(self, job: Job) -> None:
        """Forget a job that is done; of one that is not, it is the other states' turn."""
        with self._door:
            if self._jobs.get(job.site.key) is job:
                del self._jobs[job.site.key]
                if not job.is_done:
                    self._jobs[job.site.key] = job
                elif job.has_failed:
                    self._later[job.site.key] = 2 * job.excess

    def _go(self) -> None:
        while not self._end.is_set():
            if not self._due.wait(IDLE_S) and self._is_over():
                return
            with self._door:
                job = next(iter(self._jobs.values()), None)
                if job is None and not self._end.is_set():
                    self._due.clear()
            if job is not None:
                self._end.wait(REST_PART * self._slice_of(job))

    def _is_over(self) -> bool:
        """Whether nothing is to be done; another thread is begun when something is."""
        with self._door:
            if self._jobs:
                return False
            self._thread = None
            return True

    def _slice_of(self, job: Job) -> float:
        """Work on a job; how long that took (seconds)."""
        with job.lock:
            began = time.monotonic()
            job.work(SLICE_S)
            took = time.monotonic() - began
        self._settle(job)
        return took

    def close(self) -> None:
        """Stop after the slice under way; wait for it, but not for long."""
        if self._pid != os.getpid():
            return
        self._end.set()
        self._due.set()
        thread = self._thread
        if thread is not None:
            thread.join(CLOSING_WAIT_S)
