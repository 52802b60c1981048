"""Maintenance in the background: one thread a store, which works on the states that need it.

A session asks for it after a save, when its state's tail has grown past its limit. The thread works
in slices of half a millisecond, and rests nine times as long after each, less where a tail is far
beyond its limit: others feel no more than one slice, however much there is to do. Where saves come
faster than that keeps up with, a writer that finds the tail at four times its limit gives it time
after its save was acknowledged: it waits until 1.5 ms have passed since the save began, three at
eight times, while the thread works on without rest. So the tail grows no further than is worked
off, and no save waits for a whole step.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from perdure import limits
from perdure.engine import maintain
from perdure.engine.around import Around
from perdure.engine.requests import LET_GO, Steps
from perdure.engine.scrub import Spot, scrub
from perdure.errors import PerdureError
from perdure.events import OnEvent, log, reported

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.engine.read import Site
    from perdure.engine.session import SessionCore

BEGINNING = Spot()

Maintenance: TypeAlias = Literal["background", "off"]

SLICE_S = 0.0005
"""How long the thread works before it rests (seconds). What is under way then is finished first:
a piece of computing, of which none takes longer, or a transaction."""

REST_PART = 9
"""How long it rests after each slice, as a multiple of the time that took, where a tail is at its
limit: a tenth of a processor, and of the interpreter's time. Where the tail is at a multiple of its
limit, as much less: a snapshot of more records costs little more, so it soon keeps up."""

SHARE_S = 0.0015
"""How long a save takes, with the wait after it, where the tail is at `limits.tail_excess_max`
(seconds)."""

BREAK_S = 0.0001
"""The shortest rest in which another thread is sure to get the interpreter (seconds): that after
each slice where a writer waits, and of maintenance that was called beside an event loop."""

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
    """The maintenance of one state, done piece by piece."""

    def __init__(
        self,
        driver: Driver,
        site: Site,
        excess: float = 0,
        spot: Spot = BEGINNING,
        on_event: OnEvent | None = None,
    ) -> None:
        self.site = site
        self.spot = spot
        """Where scrubbing goes on."""
        self.excess = excess
        """How many times its limit the state's tail was when this was asked for."""
        self.excess_now = excess
        """The same after the newest save."""
        self.hurried_until = 0.0
        """How long a writer waits for it (a time of `time.monotonic`)."""
        self.ended = threading.Event()
        self.around = Around()
        self.has_failed = False
        self._driver = driver
        self._on_event = on_event
        self._steps = self._maintained_and_scrubbed()
        self._answer: Any = None
        self._error: Exception | None = None

    def _maintained_and_scrubbed(self) -> Steps[None]:
        """Do what is due; and then look over some of what is stored."""
        yield from maintain.maintain(self.site, around=self.around)
        found = yield from scrub(self.site, self.spot)
        self.spot = found.spot
        if found.problem is not None:
            with reported(self._on_event, "damage", self.site.key) as detail:
                detail.update(problem=found.problem, mended=found.mended)

    def work(self, seconds: float) -> None:
        """Go on for about so long, one piece at least; a failure is told, and is an end."""
        until = time.monotonic() + seconds
        try:
            while not self.ended.is_set():
                self._go_on()
                if time.monotonic() >= until:
                    break
        except PerdureError as error:
            self._fail()
            if not self._driver.closed:
                log.warning("maintenance of %r: %s", self.site.key, error)
        except Exception:
            self._fail()
            log.exception("maintenance of %r failed", self.site.key)

    @property
    def is_put_off(self) -> bool:
        """Whether it is to be tried again only when the tail has grown."""
        return self.has_failed or (self.ended.is_set() and self.around.is_put_off)

    def _fail(self) -> None:
        self.has_failed = True
        self.ended.set()

    def _go_on(self) -> None:
        """To the next request, and its answer."""
        answer, error, self._answer, self._error = self._answer, self._error, None, None
        try:
            request = self._steps.throw(error) if error else self._steps.send(answer)
        except StopIteration:
            self.ended.set()
            return
        if request is not LET_GO:
            try:
                self._answer = self._driver.answer(request)
            except Exception as raised:
                self._error = raised


