"""Holding branches: waiting for one, and saying that its holder is still there.

One thread a store renews the leases of its open sessions, and frees those of sessions that ended
without doing it: dropped, or given up while they were opened. It is there while there is a lease.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

from perdure import host, limits
from perdure.engine import leases
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.errors import CommitUnknown, PerdureError, UsageError
from perdure.events import log

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.session_base import SessionBase

POLL_FIRST_S = 0.02
"""How long whoever waits for a lease waits before it looks again, at first (seconds)."""

POLL_MAX_S = 0.5
"""The same at most (seconds)."""

IDLE_S = 0.5
"""How long the thread waits for a lease before it ends (seconds)."""

CLOSING_WAIT_S = 0.05
"""How long closing a store waits for the renewal under way (seconds)."""


class Claim:
    """One session's right to a branch, from before it has it until it is given back.

    A context manager: where no session comes of it, what it may have got is given up.
    """

    def __init__(self, keeper: Keeper, key: str, branch: str, wait: float) -> None:
        self.key = key
        self.branch = branch
        self.id = os.urandom(16)
        holder = host.holder()
        self._holder = (holder.host, holder.pid, holder.boot, holder.started)
        self._keeper = keeper
        self._pauses = _pauses(wait)
        self._session: ref[SessionBase[Any]] | None = None
        self._may_hold = False
        """Whether the branch may have been got."""
        self.look_at = 0.0
        """When the thread sees to it next (a time of `time.monotonic`)."""
        self.give_up_at = math.inf
        """When the thread stops looking for what may be left of it."""

    def take(self, site: Site) -> Steps[float | None]:
        """Get the branch, if there is one and it is free; else how long to wait (seconds).

        Raises:
            Busy: that was long enough.
        """
        self._may_hold = True
        try:
            held = yield from leases.take(site, self.branch, self.id, self._holder)
        except UsageError:
            self._may_hold = False
            raise
        self._may_hold = held is None
        if held is None:
            return None
        pause = next(self._pauses, None)
        if pause is None:
            raise leases.busy(site, held, "it was not opened; wait longer, or fork the branch")
        return pause

    def kept_by(self, session: SessionBase[Any]) -> None:
        """Have the lease renewed while the session is open."""
        self._session = ref(session)
        self.look_at = time.monotonic() + _beat_s()
        self._keeper.hold(self)

    def ended(self, is_free: bool) -> None:
        """The session ended; have the branch freed, if that is not done."""
        if is_free:
            self._keeper.forget(self)
        else:
            self._give_up(limits.lease_s)

    def _give_up(self, looking_s: float) -> None:
        """Have the branch freed; looked for so long, where what was sent may land yet."""
        self._session = None
        self.look_at = time.monotonic()
        self.give_up_at = self.look_at + looking_s
        self._keeper.hold(self)

    def see_to(self, driver: Driver) -> bool:
        """Renew it, or free what nobody has any more; whether to come again."""
        site = Site(driver.store_id, self.key)
        session = self._session() if self._session is not None else None
        now = time.monotonic()
        if session is not None:
            self.look_at = now + _beat_s()
            is_ours = driver.run(leases.renew(site, self.branch, self.id), makes=False)
            session._core.is_lease_lost |= not is_ours
            return is_ours
        if self._session is not None:
            self._give_up(limits.lease_s)  # it was dropped
        self.look_at = now + POLL_MAX_S
        return not self.free(driver) and now < self.give_up_at

    def free(self, driver: Driver) -> bool:
        """Free the branch; whether there was something to free."""
        site = Site(driver.store_id, self.key)
        return driver.run(leases.release(site, self.branch, self.id), makes=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or not self._may_hold:
            return
        is_known = isinstance(error, PerdureError) and not isinstance(error, CommitUnknown)
        self._give_up(0 if is_known else limits.lease_s)


def _beat_s() -> float:
    return limits.lease_s / 3


def _pauses(wait: float) -> Iterator[float]:
    """How long to wait before each further try, until so many seconds have passed."""
    until, pause = time.monotonic() + wait, POLL_FIRST_S
    while (left := until - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(2 * pause, POLL_MAX_S)


class Keeper:
    """The leases of one store's sessions."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._forget_all()

    def _forget_all(self) -> None:
        self._pid = os.getpid()
        self._door = threading.Lock()
        """Held while the claims or the thread change, never during work."""
        self._claims: dict[bytes, Claim] = {}
        """By id of the session."""
        self._changed = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def claim(self, key: str, branch: str, exclusive: object, wait: object) -> Claim | None:
        """What a session that is to be exclusive begins with; None for another."""
        if not isinstance(exclusive, bool):
            raise UsageError(f"exclusive is True or False, not {exclusive!r}")
        seconds = _checked_wait(wait)
        return Claim(self, key, branch, seconds) if exclusive else None

    def hold(self, claim: Claim) -> None:
        """See to a claim from now on."""
        if self._pid != os.getpid():
            self._forget_all()  # the parent's leases are the parent's
        with self._door:
            if self._is_closed:
                return
            self._claims[claim.id] = claim
            if self._thread is None:
                self._thread = threading.Thread(target=self._go, name="perdure-leases", daemon=True)
                self._thread.start()
            self._changed.set()

    def forget(self, claim: Claim) -> None:
        """See to a claim no more."""
        self._claims.pop(claim.id, None)

    def _go(self) -> None:
        while not self._is_closed:
            claims = [*self._claims.values()]
            for claim in claims:
                if claim.look_at <= time.monotonic() and not self._is_closed:
                    self._see_to(claim)
            if claims:
                due = min(claim.look_at for claim in claims) - time.monotonic()
                self._changed.wait(max(due, 0))
            elif self._is_over():
                return
            self._changed.clear()

    def _see_to(self, claim: Claim) -> None:
        try:
            if not claim.see_to(self._driver):
                self.forget(claim)
        except PerdureError as error:  # tried again: a lease lasts for three renewals
            if not self._is_closed:
                log.warning("the lease on %r could not be renewed: %s", claim.key, error)
        except Exception:
            log.exception("the lease on %r could not be renewed", claim.key)

    def _is_over(self) -> bool:
        """Whether there is nothing to see to; another thread is begun when there is."""
        if self._changed.wait(IDLE_S):
            return False
        with self._door:
            if self._claims:
                return False
            self._thread = None
            return True

    def close(self) -> None:
        """Stop, and free what is still held: no session of a closed store can save any more."""
        if self._pid != os.getpid():
            return
        with self._door:
            self._is_closed = True
            thread, claims = self._thread, [*self._claims.values()]
            self._claims.clear()
        self._changed.set()
        if thread is not None:
            thread.join(CLOSING_WAIT_S)
        for claim in claims:
            try:
                claim.free(self._driver)
            except PerdureError as error:
                log.warning("the lease on %r could not be freed: %s", claim.key, error)


def _checked_wait(seconds: Any) -> float:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (is_number and 0 <= seconds <= limits.lease_wait_max_s):
        raise UsageError(f"wait is seconds from 0 to {limits.lease_wait_max_s:,}, not {seconds!r}")
    return float(seconds)