class Upkeep:
    """The maintenance of one store's states."""

    def __init__(self, driver: Driver, on_event: OnEvent | None = None) -> None:
        self._driver = driver
        self._on_event = on_event
        self._spots: dict[str, Spot] = {}
        """By key of a state, where scrubbing goes on."""
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
        self._hurry = threading.Event()
        """Set when a writer begins to wait, or the store is being closed."""
        self._end = threading.Event()
        """Set when the store is being closed."""
        self._thread: threading.Thread | None = None

    def saved(self, core: SessionCore, took: float) -> float:
        """See to a state after a save that took so long; how long its writer should `wait`.

        Both in seconds. A save that was held up, by maintenance perhaps, has waited already.
        """
        over = core.tail_excess()
        if over < 1:
            self._later.pop(core.site.key, None)
            return 0
        if over < self._put_off(core.site):
            return 0
        self.ask_for(core.site, over)
        job = self._jobs.get(core.site.key)
        if job is not None:
            job.excess_now = over
        share = SHARE_S * over / limits.tail_excess_max - took
        if over < limits.tail_excess_max or share <= 0 or job is None:
            return 0
        job.hurried_until = time.monotonic() + share
        self._hurry.set()
        return share

    def _put_off(self, site: Site) -> float:
        """How many times its limit the tail of a state is when it is seen to; mostly 0."""
        job = self._jobs.get(site.key)
        return (
            2 * job.excess if job is not None and job.is_put_off else self._later.get(site.key, 0)
        )

    def ask_for(self, site: Site, excess: float = 0) -> None:
        """Have a state maintained in the background, if anything is due; returns at once.

        `excess` is how many times its limit the tail is, where that is known.
        """
        if self._pid != os.getpid():
            self._forget()
        if self._is_asked_for(site):
            return
        with self._door:
            if self._end.is_set() or self._is_asked_for(site):
                return
            spot = self._spots.get(site.key, BEGINNING)
            self._jobs[site.key] = Job(self._driver, site, excess, spot, self._on_event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="perdure-upkeep", daemon=True)
                self._thread.start()
            self._due.set()

    def _is_asked_for(self, site: Site) -> bool:
        job = self._jobs.get(site.key)
        return job is not None and not job.ended.is_set()

    def leave(self, key: str) -> None:
        """Leave a state to whoever maintains it now: what was begun here would come to nothing."""
        job = self._jobs.get(key)
        if job is not None:
            job.ended.set()

    def wait(self, site: Site, seconds: float) -> None:
        """Wait for so long, or until a state's maintenance has ended."""
        job = self._jobs.get(site.key)
        if job is not None:
            job.ended.wait(seconds)

    def _go(self) -> None:
        while not self._end.is_set():
            if not self._due.wait(IDLE_S) and self._is_over():
                return
            self._due.clear()
            while (job := self._next()) is not None:
                began = time.monotonic()
                job.work(SLICE_S)
                self._rest(REST_PART * (time.monotonic() - began) / max(job.excess_now, 1))

    def _next(self) -> Job | None:
        """What to work on: that for which a writer waits, else each state in turn."""
        with self._door:
            for key in [key for key, job in self._jobs.items() if job.ended.is_set()]:
                job = self._jobs.pop(key)
                self._remember(job)
                if job.is_put_off:
                    self._later[key] = 2 * job.excess
            if self._end.is_set() or not self._jobs:
                return None
            chosen = max(self._jobs.values(), key=lambda job: job.hurried_until)
            self._jobs[chosen.site.key] = self._jobs.pop(chosen.site.key)
            return chosen

    def _remember(self, job: Job) -> None:
        """Keep how far scrubbing came; of states that were not seen to for long, no more."""
        self._spots.pop(job.site.key, None)
        self._spots[job.site.key] = job.spot
        if len(self._spots) > limits.scrubbed_states_max:
            del self._spots[next(iter(self._spots))]

    def _is_over(self) -> bool:
        """Whether nothing is to be done; another thread is begun when something is."""
        with self._door:
            if self._jobs:
                return False
            self._thread = None
            return True

    def _rest(self, seconds: float) -> None:
        """Rest for so long, until a writer waits or the store closes."""
        self._hurry.clear()
        if self._end.is_set():
            return
        until = max([job.hurried_until for job in tuple(self._jobs.values())], default=0)
        if time.monotonic() < until:
            time.sleep(BREAK_S)
        else:
            self._hurry.wait(seconds)

    def close(self) -> None:
        """Stop after the slice under way; wait for it, but not for long."""
        if self._pid != os.getpid():
            return
        self._end.set()
        self._due.set()
        self._hurry.set()
        thread = self._thread
        if thread is not None:
            thread.join(CLOSING_WAIT_S)
